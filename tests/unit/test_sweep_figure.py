"""Which picture a sweep gets, and what it shows."""

import pytest

from mnist_cnn.report.spread import Spread
from mnist_cnn.sweep.groups import Group
from mnist_cnn.sweep.plot import draw


class Row:
    def __init__(self, validation: float) -> None:
        self.validation = validation


def group(*accuracies: float, **values: str) -> Group:
    return Group(
        {key.replace("__", "."): value for key, value in values.items()}, [Row(a) for a in accuracies], len(accuracies)
    )


def test_one_number_is_a_curve_in_order_with_intervals():
    groups = [group(0.9, 0.92, lr="0.1"), group(0.8, 0.84, lr="0.001"), group(0.7, 0.72, lr="0.01")]
    [axes] = draw(groups, ["lr"]).axes
    assert axes.get_xscale() == "log"
    line = axes.lines[0]
    assert list(line.get_xdata()) == [0.001, 0.01, 0.1]
    assert list(line.get_ydata()) == pytest.approx([0.82, 0.71, 0.91])


def test_names_stand_side_by_side():
    [axes] = draw([group(0.9, model="gap"), group(0.8, model="vanilla")], ["model"]).axes
    assert [label.get_text() for label in axes.get_xticklabels()] == ["gap", "vanilla"]


def test_two_or_more_keys_are_a_heat_map_with_the_figure_in_every_cell():
    cells = [(o, lr, b) for o in ("adam", "adagrad") for lr in ("0.01", "0.001") for b in ("64", "128")]
    groups = [group(0.5 + i / 100, optimizer=o, lr=lr, batch=b) for i, (o, lr, b) in enumerate(cells)]
    [axes] = draw(groups, ["optimizer", "lr", "batch"]).axes
    assert {text.get_text() for text in axes.texts} == {f"{50 + i}.00" for i in range(8)}
    assert [label.get_text() for label in axes.get_xticklabels()] == ["64", "128"]
    assert len(axes.get_yticklabels()) == 4


def test_a_search_is_a_panel_of_points_per_key():
    groups = [group(0.8 + i / 100, lr=str(0.001 * 1.7**i), batch=str(2 ** (i % 2))) for i in range(6)]
    panels = draw(groups, ["lr", "batch"]).axes
    assert [len(panel.lines[0].get_xdata()) for panel in panels] == [6, 6]
    assert [panel.get_xlabel() for panel in panels] == ["lr", "batch"]


def test_nothing_to_compare_is_no_picture():
    assert draw([group(0.9, model="gap")], ["model"]) is None
    assert draw([group(0.9), group(0.8)], []) is None


def test_interval_is_students():
    assert Spread.of([0.98, 0.99, 1.0]).half_width == pytest.approx(4.3027 * 0.01 / 3**0.5, rel=1e-4)
    many = Spread.of([0.1 * (i % 2) for i in range(33)])  # 32 degrees of freedom
    assert many.half_width == pytest.approx(2.0369 * many.sd / 33**0.5, rel=1e-4)
    assert Spread.of([0.9]).half_width is None
