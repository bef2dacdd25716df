"""Tab completion of overrides: reads the files of conf/ and imports nothing large, so that a key answers at once.

eval "$(python -m mnist_cnn.config.completion bash)"
"""

import itertools
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

from mnist_cnn.config.place import config_dir

# bash splits words at = and :, so a reply must not repeat what stands before. zsh takes the same function.
SHELL = """\
if [ -n "${ZSH_VERSION-}" ]; then autoload -U +X compinit bashcompinit; compinit; bashcompinit; fi
_mnist_cnn() {
  COMPREPLY=()
  case "$COMP_LINE" in
    *mnist_cnn.*|*mnist-cnn-*) ;;
    *) compopt -o default 2>/dev/null; return ;;
  esac
  local python=python IFS=$'\\n'
  case "$1" in *python*) python=$1 ;; esac
  COMPREPLY=($(COMP_LINE="${COMP_LINE:0:$COMP_POINT}" "$python" -m mnist_cnn.config.completion 2>/dev/null))
  case "${COMPREPLY[0]-}" in
    *=|*.) compopt -o nospace 2>/dev/null ;;
    "") compopt -o default 2>/dev/null ;;
  esac
}
complete -F _mnist_cnn python python3 mnist-cnn-{train,validate,search,evaluate,export}
"""
LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def main() -> None:
    line = os.environ.get("COMP_LINE")
    print(SHELL if line is None else "\n".join(replies(line)))


def replies(line: str) -> list[str]:
    """What can stand for the last word of an unfinished command line, from the last = or : of it on.

    A key is completed a level at a time: `trai` to `trainer.`, then to the keys of the trainer.
    """
    *before, last = line.split(" ")
    unfinished = last.lstrip("+~'\"")
    found = {text for text in _candidates(before) if text.startswith(unfinished)}
    if "=" not in unfinished:
        found = {_one_level(text, unfinished) for text in found}
    known = max(unfinished.rfind("="), unfinished.rfind(":")) + 1
    return sorted(text[known:] for text in found)


def _candidates(before: Sequence[str]) -> Iterator[str]:
    """Groups with their options, and the keys of the files that the line or conf/train.yaml chooses."""
    for name in ("evaluate", "export"):
        if any(word.endswith(name) for word in before):
            yield from _keys(_read(config_dir() / f"{name}.yaml"))
            return
    extra = [Path(value) for option, value in itertools.pairwise(before) if option in ("--config-dir", "-cd")]
    folders = [config_dir(), *(folder for folder in extra if folder.is_dir())]
    roots = ["train", *(["search"] if any(word.endswith("search") for word in before) else [])]
    for root in roots:
        yield from _keys(_read(config_dir() / f"{root}.yaml"))
    chosen = dict(word.split("=", 1) for word in before if "=" in word)
    groups = {group.name: group for folder in folders for group in folder.iterdir() if group.is_dir()}
    options = _defaults(_read(config_dir() / "train.yaml")) | chosen
    for name in ("model", "experiment"):  # what these choose gives way to the line
        options |= _defaults(_read(groups[name] / f"{options.get(name)}.yaml")) | chosen
    for folder in folders:
        for name in groups:
            for file in (folder / name).rglob("*.yaml"):
                if file.stem == "common":  # which only the others of its group name
                    continue
                yield f"{name}={file.relative_to(folder / name).with_suffix('').as_posix()}"
            file = folder / name / f"{options.get(name)}.yaml"
            whole = file.is_file() and "@package _global_" in file.read_text(encoding="utf-8")
            yield from _keys(_read(file), "" if whole else f"{name}.")


def _read(file: Path) -> dict[str, Any]:
    try:
        found = yaml.load(file.read_text(encoding="utf-8"), Loader=LOADER)
    except (OSError, ValueError, yaml.YAMLError):
        return {}
    return found if isinstance(found, dict) else {}


def _defaults(tree: dict[str, Any]) -> dict[str, str]:
    """The options that a defaults list chooses, by group."""
    entries = [entry for entry in tree.get("defaults", []) if isinstance(entry, dict)]
    return {key.split("/")[-1].split(" ")[-1]: value for entry in entries for key, value in entry.items()}


def _keys(tree: dict[str, Any], prefix: str = "") -> Iterator[str]:
    for key, value in tree.items():
        if key in ("defaults", "hydra", "_partial_"):
            continue
        if isinstance(value, dict) and value:
            yield from _keys(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}="


def _one_level(text: str, unfinished: str) -> str:
    """Up to the next dot or equals sign behind what is there."""
    ends = [place + 1 for sign in ".=" if (place := text.find(sign, len(unfinished))) >= 0]
    return text[: min(ends, default=len(text))]


if __name__ == "__main__":
    main()
