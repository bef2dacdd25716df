"""Which picture a sweep gets, and what it shows."""

from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import pytest

from mnist_cnn.report.plots import curves
from mnist_cnn.report.spread import Spread
from mnist_cnn.sweep.groups import Group
from mnist_cnn.sweep.plot import draw


@dataclass
class Numbered:
    number: int


class Row:
    def __init__(self, validation: float) -> None:
        self.validation = validation
        self.job = Numbered(0)
        self.done = SimpleNamespace(monitor=None, mode=None, protocol=None)


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


def job(state: str, best: float | None = None, **values: str) -> SimpleNamespace:
    return SimpleNamespace(values=values, done=None, progress=SimpleNamespace(state=state, best=best), job=Numbered(9))


def test_a_diverged_cell_is_hatched_not_white_and_the_highest_is_framed():
    done = [("gap", "1", 0.9), ("gap", "2", 0.8), ("v", "1", 0.7)]
    groups = [group(acc, acc + 0.02, model=model, lr=lr) for model, lr, acc in done]
    [axes] = draw(groups, ["model", "lr"], [job("diverged", model="v", lr="2")]).axes
    assert [text.get_text() for text in axes.texts if text.get_weight() == "bold"] == ["91.00"]
    assert "diverged" in {text.get_text() for text in axes.texts}
    assert [patch.get_hatch() for patch in axes.patches] == ["///"]
    assert "mean of 2 seeds" in axes.get_title()


def test_intervals_end_where_accuracies_do():
    [axes] = draw([group(0.1, 0.99, 0.5, lr="1"), group(0.98, 0.99, 0.98, lr="2")], ["lr"]).axes
    [segments, *_] = [bars.get_segments() for bars in axes.collections]
    assert all(0 <= y <= 1 for segment in segments for _, y in segment)


@pytest.mark.parametrize(("mode", "word", "course"), [("min", "lowest", [4, 3, 2, 1]), ("max", "highest", [4] * 4)])
def test_a_figure_that_is_no_accuracy_has_its_own_name_and_scale(mode, word, course):
    groups = [group(1.0 + i, 1.5 + i, lr=f"0.{i + 1}") for i in range(4)]
    for number, each in enumerate(reversed(groups)):
        each.rows[0].job = each.rows[1].job = Numbered(number)
        each.rows[0].done = SimpleNamespace(monitor="val/loss", mode=mode, protocol=None)
    [axes] = draw(groups, ["lr"]).axes
    assert axes.get_ylabel() == "val/loss"
    assert "%" not in axes.yaxis.get_major_formatter()(1.0)
    assert f"{word}: 1.25" in [line.get_label() for line in axes.lines]
    cells = [Group({"lr": str(i // 2), "batch": str(i % 2)}, each.rows, 2) for i, each in enumerate(groups)]
    [axes] = draw(cells, ["lr", "batch"]).axes
    assert {text.get_text() for text in axes.texts} == {"1.25", "2.25", "3.25", "4.25"}
    assert axes.get_title().startswith("val/loss")
    assert np.ptp(axes.images[0].get_array()) == 1
    alone = [Group(each.values, each.rows[:1], 1) for each in groups]
    panels = draw(alone, ["lr"], [job("pruned", 0.5, lr="0.1")], search=True).axes
    best = next(line for line in panels[0].lines if line.get_label() == "best so far")
    assert list(best.get_ydata()) == course


def test_a_search_shows_its_course_what_was_stopped_and_the_best():
    groups = [group(0.9 - i / 100, batch=str(2 ** (5 + i))) for i in range(4)]
    for number, each in enumerate(reversed(groups)):
        each.rows[0].job = Numbered(number)
    course, panel = draw(groups, ["batch"], [job("pruned", 0.5, batch="32")], search=True).axes
    assert panel.get_xscale() == "log"
    assert [label.get_text() for label in panel.get_xticklabels()] == ["32", "64", "128", "256"]
    best = next(line for line in course.lines if line.get_label() == "best so far")
    assert list(best.get_ydata()) == pytest.approx([0.87, 0.88, 0.89, 0.9])
    assert any(list(line.get_ydata()) == [0.5] for line in panel.lines)


def test_values_that_a_search_draws_are_no_labels_on_top_of_each_other():
    groups = [group(0.9 - i / 100, lr=str(0.0011445062582879902 * 3.17**i)) for i in range(6)]
    for number, each in enumerate(groups):
        each.rows[0].job = Numbered(number)
    panel = draw(groups, ["lr"], search=True).axes[1]
    assert panel.get_xscale() == "log"
    assert {float(place) for place in panel.get_xticks()} >= {0.01, 0.1}


@pytest.mark.parametrize(("row", "panels"), [({"val/loss": 2.0}, ["loss"]), ({"train/acc": 0.5}, ["acc"])])
def test_a_curve_that_nobody_measured_is_left_out(row, panels):
    drawn = curves([{"epoch": 1} | row], "somebody's own module", watched=False)
    assert [axes.get_ylabel()[:3] for axes in drawn.axes] == [panel[:3] for panel in panels]
