"""Everything on the screen in 80 columns; what is read by others stays whole."""

import pytest
from rich.console import Console
from rich.progress import Progress

from mnist_cnn.report.console import ProgressBar
from mnist_cnn.report.tables import epoch_line
from mnist_cnn.report.text import plain_table, start_table, wrapped

HEAD = ["job", "model", "optimizer.lr", "seed", "n", "validation", "95 % interval", "state"]
ROWS = [
    [str(i), f"experiment/number_{i}", "0.0123", "1", str(i), f"99.{i}23 ± 0.012 %", f"99.{i}0–99.20 %", "completed"]
    for i in range(3)
]


@pytest.mark.parametrize("columns", [60, 80])
def test_a_wide_table_folds_and_says_once_what_all_rows_share(monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", str(columns))
    table = plain_table([HEAD, *ROWS], below=["95 % interval"])
    assert max(map(len, table.splitlines())) <= columns
    assert "in every row: optimizer.lr 0.0123, seed 1, state completed" in " ".join(table.split())
    lines = table.splitlines()
    [first] = [i for i, line in enumerate(lines) if "number_2" in line]
    assert lines[first].endswith("99.223 ± 0.012 %")
    assert lines[first + 1].endswith("99.20–99.20 %")  # below its mean


def test_without_a_terminal_a_table_stays_whole(monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    lines = plain_table([HEAD, *ROWS], below=["95 % interval"]).splitlines()
    assert len(lines) == 5
    assert lines[0].split("  ")[0].strip() == "job"
    assert len({len(line.rstrip()) for line in lines[1:]} - {len(lines[1])}) <= 1


def test_facts_fold_between_words_but_a_command_can_be_copied(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    files, command = ", ".join(f"picture_{i}.png" for i in range(12)), f"python -m mnist_cnn.x run_dir=/{'long/' * 20}"
    lines = start_table({"files": files, "again": command}).splitlines()
    assert [len(line) <= 80 for line in lines] == [True] * (len(lines) - 1) + [False]
    assert lines[1].startswith("       picture_")
    assert lines[-1] == f"again  {command}"
    assert wrapped(f"all of them: {command}").splitlines() == ["all of them:", command]


def test_the_line_of_an_epoch_stands_below_its_head_in_80_columns():
    row = {
        "epoch": 12,
        "lr": 0.0006,
        "train/loss": 0.1,
        "train/acc": 1.0,
        "val/loss": 0.2,
        "val/acc": 0.98,
        "seconds": 99,
    }
    head, line = epoch_line(row, 20, 0.0029, 800)
    assert len(head) == len(line) <= 80
    for name, value in {"epoch": "12/20", "lr": "0.0006→0.0029", "train acc": "100.00%", "left": "13 min"}.items():
        end = head.index(name) + len(name)
        assert line[:end].endswith(f" {value}") or line[:end] == value
    assert "→" not in epoch_line(row, 20, 0.0006, 0)[1]
    assert len(epoch_line(row | {"lr": 0.00071}, 20, 0.00019, 800)[1]) == len(line)


def test_the_bar_keeps_to_one_line_of_80_columns():
    bar = ProgressBar()
    progress = Progress(*bar.configure_columns(None), console=Console(width=80))
    progress.add_task("epoch 100/100", total=1719, completed=860)
    metrics = "loss: 0.1234  acc: 100.00%  lr: 1.2e-05"
    table = progress.make_tasks_table(progress.tasks)
    assert Console(width=200).measure(table).maximum + 1 + len(metrics) <= 80
