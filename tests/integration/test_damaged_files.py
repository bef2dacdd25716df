"""Damage that nobody thought of: bytes of every kind of file flipped, cut, grown; read fine, or refused in one line."""

import resource
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import NAMES, idx
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from PIL import Image
from test_broken_files import READERS

import mnist_cnn as mc
from mnist_cnn.config.call import Call
from mnist_cnn.config.data_module import data_defaults
from mnist_cnn.data.table import CSVDataModule
from mnist_cnn.errors import UserError
from mnist_cnn.runs.start import find_start

MOST_MEMORY = 500 * 2**10  # KiB more than before the first file: none of them holds 1 MB
GROWN = st.binary(min_size=1, max_size=200) | st.sampled_from([b"\0" * 5000, b"[" * 5000, b",9" * 3000, b"\xff\xfe"])
# What to do, where in the file (as a fraction of its length), and with what.
DAMAGE = st.tuples(st.sampled_from(["flip", "cut", "grow", "lose", "put"]), st.floats(0, 1, exclude_max=True), GROWN)


def table(path: Path) -> Any:
    node = data_defaults(kind="csv") | {"root": str(path.parent)}
    data = CSVDataModule(**{k: v for k, v in node.items() if k != "_target_"})
    return data.labels("train"), data.pixels("train")


USES: dict[str, list[Callable[[Path], Any]]] = {
    name: [read] for name, read in READERS.items() if not name.startswith("study.")
}
USES["train.csv"] = [table]
USES["last.ckpt"] += [mc.load]
# What reads several files of a run may name another, or the key: it must say so in a line for each all the same.
WHOLE: dict[str, list[Callable[[Path], Any]]] = {
    name: [
        lambda path: mc.list_runs(path.parent.parent, "seed=1", columns=["optimizer.lr", "test/acc"]),
        lambda path: mc.load(path.parent),
        lambda path: find_start(Call([f"resume={path.parent}", "trainer.max_epochs=5"])),
    ]
    for name in ("config.yaml", "overrides.yaml", "metrics.json", "metrics.csv")
}


@pytest.fixture(scope="module")
def good(tiny_overrides, tmp_path_factory) -> Path:
    """A folder with a finished run, and one whole file of each other kind that is read."""
    run = tmp_path_factory.mktemp("damaged") / "run"
    small = ["model=gap", "model.stages=[[2]]", "seed=1", "trainer.max_epochs=1", "data.limit_train=32"]
    mc.fit(*small, "data.limit_val=20", "data.limit_test=20", *tiny_overrides, f"hydra.run.dir={run}")
    shutil.copy(run / "checkpoints" / "last.ckpt", run)
    (run / "sweep.yaml").write_text("arguments: [seed=1,2]\njobs:\n- {number: 0, overrides: [seed=1]}\n")
    images = np.arange(3 * 28 * 28, dtype=np.uint8).reshape(3, 28, 28)
    (run / NAMES[0]).write_bytes(idx(images))
    rows = [",".join(map(str, [label, *image.ravel()])) for label, image in enumerate(images)]
    (run / "train.csv").write_text("\n".join(rows) + "\n")
    np.savez(run / "train.npz", images=images, labels=np.arange(3))
    Image.fromarray(images[0]).resize((40, 30)).convert("RGB").save(run / "picture.png")
    return run


def damaged(content: bytes, what: str, where: float, grown: bytes) -> bytes:
    at = int(where * len(content))
    if what == "flip":
        return content[:at] + bytes([content[at] ^ (1 << grown[0] % 8)]) + content[at + 1 :]
    return {
        "cut": content[:at],
        "grow": content[:at] + grown + content[at:],
        "lose": content[:at] + content[at + len(grown) :],
        "put": content[:at] + grown + content[at + len(grown) :],
    }[what]


def hold(good: Path, folder: Path, name: str, damages: list[tuple[str, float, bytes]]) -> None:
    """Damages one file of a run and reads it, in every way that it is read."""
    run = folder / "run"
    shutil.rmtree(run, ignore_errors=True)
    shutil.copytree(good, run) if name in WHOLE else run.mkdir()
    content = (good / name).read_bytes()
    for damage in damages:
        content = damaged(content, *damage) or b"\n"
    (run / name).write_bytes(content)
    for read in [*USES[name], *WHOLE.get(name, [])]:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        try:
            read(run / name)
        except UserError as error:
            lines, problems = str(error).splitlines(), len(getattr(error, "problems", [""]))
            assert len(lines) == (1 if problems == 1 else 1 + problems)
            assert read not in USES[name] or str(run / name) in lines[0]
            assert max(map(len, lines)) < 2000
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < before + MOST_MEMORY
        assert (run / name).read_bytes() == content


FEW = settings(
    max_examples=6, derandomize=True, database=None, deadline=None, phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)  # fmt: skip


@pytest.mark.parametrize("name", USES)
@settings(FEW)
@given(damages=st.lists(DAMAGE, min_size=1, max_size=3))
def test_a_damaged_file_is_read_or_refused_in_one_line(good, tmp_path_factory, name, damages):
    hold(good, tmp_path_factory.getbasetemp(), name, damages)


@pytest.mark.slow
@pytest.mark.parametrize("name", USES)
@settings(FEW, max_examples=400, derandomize=False)
@given(damages=st.lists(DAMAGE, min_size=1, max_size=3))
def test_four_hundred_of_each(good, tmp_path_factory, name, damages):
    hold(good, tmp_path_factory.getbasetemp(), name, damages)
