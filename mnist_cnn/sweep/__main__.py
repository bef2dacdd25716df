"""Sums up a sweep again, finished or not: `python -m mnist_cnn.sweep <directory>`."""

if __name__ == "__main__":  # before the imports, which take seconds
    from mnist_cnn.signals import leave_at_once

    leave_at_once()

    from mnist_cnn.cli import usage_at_once
    from mnist_cnn.sweep.usage import USAGE

    usage_at_once(USAGE)

from pathlib import Path
from typing import Literal

from mnist_cnn import cli
from mnist_cnn.errors import ConfigError
from mnist_cnn.sweep.cluster import look
from mnist_cnn.sweep.plan import Sweep
from mnist_cnn.sweep.slurm import NoAnswer
from mnist_cnn.sweep.summary import write_summary
from mnist_cnn.sweep.usage import USAGE


def main() -> None:
    with cli.user_errors():
        given = cli.arguments()
        if not given or {"-h", "--help"} & set(given):
            print(USAGE)
            return
        folders, options = cli.read_options(given, {"tests": Literal["all", "chosen"]})
        if len(folders) != 1:
            raise ConfigError([f"{' '.join(given)}: needed: one sweep directory, and tests=all or tests=chosen"])
        sweep = Sweep.load(Path(folders[0]).resolve())
        try:
            look(sweep)
        except NoAnswer as error:
            print(f"its jobs are on SLURM, which does not answer ({error}); this is what their files say\n")
        print(write_summary(sweep, all_tests=options.get("tests") == "all"))


if __name__ == "__main__":
    main()
