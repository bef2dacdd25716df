"""The net trained by a loop without a framework, over images in memory; with `tricks`, after this package's `speed`."""

import contextlib
import json
import sys
import time
from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from torchvision.datasets import MNIST

Prepared = tuple[nn.Module, torch.optim.Optimizer]


def main() -> None:
    job = json.loads(sys.argv[1])
    torch.set_num_threads(job["threads"])
    with with_tricks(job) if job["tricks"] else plain(job) as (net, optimizer):
        train(net, optimizer, job)


def train(net: nn.Module, optimizer: torch.optim.Optimizer, job: dict[str, Any]) -> None:
    source = MNIST(job["root"], train=True)
    pixels, labels = source.data.unsqueeze(1), source.targets
    epochs, first_step = [], None
    for _ in range(job["epochs"]):
        net.train()
        began = time.perf_counter()
        for chosen in torch.randperm(job["images"]).split(job["batch_size"]):
            images = pixels[chosen].float().div_(255)
            optimizer.zero_grad()
            F.cross_entropy(net(images), labels[chosen]).backward()
            optimizer.step()
            first_step = first_step or time.time()
        epochs.append(time.perf_counter() - began)
        accuracy(net, pixels[55_000:], labels[55_000:])
    test = MNIST(job["root"], train=False)
    accuracy(net, test.data.unsqueeze(1), test.targets)
    print(json.dumps({"first_step": first_step, "epochs": epochs}))


@contextlib.contextmanager
def plain(job: dict[str, Any]) -> Iterator[Prepared]:
    torch.manual_seed(job["seed"])
    net = nn.Sequential(*(getattr(nn, kind)(**arguments) for kind, arguments in job["layers"]))
    name, arguments = job["optimizer"]
    yield net, getattr(torch.optim, name)(net.parameters(), **arguments)


@contextlib.contextmanager
def with_tricks(job: dict[str, Any]) -> Iterator[Prepared]:
    """Net, optimiser and process as `mnist_cnn.train` prepares them."""
    from mnist_cnn.speed import huge_pages

    huge_pages.ask_for()  # before anything makes a tensor, as importing what follows does
    from mnist_cnn.config.build import build, build_model
    from mnist_cnn.config.compose import compose_run

    torch.manual_seed(job["seed"])
    cfg = compose_run(job["overrides"]).cfg
    speed = build(cfg.speed, "speed")
    with speed.memory():
        model = build_model(cfg)
        speed.apply(model)
        yield model, model.optimizer(model.named_parameters())


@torch.no_grad()
def accuracy(net: nn.Module, pixels: torch.Tensor, labels: torch.Tensor) -> float:
    net.eval()
    right = [
        (net(p.float().div_(255)).argmax(1) == y).sum()
        for p, y in zip(pixels.split(1000), labels.split(1000), strict=True)
    ]
    return float(sum(right)) / len(labels)


if __name__ == "__main__":
    main()
