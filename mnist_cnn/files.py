"""Writing files so that a kill leaves the old content or the new, never half of it."""

import os
from pathlib import Path
from typing import Any


def write_atomically(path: Path, content: Any) -> None:
    """Replaces the file as a whole or not at all."""
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    with partial.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
