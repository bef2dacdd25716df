"""The net trained by a loop without a framework, over images in memory; with `tricks`, after this package's `speed`."""

import json
import sys
import time

import torch
import torch.nn.functional as F
from torch import nn
from torchvision.datasets import MNIST


def main() -> None:
    job = json.loads(sys.argv[1])
    torch.set_num_threads(job["threads"])
    torch.manual_seed(job["seed"])
    if job["tricks"]:
        net, optimizer = with_tricks(job["overrides"])
    else:
        net = nn.Sequential(*(getattr(nn, kind)(**arguments) for kind, arguments in job["layers"]))
        name, arguments = job["optimizer"]
        optimizer = getattr(torch.optim, name)(net.parameters(), **arguments)
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


def with_tricks(overrides: list[str]) -> tuple[nn.Module, torch.optim.Optimizer]:
    """Net and optimiser as `mnist_cnn.train` prepares them."""
    from mnist_cnn.config.build import build, build_model
    from mnist_cnn.config.compose import compose_run

    cfg = compose_run(overrides).cfg
    speed = build(cfg.speed)
    speed.prepare_process()
    model = build_model(cfg)
    speed.apply(model)
    assert model.optimizer is not None
    return model.net, model.optimizer(model.parameters())


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
