"""Checks and rehearses a configuration, or every job of a sweep: the same arguments as for training."""

if __name__ == "__main__":  # before the imports, which take seconds
    from mnist_cnn.signals import leave_at_once

    leave_at_once()

    from mnist_cnn.cli import answer_at_once
    from mnist_cnn.config.help import VALIDATING

    answer_at_once("train", VALIDATING)

from mnist_cnn import cli
from mnist_cnn.config.command_line import training_call
from mnist_cnn.config.help import VALIDATING
from mnist_cnn.training.rehearsal import check_call


def main() -> None:
    with cli.user_errors():
        given = cli.arguments()
        own = [text for text in given if text.startswith("rehearse=")]
        _, options = cli.read_options(own, {"rehearse": bool})
        call = training_call([text for text in given if text not in own], VALIDATING)
        if call is not None:
            jobs, rehearsed = check_call(call, options.get("rehearse", True))
            said = f", {rehearsed} rehearsed" * bool(rehearsed)
            print(f"ok: {len(jobs)} {'job' if len(jobs) == 1 else 'jobs'}{said}")


if __name__ == "__main__":
    main()
