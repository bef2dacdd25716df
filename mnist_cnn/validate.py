"""Checks a configuration, or every job of a sweep, without running it: the same arguments as for training."""

from mnist_cnn.cli import training_call, user_errors


def main() -> None:
    with user_errors():
        call = training_call()
        if call is not None:
            jobs = call.check()
            print(f"ok: {len(jobs)} {'job' if len(jobs) == 1 else 'jobs'}")


if __name__ == "__main__":
    main()
