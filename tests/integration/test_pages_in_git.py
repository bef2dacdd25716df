"""The pages and pictures in git are what one command makes of `results/`, byte for byte."""

import importlib.metadata
import json
import re
import sys
from pathlib import Path

import pytest

from mnist_cnn.records.entries import records
from mnist_cnn.records.plots import draw
from mnist_cnn.records.seeds import Seeds
from mnist_cnn.reproduce.check import changed_pages
from mnist_cnn.reproduce.plots import UNDATED
from mnist_cnn.reproduce.results import Results
from mnist_cnn.reproduce.study import documents

ROOT = Path(__file__).parents[2]
PICTURES = ROOT / "docs" / "pictures"
PINNED = re.search(r"^matplotlib==(\S+)", (ROOT / "constraints.txt").read_text(), re.MULTILINE)


def test_the_reproduction_is_what_its_figures_make():
    """Tables, words and numbers; the slow test draws the pictures too."""
    results = Results(ROOT / "results" / "reproduction")
    assert changed_pages(documents(), results, ROOT / "docs" / "reproduction", pictures=False) == []


DRAWS_ALIKE = pytest.mark.skipif(
    PINNED is None or importlib.metadata.version("matplotlib") != PINNED[1],
    reason="another version of matplotlib draws otherwise",
)


@pytest.mark.slow
@DRAWS_ALIKE
def test_pictures_are_what_the_figures_make():
    results = Results(ROOT / "results" / "reproduction")
    assert changed_pages(documents(), results, ROOT / "docs" / "reproduction") == []


@DRAWS_ALIKE
def test_the_picture_of_the_readme_has_all_results(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    import draw_results

    monkeypatch.setattr(sys, "argv", ["draw_results.py", str(ROOT / "results"), str(tmp_path / "results.png")])
    draw_results.main()
    assert (tmp_path / "results.png").read_bytes() == (ROOT / "docs" / "results.png").read_bytes()


@DRAWS_ALIKE
def test_the_picture_of_the_gradients_has_the_figures_beside_it(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    import draw_gradients

    kept = json.loads((PICTURES / "sigmoid_gradients.json").read_bytes())["gradients"]
    draw_gradients.draw(kept).savefig(tmp_path / "drawn.png", dpi=90, metadata=UNDATED)
    assert (tmp_path / "drawn.png").read_bytes() == (PICTURES / "sigmoid_gradients.png").read_bytes()


@pytest.mark.slow
def test_the_figures_of_the_gradients_are_those_of_the_nets(monkeypatch):
    """Of MNIST itself."""
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    import draw_gradients

    kept = json.loads((PICTURES / "sigmoid_gradients.json").read_bytes())["gradients"]
    for name in ("own_dense_2", "conv2_fc128_sigmoid"):
        assert draw_gradients.weight_gradients(name, 1, 1000) == pytest.approx(kept[name][0], rel=1e-3)


@DRAWS_ALIKE
def test_the_pictures_of_the_book_have_all_results(tmp_path):
    """That of the digits that all miss needs MNIST itself."""
    found = {one.number: Seeds.of_record(one, ROOT / "results") for one in records()}
    draw({number: seeds for number, seeds in found.items() if seeds.complete}, ROOT / "results", tmp_path)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["seconds.png", "size.png"]
    for file in tmp_path.iterdir():
        assert file.read_bytes() == (ROOT / "docs" / "records" / file.name).read_bytes(), file.name
