"""The pages and pictures in git are what one command makes of `results/`, byte for byte."""

import importlib.metadata
import re
import sys
from pathlib import Path

import pytest

from mnist_cnn.reproduce.check import changed_pages
from mnist_cnn.reproduce.results import Results
from mnist_cnn.reproduce.study import documents

ROOT = Path(__file__).parents[2]
PINNED = re.search(r"^matplotlib==(\S+)", (ROOT / "constraints.txt").read_text(), re.MULTILINE)


def test_the_reproduction_is_what_its_figures_make():
    """Tables, words and numbers; the slow test draws the pictures too."""
    results = Results(ROOT / "results" / "reproduction")
    assert changed_pages(documents(), results, ROOT / "docs" / "reproduction", pictures=False) == []


@pytest.mark.slow
def test_pictures_are_what_the_figures_make(tmp_path, monkeypatch):
    if PINNED is None or importlib.metadata.version("matplotlib") != PINNED[1]:
        pytest.skip("another version of matplotlib draws otherwise")
    results = Results(ROOT / "results" / "reproduction")
    assert changed_pages(documents(), results, ROOT / "docs" / "reproduction") == []
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    import draw_results

    monkeypatch.setattr(sys, "argv", ["draw_results.py", str(ROOT / "results"), str(tmp_path / "results.png")])
    draw_results.main()
    assert (tmp_path / "results.png").read_bytes() == (ROOT / "docs" / "results.png").read_bytes()
