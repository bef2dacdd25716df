"""What a training step of this package spends on each of its parts: medians over steps, in milliseconds. Prints JSON.

python scripts/benchmarks/parts.py [model=bn_dropout] [experiment=...] [any other setting of a run]

"limit" is what a billion multiply-adds take where nothing else is to do: in PyTorch's product of two large matrices.
"kernels" are those of the package, by kind: every work of a step runs alone, with all threads, once per step, so that
some microseconds of calling come to each.
"""

if __name__ == "__main__":  # before anything makes a tensor, as `python -m mnist_cnn.train` does
    from mnist_cnn.speed import huge_pages

    huge_pages.ask_for()

import json
import logging
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from omegaconf import DictConfig
from torch import Tensor

from mnist_cnn import cli
from mnist_cnn.callbacks import AtomicCheckpointIO
from mnist_cnn.config.build import build, build_data, build_model
from mnist_cnn.config.compose import compose_run
from mnist_cnn.models.classifier import Classifier
from mnist_cnn.speed import program
from mnist_cnn.speed.measures import Speed
from mnist_cnn.speed.team import run as run_works
from mnist_cnn.speed.work import HEAD, Kernel

STEPS = 60
KIND = HEAD.index("kernel")


def main() -> None:
    torch.manual_seed(1)
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    with cli.user_errors():
        cfg = compose_run(["augment=affine", "trainer=cpu", *cli.arguments(__doc__ or "")]).cfg
        speed = build(cfg.speed, "speed")
        with speed.memory():
            times = measure(cfg, speed)
        print(json.dumps({part: median(found) for part, found in times.items()}))


def measure(cfg: DictConfig, speed: Speed) -> dict[str, list[float]]:
    """Milliseconds of every part, each time it was done."""
    data, model = build_data(cfg), build_model(cfg)
    speed.apply(model)
    data.setup("fit")
    optimizer = model.optimizer(model.named_parameters())
    times: dict[str, list[float]] = {}

    def clock(part: str, began: float) -> float:
        now = time.perf_counter()
        times.setdefault(part, []).append(1000 * (now - began))
        return now

    augment, data.augment = data.augment, None
    batches = iter(data.train_dataloader())
    model.train()
    for step in range(STEPS):
        if step == 5:
            times.clear()  # warm-up
        now = time.perf_counter()
        images, labels = data.on_after_batch_transfer(next(batches), 0)
        now = clock("data: next batch, to float", now)
        augment(images, labels)
        now = clock("augmentation (affine; off by default here)", now)
        optimizer.zero_grad()
        loss = model.training_step((images, labels), step)
        now = clock("forward, loss", now)
        loss.backward()
        now = clock("backward", now)
        optimizer.step()
        clock("optimizer", now)
    for kernel, found in kernels(model, images, labels).items():
        times[f"kernels: {kernel}"] = found
    matrix = torch.rand(2048, 2048)
    for _ in range(9):
        now = time.perf_counter()
        matrix @ matrix
        times.setdefault("limit: a billion multiply-adds", []).append(
            1000 * (time.perf_counter() - now) / (len(matrix) ** 3 / 1e9)
        )
    for _ in range(5):
        now = time.perf_counter()
        model.running("train")
        clock("loss and accuracy, per epoch", now)
    model.eval()
    with torch.no_grad(), tempfile.TemporaryDirectory() as folder:
        for _ in range(3):
            now = time.perf_counter()
            for batch in data.val_dataloader():
                model(data.on_after_batch_transfer(batch, 0)[0])
            now = clock("validation, per epoch", now)
            state = {"state_dict": model.state_dict(), "optimizer": optimizer.state_dict()}
            AtomicCheckpointIO().save_checkpoint(state, Path(folder) / "last.ckpt")
            clock("checkpoint, per epoch", now)
    return times


def kernels(model: Classifier, images: Tensor, labels: Tensor) -> dict[str, list[float]]:
    """Milliseconds of each kind in a step; nothing where the net takes PyTorch's layers."""
    steps: list[dict[str, float]] = []

    def run_alone(works: np.ndarray[Any, Any], dtype: torch.dtype) -> None:
        for row in range(1, int(works[0, 0]) + 1):
            one = works[[0, row]].copy()
            one[0, 0] = 1
            began = time.perf_counter()
            run_works(one, dtype)
            kind = Kernel(int(one[1, KIND])).name.lower().replace("_", " ")
            steps[-1][kind] = steps[-1].get(kind, 0.0) + 1000 * (time.perf_counter() - began)

    whole, program.run = program.run, run_alone
    try:
        for step in range(STEPS):
            steps.append({})
            model.training_step((images, labels), step).backward()
    finally:
        program.run = whole
    return {kind: [step[kind] for step in steps] for kind in steps[0]}


if __name__ == "__main__":
    main()
