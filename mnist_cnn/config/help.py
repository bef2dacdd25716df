"""What `--help` prints: usage, the groups and their options, the keys used most with what conf/ says of them."""

import re
import textwrap
from pathlib import Path

from omegaconf import OmegaConf

from mnist_cnn.config.place import config_dir

WIDTH = 80
COLUMN = 30  # where what is said of a key begins
GROUPS = (
    "model", "experiment", "optimizer", "scheduler", "augment", "data", "metrics", "callbacks", "trainer", "speed",
    "logger", "debug", "sweep",
)  # fmt: skip
# Of each file that conf/train.yaml chooses, the keys that most calls set.
USED_MOST = {
    "optimizer": ("optimizer/adam.yaml", ["lr"]),
    "trainer": ("trainer/auto.yaml", ["max_epochs", "precision"]),
    "data": ("data/common.yaml", ["batch_size", "validate_on", "limit_train"]),
}
LEFT_OUT = (  # of conf/train.yaml
    "learning_rates", "weights", "freeze", "teacher", "teacher_share", "teacher_temperature", "bad_jobs", "rehearse",
    "detach",
)  # fmt: skip
COMMENTED = re.compile(r"^(\w+): (.*?) +# (.+)$", re.MULTILINE)
VALIDATING = """\
Checks what a training or a sweep is asked for, and rehearses it: a step of
training, validation, a checkpoint and the test, in a temporary folder.

  python -m mnist_cnn.validate model=gap optimizer.lr=0.01
  python -m mnist_cnn.validate -m model=vanilla,gap seed=1,2,3   every job
  python -m mnist_cnn.validate model=gap rehearse=false          values alone

Else it takes what python -m mnist_cnn.train takes."""
TRAINING = """\
-m makes a sweep of several values; --config-dir=FOLDER adds configuration
files of your own; --cfg=job prints the configuration that a call makes.
All keys with their comments: the files of {conf}"""


def help_text(config_name: str, header: str | None = None) -> str:
    """For an entry point that composes conf/<config_name>.yaml, which has a header; at most 60 lines of 80 columns."""
    file = config_dir() / f"{config_name}.yaml"
    parts = [(header or str(OmegaConf.load(file).hydra.help.header)).strip()]
    if config_name == "train":
        parts.append("\n".join(["Groups, as group=option:", *map(_group, GROUPS)]))
    lines = _keys(file)
    if config_name == "train":
        for group, (name, keys) in USED_MOST.items():
            lines += _keys(config_dir() / name, f"{group}.", keys)
    parts.append("\n".join(["Values, as key=value, with their defaults:", *lines]))
    parts += [TRAINING.format(conf=config_dir())] if config_name == "train" else []
    return "\n\n".join(parts)


def _group(group: str) -> str:
    """Its options; of a folder within it the name and the number."""
    files = sorted((config_dir() / group).glob("*.yaml"))
    names = [file.stem for file in files if file.stem != "common"]  # which only the others of its group name
    for folder in sorted(path for path in (config_dir() / group).iterdir() if path.is_dir()):
        names.append(f"{folder.name}/ ({len(list(folder.glob('*.yaml')))})")
    return _folded(f"  {group}", 14, ", ".join(names))


def _keys(file: Path, prefix: str = "", keys: list[str] | None = None) -> list[str]:
    found = COMMENTED.findall(file.read_text(encoding="utf-8"))
    return [
        _folded(f"  {prefix}{key}={'' if value.startswith('$') else value}", COLUMN, comment)
        for key, value, comment in found
        if (key not in LEFT_OUT if keys is None else key in keys)
    ]


def _folded(name: str, column: int, text: str) -> str:
    lines = textwrap.wrap(text, WIDTH - column, break_long_words=False, break_on_hyphens=False)
    return f"{name:<{column - 1}} " + f"\n{' ' * column}".join(lines)
