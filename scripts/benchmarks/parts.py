"""What a training step of this package spends on each of its parts: bn_dropout, medians over steps. Prints JSON."""

if __name__ == "__main__":  # before anything makes a tensor, as `python -m mnist_cnn.train` does
    from mnist_cnn.speed import huge_pages

    huge_pages.ask_for()

import json
import logging
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import torch
from omegaconf import DictConfig

from mnist_cnn.callbacks import AtomicCheckpointIO
from mnist_cnn.config.build import build, build_data, build_model
from mnist_cnn.config.compose import compose_run
from mnist_cnn.speed.measures import Speed

STEPS = 60


def main() -> None:
    torch.manual_seed(1)
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    cfg = compose_run(["model=bn_dropout", "augment=affine", "trainer=cpu", *sys.argv[1:]]).cfg
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


if __name__ == "__main__":
    main()
