"""The pictures that a user names: files, folders, patterns, standard input."""

import glob
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mnist_cnn.data.folder import PICTURES, pictures_in
from mnist_cnn.errors import DataError
from mnist_cnn.files import MIB

STANDARD_INPUT = "-"
MOST_BYTES = 256 * MIB  # of standard input


@dataclass(frozen=True)
class Named:
    """A picture that is to be read. Args: name: as it is shown; source: None for standard input."""

    name: str
    source: Path | None

    def content(self) -> Path | bytes:
        """Raises DataError for more than a picture can have."""
        if self.source is not None:
            return self.source
        content = sys.stdin.buffer.read(MOST_BYTES + 1)
        if len(content) > MOST_BYTES:
            raise DataError(f"standard input: more than {MOST_BYTES // MIB} MiB")
        return content


def split_arguments(given: Sequence[str], keys: Sequence[str]) -> tuple[list[str], list[str]]:
    """Names of pictures, and all else: an argument without `=` is a name, and so is a file of another key."""
    names = [text for text in given if text == STANDARD_INPUT or (not text.startswith("-") and _is_name(text, keys))]
    return names, [text for text in given if text not in names]


def _is_name(text: str, keys: Sequence[str]) -> bool:
    key, sign, _ = text.partition("=")
    return not sign or (key.lstrip("+~") not in keys and Path(text).exists())


def find_pictures(names: Sequence[str]) -> tuple[list[Named], list[str]]:
    """What the names stand for, in their order, and what is wrong with those that stand for nothing."""
    found: list[Named] = []
    problems = []
    for name in names:
        try:
            own, wrong = _pictures_of(name)
        except OSError as error:  # a name too long, a folder that must not be read
            own, wrong = [], f"{name}: cannot be read ({error.strerror})"
        found += own
        problems += [wrong] if wrong else []
    return found, problems


def _pictures_of(name: str) -> tuple[list[Named], str | None]:
    path = Path(name)
    if name == STANDARD_INPUT:
        return [Named("standard input", None)], None
    if not name:
        return [], "an empty name, of no file"
    if path.is_dir():
        files = pictures_in(path)
        wrong = None if files else f"{name}: a folder without a picture ({', '.join(sorted(PICTURES))})"
        return [Named(str(file), file) for file in files], wrong
    if not path.exists() and glob.has_magic(name):
        matches = [Path(match) for match in sorted(glob.glob(name, recursive=True)) if Path(match).is_file()]
        wrong = None if matches else f"{name}: no file fits this pattern"
        return [Named(str(match), match) for match in matches], wrong
    return [Named(name, path)], None  # reading it says what is wrong
