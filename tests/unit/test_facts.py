"""Every preset against the facts of its document, which `tests/facts` keeps apart from the presets.

experiments.yaml has the layers in a short notation of its own (see its head) and what the documents set; printed.yaml
has the layer tables and learning rates that they print.
"""

import re
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from omegaconf import OmegaConf
from torch import nn

from mnist_cnn.config.build import build, build_model
from mnist_cnn.config.compose import config_dir
from mnist_cnn.report.tables import count
from mnist_cnn.reproduce.study import Entry, composed, documents

FACTS = Path(__file__).parent.parent / "facts"
DOCUMENT = {"000": "squeezed", "001": "sigmoid", "002": "five_models", "003": "ablation", "004": "under_15k"}
PRINTED = yaml.safe_load((FACTS / "printed.yaml").read_text())
KERAS_KIND = {
    "Conv2D": "Conv2d", "Batc": "BatchNorm2d", "Dropout": "Dropout", "MaxPooling": "MaxPool2d",
    "MaxPooling2": "MaxPool2d", "Flatten": "Flatten", "Dense": "Linear",
}  # fmt: skip
OPTIMIZERS = {
    "adam": {"lr": 0.001, "eps": 1e-7, "betas": (0.9, 0.999)},
    "sgd": {"lr": 0.01, "momentum": 0.0},
    "adadelta": {"lr": 1.0, "rho": 0.95, "eps": 1e-7},
    "adagrad": {"lr": 0.01, "eps": 1e-7, "initial_accumulator_value": 0.0},
}
EPOCHS = {"five_models": 5, "ablation": 6, "under_15k": 20}
# Keras 2.1.3 to 2.2 left the start out of batch norm's moving averages. 002's warnings have the line numbers of 2.2.4;
# 000 and 004 log `acc` and pass `Adam(lr=...)`, 003 passes `Adam(learning_rate=...)`, new in 2.3.
KERAS_BEFORE_2_3 = ("squeezed", "five_models", "under_15k")
BATCH = {"sigmoid": 128, "five_models": 512, "ablation": 128, "under_15k": 64}  # under_15k: where it is not stated


def facts() -> dict[str, dict[str, Any]]:
    tree = yaml.safe_load((FACTS / "experiments.yaml").read_text())
    named = {}
    for file, entries in tree.items():
        document = DOCUMENT[file[:3]]
        for entry in entries:
            if "layers" in entry:
                named[f"{document}/{entry['name']}"] = {"document": document, **entry}
    return named


ALL = facts()


ENTRIES = {entry.key: entry for document in documents() for entry in document.entries}


def model_of(key: str) -> tuple[Any, Any]:
    entry = ENTRIES.get(key) or Entry("ablation", "grid", key)  # of the grid only the cells are entries
    cfg = composed(entry, "document")  # validates it
    return cfg, build_model(cfg)


def described(net: nn.Sequential) -> list[str]:
    """The net in the notation of experiments.yaml, an activation as its own word."""
    words = []
    for module in net:
        match module:
            case nn.Conv2d():
                assert (module.stride, module.padding) == ((1, 1), (0, 0))
                words.append(f"c{module.out_channels}k{module.kernel_size[0]}" + ("n" if module.bias is None else ""))
            case nn.Linear():
                words.append(f"fc{module.out_features}")
            case nn.BatchNorm2d() | nn.BatchNorm1d():
                assert (module.momentum, module.eps) == (0.01, 1e-3)
                words.append("bn")
            case nn.Dropout():
                words.append(f"d{module.p:g}")
            case nn.MaxPool2d():
                assert module.kernel_size == 2
                words.append("pool")
            case nn.Flatten():
                words.append("flat")
            case _:
                words.append(type(module).__name__.lower())
    return words


def expected_words(entry: dict[str, Any]) -> list[str]:
    activation = entry.get("activation", "sigmoid" if entry["document"] == "sigmoid" else "relu")
    words = []
    listed = entry["layers"].split()
    for word in listed:
        words.append(f"d{float(word[1:]):g}" if word.startswith("d") else word.rstrip("-"))
        if word.startswith(("c", "fc")) and not word.endswith("-"):
            words.append(activation)
    if listed[-1].startswith("fc"):  # the last layer has no activation
        words.pop()
    return words


def test_every_named_net_has_its_preset_and_its_reported_figures():
    presets = {
        str(f.relative_to(config_dir() / "experiment").with_suffix(""))
        for f in config_dir().glob("experiment/*/*.yaml")
        if f.parent.name != "speed"
    }
    assert set(ALL) <= presets
    entries = {entry.key: entry for document in documents() for entry in document.entries}
    for key, entry in ALL.items():
        if key == "ablation/grid":
            continue
        reported = dict(entry.get("reported", {}))
        if best := reported.pop("best_epoch_acc", None):
            assert best == max(entries[key].printed["val/acc"]), key
        assert entries[key].reported == reported, key
    beyond = {key for key, entry in entries.items() if entry.experiment == key and key not in ALL}
    assert all(entries[key].probe and key.split("/")[1].startswith(("meant_", "own_")) for key in beyond)


@pytest.mark.parametrize("key", ALL)
def test_layers_parameters_and_settings(key):
    entry = ALL[key]
    cfg, model = model_of(key)
    assert described(model.net) == expected_words(entry)
    assert cfg.model.init == "glorot_uniform"
    early = entry["document"] in KERAS_BEFORE_2_3
    assert all(module.debias == early for module in model.net if isinstance(module, nn.BatchNorm2d | nn.BatchNorm1d))
    if "params" in entry:
        total, trainable = count(model.layer_rows)
        assert total == entry["params"]
        assert trainable == entry.get("trainable", sum(p.numel() for p in model.net.parameters()))
    assert cfg.model.loss == entry.get("loss", "cross_entropy")
    assert cfg.data.batch_size == (64 if key == "ablation/grid" else entry.get("batch", BATCH.get(entry["document"])))
    assert cfg.trainer.max_epochs == entry.get("epochs", EPOCHS.get(entry["document"]))
    assert (cfg.data.validate_on, cfg.test_weights, cfg.augment) == ("test", "last", {})
    twice = key.startswith("ablation/image_rescaled")
    assert cfg.data.divide_by == (255**2 if twice else 255)

    optimizer = build(cfg.optimizer, "optimizer")(model.parameters())
    kind = "adam" if key == "ablation/grid" else entry.get("optimizer", "adam")
    assert type(optimizer).__name__.lower() == ("kerasadam" if kind == "adam" else kind)
    start = re.findall(r"[\d.]+", str(entry["lr"]))[0] if "lr" in entry else OPTIMIZERS[kind]["lr"]
    group = optimizer.param_groups[0]
    wanted = OPTIMIZERS[kind] | {"lr": float(start)} | {"weight_decay": 0.0}
    assert {name: group[name] for name in wanted} == wanted


@pytest.mark.parametrize("name", PRINTED["summaries"])
def test_layer_table_line_by_line(name):
    [key] = [key for key in ALL if key.split("/")[1] == name]
    _, model = model_of(key)
    rows = [row for row in model.layer_rows if row.kind != "Identity"]
    printed = [row for row in PRINTED["summaries"][name] if row[0] != "Activation"]  # the softmax, in our loss
    found = [[row.kind, [*row.output_shape[1:], row.output_shape[0]], row.parameters] for row in rows]
    assert found == [[KERAS_KIND[kind], shape, parameters] for kind, shape, parameters in printed]


def rates(key: str, epochs: int, steps_per_epoch: int) -> list[float]:
    """Learning rate at the start of each epoch."""
    cfg = composed(ENTRIES[key], "document")
    optimizer = build(cfg.optimizer, "optimizer")([torch.zeros(1, requires_grad=True)])
    node = {k: v for k, v in cfg.scheduler.items() if k != "interval"}
    scheduler = build(node, "scheduler")(optimizer)
    found = []
    for _ in range(epochs):
        found.append(optimizer.param_groups[0]["lr"])
        for _ in range(1 if cfg.scheduler.interval == "epoch" else steps_per_epoch):
            optimizer.step()
            scheduler.step()
    return found


@pytest.mark.parametrize("name", PRINTED["learning_rates"])
def test_learning_rate_of_every_epoch_as_printed(name):
    [key] = [key for key in ALL if key.split("/")[1] == name]
    assert rates(key, 20, 469) == pytest.approx(PRINTED["learning_rates"][name], abs=1e-15)


@pytest.mark.parametrize(("name", "start"), [("conv2_fc128_sigmoid_decay", 0.5), ("conv2_relu_decay", 0.1)])
def test_learning_rate_falls_after_every_step_in_document_001(name, start):
    found = rates(f"sigmoid/{name}", 5, 469)
    assert found == pytest.approx([start * 0.9 ** (469 * epoch / 10000) for epoch in range(5)])


def test_the_grid_is_the_documents_eight_cells(monkeypatch):
    entry = ALL["ablation/grid"]
    [document] = [d for d in documents() if d.name == "ablation"]
    found = []
    for cell in document.entries:
        if cell.experiment == "ablation/grid" and not cell.probe:
            cfg, _ = model_of(cell.key)
            kind = cfg.optimizer._target_.rpartition(".")[2].lower().removeprefix("keras")
            found.append([kind, cfg.optimizer.lr, cfg.data.batch_size, cell.reported["acc"]])
    assert sorted(found) == sorted(entry["cells"])
    swept = OmegaConf.load(config_dir() / "experiment/ablation/grid.yaml").hydra.sweeper.params
    assert swept == {"optimizer": "adam_keras_eps,adagrad", "optimizer.lr": "0.01,0.001", "data.batch_size": "64,128"}
