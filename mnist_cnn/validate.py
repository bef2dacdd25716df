"""Checks a configuration, or every job of a sweep, without running it: the same arguments as for training."""

from hydra._internal.utils import get_args_parser

from mnist_cnn.cli import user_errors
from mnist_cnn.preflight import Call


def main() -> None:
    with user_errors():
        jobs = Call(get_args_parser().parse_args()).check()
        print(f"ok: {len(jobs)} {'job' if len(jobs) == 1 else 'jobs'}")


if __name__ == "__main__":
    main()
