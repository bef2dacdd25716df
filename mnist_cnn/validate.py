"""Checks and rehearses a configuration, or every job of a sweep: the same arguments as for training."""

if __name__ == "__main__":  # before the imports, which take seconds
    from mnist_cnn.signals import leave_at_once

    leave_at_once()


from mnist_cnn import cli
from mnist_cnn.config.command_line import training_call
from mnist_cnn.training.rehearsal import check_call

HEADER = """\
Checks what a training or a sweep is asked for, and rehearses it: a step of
training, validation, a checkpoint and the test, in a temporary folder.

  python -m mnist_cnn.validate model=gap optimizer.lr=0.01
  python -m mnist_cnn.validate -m model=vanilla,gap seed=1,2,3   every job
  python -m mnist_cnn.validate model=gap rehearse=false          values alone

Else it takes what python -m mnist_cnn.train takes."""


def main() -> None:
    with cli.user_errors():
        given = cli.arguments()
        own = [text for text in given if text.startswith("rehearse=")]
        _, options = cli.read_options(own, {"rehearse": bool})
        call = training_call([text for text in given if text not in own], HEADER)
        if call is not None:
            jobs, rehearsed = check_call(call, options.get("rehearse", True))
            said = f", {rehearsed} rehearsed" * bool(rehearsed)
            print(f"ok: {len(jobs)} {'job' if len(jobs) == 1 else 'jobs'}{said}")


if __name__ == "__main__":
    main()
