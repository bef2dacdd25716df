"""The arguments of the entry points that take overrides: what they ask for, and Hydra's own questions."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from mnist_cnn.config.call import Call
from mnist_cnn.config.compose import answer_question, line, parse
from mnist_cnn.config.help import help_text
from mnist_cnn.config.place import NETS, is_group
from mnist_cnn.config.python_values import setting
from mnist_cnn.errors import ConfigError

# Hydra's own options that ask something; Hydra answers them.
QUESTIONS = {
    "hydra_help": ("--hydra-help",),
    "shell_completion": ("--shell-completion", "-sc"), "cfg": ("--cfg", "-c"), "info": ("--info", "-i"),
}  # fmt: skip

# Others of Hydra's options, which would start something else than a command of this package, or do nothing.
WITHOUT_MEANING = (
    "--config-name", "-cn", "--config-path", "-cp", "--run", "-r", "--experimental-rerun",
)  # fmt: skip


def training_call(given: Sequence[str], header: str | None = None) -> Call | None:
    """The call of an entry point that takes what training takes; None after a question, which has been answered.

    Args:
        header: of the help, where it is not that of training.
    """
    parser = _Parser(add_help=False, allow_abbrev=False)
    parser.add_argument("--multirun", "-m", action="store_true")
    parser.add_argument("--config-dir", "-cd")
    found = parser.answered(given, "train", header)
    return None if found is None else Call(found.overrides, found.multirun, found.config_dir)


def search_overrides(given: Sequence[str]) -> list[str]:
    """What a search is told, `--config-dir` as an override.

    It answers no question of Hydra, which knows one configuration: a search has its own and that of training.

    Raises:
        ConfigError: an option that does not exist, or no such folder.
    """
    parser = _Parser(add_help=False, allow_abbrev=False)
    parser.add_argument("--config-dir", "-cd")
    parser.add_argument("overrides", nargs="*")
    found = parser.parse_intermixed_args(given)
    folders = [text for text in found.overrides if text.startswith("hydra.searchpath=")]
    others = [text for text in found.overrides if text not in folders]
    return [*others, *Call(folders, extra_dir=found.config_dir).searchpath()]


def evaluation_overrides(given: Sequence[str], config_name: str) -> list[str] | None:
    """What an entry point for trained nets is told, also what it does not know.

    None after a question, which has been answered.

    Raises:
        ConfigError: several values for a setting, or a preset of training.
    """
    found = _Parser(add_help=False, allow_abbrev=False).answered(given, config_name)
    if found is None:
        return None
    bare = [text for text in found.overrides if "=" not in text]
    if paths := [text for text in bare if Path(text).exists() or (NETS / text).is_dir()]:
        key = "checkpoint" if Path(paths[0]).is_file() else "run_dir"
        raise ConfigError([f"{paths[0]}: expected key=value, such as {setting(key, paths[0])}"])
    parsed = parse(found.overrides)
    if several := [line(override) for override in parsed if override.is_sweep_override()]:
        raise ConfigError([f"{text}: one at a time" for text in several])
    if groups := [line(override) for override in parsed if is_group(override.key_or_group)]:
        words = "is for training; a net that has been trained has its own (run_dir=...; --help names all settings)"
        raise ConfigError([f"{text}: {words}" for text in groups])
    return [line(o) if o.is_delete() else f"++{line(o).lstrip('+')}" for o in parsed]


class _Parser(argparse.ArgumentParser):
    def answered(self, given: Sequence[str], config_name: str, header: str | None = None) -> argparse.Namespace | None:
        """The overrides and options of the command line; a question is answered instead, most of them by Hydra."""
        self.add_argument("--help", "-h", action="store_true")
        self.add_argument("overrides", nargs="*")
        for name in ("hydra_help", "shell_completion"):
            self.add_argument(*QUESTIONS[name], dest=name, action="store_true")
        self.add_argument(*QUESTIONS["cfg"], dest="cfg", choices=["job", "hydra", "all"])
        kinds = ["all", "config", "defaults", "defaults-tree", "plugins", "searchpath"]
        self.add_argument(*QUESTIONS["info"], dest="info", nargs="?", const="all", choices=kinds)
        self.add_argument("--package", "-p")
        self.add_argument("--resolve", action="store_true")
        if useless := [word for word in given if word.partition("=")[0] in WITHOUT_MEANING]:
            self.error(f"{useless[0]} means nothing here")
        found = self.parse_intermixed_args(given)
        if found.help:
            print(help_text(config_name, header))
            return None
        if not any(getattr(found, name) for name in QUESTIONS):
            if found.package or found.resolve:
                self.error("--package and --resolve mean nothing without --cfg")
            return found
        answer_question(config_name)
        return None

    def error(self, message: str) -> NoReturn:
        raise ConfigError([f"{message}; settings are key=value, such as trainer.max_epochs=5 (see --help)"])
