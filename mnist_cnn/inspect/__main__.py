"""Looks inside a trained net: `python -m mnist_cnn.inspect run_dir=... photo.jpg`."""

if __name__ == "__main__":  # before the imports, which take seconds
    from mnist_cnn.signals import leave_at_once

    leave_at_once()

    from mnist_cnn.cli import answer_at_once

    answer_at_once("inspect")

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from matplotlib.figure import Figure
from omegaconf import DictConfig
from torch import Tensor, nn

from mnist_cnn import cli
from mnist_cnn.config.build import build_data
from mnist_cnn.config.command_line import evaluation_overrides
from mnist_cnn.config.compose import compose_named
from mnist_cnn.config.module import build_module
from mnist_cnn.config.python_values import setting
from mnist_cnn.config.quiet import quiet_libraries
from mnist_cnn.config.schema import problems_to_evaluate
from mnist_cnn.data.base import ImageDataModule
from mnist_cnn.data.images import SIDE
from mnist_cnn.data.photo import Preparation
from mnist_cnn.errors import ConfigError, DataError, RunError
from mnist_cnn.evaluate import saved_config
from mnist_cnn.files import require_writable
from mnist_cnn.inspect import plots
from mnist_cnn.inspect.decision import decision_of
from mnist_cnn.inspect.flow import Flow, flow_of
from mnist_cnn.inspect.layers import Inspected, inspected_layers, watched
from mnist_cnn.models.answers import as_prepared
from mnist_cnn.models.classifier import Classifier
from mnist_cnn.predict.sources import split_arguments
from mnist_cnn.report.console import logging_to
from mnist_cnn.report.plots import save_plots
from mnist_cnn.report.text import as_text, text_grid
from mnist_cnn.runs.checkpoint import load_trained
from mnist_cnn.runs.shipped import DEFAULT
from mnist_cnn.runs.trained import folder_of, load_net, locate, require_its_classes
from mnist_cnn.values import Count, PathName

log = logging.getLogger(__name__)
SETTINGS: dict[str, Any] = {
    "run_dir": PathName | None,
    "checkpoint": PathName | None,
    "weights": Literal["best", "last"] | None,
    "untrained": bool,
    "images": Count,
    "out": PathName | None,
    "prepare": Preparation | None,
    "data_root": PathName | None,
}


def inspect(cfg: DictConfig, names: Sequence[str]) -> list[Inspected]:
    """Prints the table of layers and draws filters, feature maps, what moves the decision, activations and gradients.

    Raises:
        ConfigError, RunError, DataError: no such net, no images, a picture that cannot be read.
    """
    if cfg.run_dir is None and cfg.checkpoint is None:
        cfg.run_dir = DEFAULT
    run, path = locate(cfg, SETTINGS)
    if len(names) > 1:
        raise ConfigError([f"{', '.join(names)}: one picture at a time"])
    folder = Path(cfg.out) if cfg.out is not None else folder_of(run, path) / "inspect"
    require_writable(folder, RunError)
    found = load_net(path)
    picture = as_prepared(names[0], cfg.prepare or found.scale.preparation).image if names else None
    saved, source = saved_config(cfg, run, path)
    module, divide_by = found.module, found.scale.divide_by
    if cfg.untrained:
        torch.manual_seed(saved.seed)
        module = build_module(load_trained(path).model).eval()
    net: nn.Module = module.net if isinstance(module, Classifier) else module
    title = f"{type(module).__name__}, {'untrained' if cfg.untrained else f'{run.path.name}, {path.name}'}"
    layers = inspected_layers(net)
    log.info(_table(layers))
    data = _data(saved, source)
    require_its_classes(data, module, found.class_names, path)
    data.setup("fit")
    images, classes = (data.splits.get("val") or data.splits["train"]).first(cfg.images), data.class_names
    digit = images.images[0, 0] if picture is None else torch.from_numpy(picture.copy())
    flows = flow_of(net, images.images.float() / divide_by, images.labels)
    log.info(_flow_table(flows))
    scaled = digit.float().reshape(1, 1, SIDE, SIDE) / divide_by
    named: dict[str, Figure | None] = {
        "filters.png": plots.filters(net, title),
        "maps.png": plots.maps([("image", digit[None]), *_maps(net, scaled)], title),
        "decision.png": plots.decision(digit, decision_of(net, scaled), classes, title),
        "flow.png": plots.flow(flows, f"{title}, {len(images):,} images"),
    }
    drawn = {name: figure for name, figure in named.items() if figure is not None}
    save_plots(drawn, folder)
    log.info(f"plots: {setting('out', folder)}: {', '.join(drawn)}")
    return layers


def _data(saved: DictConfig, source: Path) -> ImageDataModule:
    """The images of the run, whose configuration came from `source`."""
    if problems := problems_to_evaluate(saved):
        raise ConfigError([f"{source}: {problem}" for problem in problems])
    data = build_data(saved, training=False)
    if not isinstance(data, ImageDataModule):
        raise DataError(f"{saved.data._target_}: only images of this package's data modules can be looked at")
    data.prepare_data()
    return data


def _maps(net: nn.Module, image: Tensor) -> list[tuple[str, Tensor]]:
    """(channels, height, width) of every layer whose output still is a picture."""
    found: list[tuple[str, Tensor]] = []

    def keep(name: str, module: nn.Module, given: Tensor, output: Tensor) -> None:
        if output.ndim == 4 and output.shape[2] > 1:
            found.append((f"{name} {type(module).__name__}", output[0]))

    with watched(net, keep), torch.no_grad():
        net(image)
    return found


def _table(layers: Sequence[Inspected]) -> str:
    table = text_grid("layer", "output", "parameters", "multiply-adds", "sees", "stride", right=(2, 3, 4, 5))
    for row in layers:
        shape = " × ".join(str(n) for n in (*row.shape[1:], row.shape[0]))
        sees = f"{row.sees[0]} × {row.sees[1]}"
        stride = "" if row.stride is None else str(row.stride)
        table.add_row(f"{row.name} {row.kind}", shape, f"{row.parameters:,}", f"{row.multiply_adds:,}", sees, stride)
    table.add_section()
    sums = (sum(getattr(row, key) for row in layers) for key in ("parameters", "multiply_adds"))
    table.add_row("total", "", *(f"{total:,}" for total in sums), "", "")
    return as_text(table)


def _flow_table(flows: Sequence[Flow]) -> str:
    table = text_grid("layer", "activation", "gradient", "of weights", "saturated", right=(1, 2, 3, 4))
    for row in flows:
        weights = "" if row.weight_gradient is None else f"{row.weight_gradient:.2e}"
        saturated = "" if row.saturated is None else f"{row.saturated:.0%}"
        table.add_row(f"{row.name} {row.kind}", f"{row.activation:.3g}", f"{row.gradient:.2e}", weights, saturated)
    return as_text(table)


def main() -> None:
    with cli.user_errors(), logging_to(), quiet_libraries():
        names, others = split_arguments(cli.arguments(), list(SETTINGS))
        overrides = evaluation_overrides(others, "inspect")
        if overrides is not None:
            inspect(compose_named("inspect", overrides), names)


if __name__ == "__main__":
    main()
