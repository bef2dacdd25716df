"""How large the gradient of each layer's weights is before training, in nets of sigmoids of growing depth.

python scripts/draw_gradients.py [images=1000] [seeds=5] [out=docs/pictures]

Of nets of document 001 and fully connected ones beside them (`mnist_cnn/reproduce/documents.yaml`), with fresh weights,
on the first training images. Writes sigmoid_gradients.json, and the picture from it.
"""

import json
from pathlib import Path
from statistics import geometric_mean
from typing import Any

import pytorch_lightning as pl
import torch
from command_line import UsageError, read_only_options
from matplotlib.figure import Figure

from mnist_cnn import cli
from mnist_cnn.config.build import build_data, build_model
from mnist_cnn.files import write_atomically
from mnist_cnn.inspect.flow import flow_of
from mnist_cnn.reproduce.plots import UNDATED
from mnist_cnn.reproduce.study import chosen, composed, documents
from mnist_cnn.runs.environment import git_state
from mnist_cnn.values import Count

NETS = {
    "fully connected": ["own_dense_baseline", "own_dense_2", "own_dense_3"],
    "convolutions": ["conv1_sigmoid", "conv1_fc128_sigmoid", "conv2_fc128_sigmoid", "conv3_fc128_sigmoid"],
}


def main() -> None:
    options = read_only_options(__doc__, {"images": Count, "seeds": Count, "out": str})
    out = Path(options.get("out", "docs/pictures"))
    code = git_state()
    if code is None or code["dirty"]:
        raise UsageError("there are changes that are not committed: what it writes would have no origin")
    names = [name for group in NETS.values() for name in group]
    seeds = range(1, options.get("seeds", 5) + 1)
    found = {name: [weight_gradients(name, seed, options.get("images", 1000)) for seed in seeds] for name in names}
    write_atomically(
        out / "sigmoid_gradients.json", json.dumps({"commit": code["commit"], "gradients": found}, indent=1).encode()
    )
    draw(found).savefig(out / "sigmoid_gradients.png", dpi=90, metadata=UNDATED)
    for name, of_seeds in found.items():
        print(f"{name:25}", *(f"{geometric_mean(layer):.1e}" for layer in zip(*of_seeds, strict=True)))


def weight_gradients(name: str, seed: int, count: int) -> list[float]:
    """Mean absolute gradient of the weights of each layer, from the first to the last."""
    [entry] = chosen([f"sigmoid/{name}"], documents())
    cfg = composed(entry, "document")
    data: Any = build_data(cfg)
    data.prepare_data()
    data.setup("fit")
    images = data.splits["train"].first(count)
    pl.seed_everything(seed, verbose=False)
    model: Any = build_model(cfg)
    rows = flow_of(model.net.eval(), images.images / cfg.data.divide_by, images.labels)
    return [row.weight_gradient for row in rows if row.weight_gradient is not None]


def draw(found: dict[str, list[list[float]]]) -> Figure:
    figure = Figure(figsize=(8.4, 3.4), layout="constrained")
    for axes, (group, names) in zip(figure.subplots(1, 2, sharey=True), NETS.items(), strict=True):
        for name in names:
            layers = list(zip(*found[name], strict=True))
            places = range(1, len(layers) + 1)
            [line] = axes.plot(places, [geometric_mean(layer) for layer in layers], "o-", markersize=4, label=name)
            low, high = map(min, layers), map(max, layers)
            axes.fill_between(places, list(low), list(high), alpha=0.15, color=line.get_color())
        axes.set_yscale("log")
        axes.set_xticks(range(1, 6))
        axes.set_xlabel("layer with weights, from the image")
        axes.set_title(group, fontsize=10)
        axes.legend(frameon=False, fontsize=8)
    figure.axes[0].set_ylabel("mean |gradient| of its weights")
    return figure


if __name__ == "__main__":
    with cli.user_errors():
        torch.set_num_threads(1)  # the same sums on every machine
        main()
