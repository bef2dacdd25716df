"""What a run should have told a tracker, and what TensorBoard says it was told."""

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mnist_cnn.runs.directory import Run

Curves = dict[str, list[tuple[int, float]]]  # (step, value) in the order of telling, by figure


@dataclass
class Told:
    """`pictures`: pixels by name."""

    settings: dict[str, str]
    curves: Curves
    pictures: dict[str, np.ndarray]

    def assert_is_that_of(self, run: Run, batches: int) -> None:
        """Every figure once, at the step of the last of the `batches` of its epoch; test figures behind them."""
        curves = expected(run, batches)
        assert self.curves.keys() == curves.keys()
        for name, points in curves.items():
            assert [step for step, _ in self.curves[name]] == [step for step, _ in points], name
            assert [value for _, value in self.curves[name]] == pytest.approx([value for _, value in points]), name
        cfg = run.config()
        assert float(self.settings["optimizer.lr"]) == pytest.approx(cfg.optimizer.lr)
        assert float(self.settings["seed"]) == cfg.seed
        drawn = {file.stem: pixels(file.read_bytes()) for file in run.path.glob("*.png")}
        assert self.pictures.keys() == drawn.keys()
        assert all(np.array_equal(self.pictures[name], drawn[name]) for name in drawn)


def expected(run: Run, batches: int) -> Curves:
    rows, record = run.history(), run.record()
    assert record is not None
    steps = [(row["epoch"] * batches - 1, row) for row in rows]
    end = len(rows) * batches
    curves = {name: [(step, row[name]) for step, row in steps] for name in rows[0] if name != "epoch"}
    tested = {name: [(end, record.results[name])] for name in ("test/acc", "test/loss")}
    epochs = [*((step, row["epoch"] - 1.0) for step, row in steps), (end, float(len(rows)))]  # Lightning's, from 0
    return {**curves, **tested, "epoch": epochs}


def pixels(content: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))


def told_tensorboard(folder: Path) -> Told:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

    events = EventAccumulator(str(folder))
    events.Reload()
    tags = events.Tags()
    content = events.PluginTagToContent("hparams")["_hparams_/session_start_info"]
    settings = HParamsPluginData.FromString(content).session_start_info.hparams
    return Told(
        {name: str(getattr(value, value.WhichOneof("kind"))) for name, value in settings.items()},
        {tag: [(event.step, event.value) for event in events.Scalars(tag)] for tag in tags["scalars"]},
        {tag: pixels(events.Images(tag)[-1].encoded_image_string) for tag in tags["images"]},
    )
