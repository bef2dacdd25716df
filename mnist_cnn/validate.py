"""Checks a configuration, or every job of a sweep, without running it: the same arguments as for training."""

if __name__ == "__main__":  # before the imports, which take seconds
    from mnist_cnn.signals import leave_at_once

    leave_at_once()


from mnist_cnn import cli
from mnist_cnn.config.command_line import training_call

HEADER = """\
Checks what a training or a sweep is asked for, without running it.

  python -m mnist_cnn.validate model=gap optimizer.lr=0.01
  python -m mnist_cnn.validate -m model=vanilla,gap seed=1,2,3   every job

It takes what python -m mnist_cnn.train takes."""


def main() -> None:
    with cli.user_errors():
        call = training_call(cli.arguments(), HEADER)
        if call is not None:
            jobs = call.check()
            print(f"ok: {len(jobs)} {'job' if len(jobs) == 1 else 'jobs'}")


if __name__ == "__main__":
    main()
