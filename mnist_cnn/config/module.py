"""The group `model`: a variant of ours, anybody's net or LightningModule; what its keys may be, and how it is built.

A net that knows nothing of training is wrapped by `NetClassifier`: the keys of `WRAPPER` are the wrapper's, all others
are the net's own arguments; `num_classes` is both's where the net takes it.
"""

import copy
import functools
import inspect
import json
import typing
from typing import Any

import pytorch_lightning as pl
import torch
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.utilities.seed import isolate_rng

from mnist_cnn.config.instantiate import build, named, problems_of
from mnist_cnn.config.quiet import quiet_libraries
from mnist_cnn.config.signatures import arguments, check_inside, check_keys, check_node, locate
from mnist_cnn.config.tried import kept_for_a_call
from mnist_cnn.errors import shortened
from mnist_cnn.models.classifier import Classifier
from mnist_cnn.models.layers import CLASSES
from mnist_cnn.models.net import NetClassifier, rehearse
from mnist_cnn.models.start import freeze

WRAPPER = ("adapt_input", "loss", "label_smoothing", "class_weights", "num_classes")
HOW = "must be a class of nn.Module or LightningModule, or a function that says it returns one (-> nn.Module)"


def build_module(node: dict[str, Any], classes: int | None = None, **parts: Any) -> pl.LightningModule:
    """The model of a checked node.

    Args:
        classes: of the data, where the node does not say; None for 10.
        parts: `optimizer` and `scheduler`, for those that do not bring their own.
    """
    node = with_classes(node, classes)
    kind = _kind(locate(node["_target_"], "model")[0])
    if kind == "module":
        return build(node, "model")
    if kind == "variant":
        return build(_with_own_loss(node), "model", **parts)
    own, of_net = _split(node)
    own = _with_own_loss(own)
    built = {key: build(value, f"model.{key}") if isinstance(value, dict) else value for key, value in own.items()}
    net = build(of_net, "model")
    with named("model", node):
        return NetClassifier(net, **built, **parts)


def plain_node(node: DictConfig) -> dict[str, Any]:
    """A node of plain dictionaries and lists."""
    plain: Any = OmegaConf.to_container(node, resolve=True)
    return plain


def with_classes(node: dict[str, Any], classes: int | None) -> dict[str, Any]:
    """The node with the number of classes that the data have, where it takes one and says nothing itself."""
    if node.get("num_classes") is not None or classes is None:
        return node
    target, _ = locate(node.get("_target_"), "model")
    if target is None:
        return node
    variant = _kind(target) == "variant"
    takes = "num_classes" in arguments(target)[0] and not (variant and classes == CLASSES)
    return node | {"num_classes": classes} if takes or _kind(target) == "net" else node


def check_module(node: Any) -> list[str]:
    """Problems of the group `model`: its target, its keys and their types; nothing is called."""
    if not isinstance(node, dict) or "_target_" not in node:
        return [f"model: must be a mapping with a _target_, found {shortened(node)}"]
    name = node["_target_"]
    if name is None:
        return ["model._target_: name the net, e.g. model._target_=my_nets.Res for the class Res of my_nets.py"]
    target, wrong = locate(name, "model")
    kind = _kind(target)
    if target is None or kind is None:
        return [wrong or f"model._target_ = {name!r}: {HOW}"]
    problems = [found for key, value in node.items() for found in check_inside(value, f"model.{key}", _judge)]
    if kind != "net":
        return problems + check_node(node, "model", pl.LightningModule)
    own, of_net = _split(node)
    mine, (allowed, required, open_ended) = arguments(NetClassifier)[0], arguments(target)
    taken = {key: mine[key] for key in WRAPPER}
    given = {key: value for key, value in of_net.items() if key != "_target_"}
    problems += check_keys(own, taken, "model.")
    problems += check_keys(given, allowed if open_ended else taken | allowed, "model.", open_ended)
    return problems + [f"model.{key}: missing" for key in sorted(required - set(given) - {"num_classes"})]


def own_options(name: Any) -> dict[str, Any] | None:
    """Options with their defaults that a `_target_` gets from this package; None for what is no net of its own."""
    found = {k: p.default for k, p in inspect.signature(Classifier.__init__).parameters.items()}
    match _kind(locate(name, "model")[0]):
        case "variant":
            return found
        case "net":
            found |= {k: p.default for k, p in inspect.signature(NetClassifier.__init__).parameters.items()}
            return {key: found[key] for key in WRAPPER}
    return None


def is_classifier(node: dict[str, Any]) -> bool:
    """Whether the package trains it: a variant or a net; not somebody's own LightningModule."""
    return _kind(locate(node["_target_"], "model")[0]) != "module"


def try_module(node: dict[str, Any], classes: int | None) -> list[str]:
    """What is wrong with the model: it is built, and a net of somebody's own is shown two blank images."""
    return _problems(json.dumps(node), classes or _classes_said(node))


@kept_for_a_call(64)  # a few words, where a net may be large
def _problems(text: str, classes: int | None) -> list[str]:
    return _tried(text, classes)[1]


def blank_module(node: dict[str, Any], classes: int | None, frozen: list[str] | None) -> pl.LightningModule | None:
    """The model with its weights by name, without memory where that can be; None where it cannot be built.

    Args:
        frozen: see `models.start.freeze`.

    Raises:
        ConfigError: no such weights, or none left to train.
    """
    model = _tried(json.dumps(node), classes or _classes_said(node))[0]
    if model is not None and frozen is not None:
        model = copy.deepcopy(model)
        freeze(model, frozen)
    return model


@kept_for_a_call(8)  # the jobs of a sweep mostly have one net
def _tried(text: str, classes: int | None) -> tuple[pl.LightningModule | None, list[str]]:
    """What could be built, and what is wrong with it."""
    node, built = json.loads(text), list[pl.LightningModule]()
    problems = problems_of(_show, node, classes, "meta", built)  # without memory
    if problems and not node["_target_"].startswith("mnist_cnn."):  # one of somebody's own may have to see numbers
        problems = problems_of(_show, node, classes, "cpu", built)
    return (built[0] if built else None), problems


def _show(node: dict[str, Any], classes: int | None, device: str, built: list[pl.LightningModule]) -> None:
    with torch.device(device), isolate_rng(), quiet_libraries(), named("model", node, functools.partial(_advice, node)):
        model = build_module(node, classes)
        built.append(model)
        if isinstance(model, Classifier) and not (hasattr(model, "_rows") and isinstance(model.loss, str)):
            rehearse(model, node.get("num_classes") or classes)
            model.train()


def _advice(node: dict[str, Any], words: str) -> str:
    grey = "channel" in words and node.get("adapt_input") is False
    return "; model.adapt_input=true adapts the first convolution of a net for colour" if grey else ""


def _classes_said(node: dict[str, Any]) -> int | None:
    """How many classes a node is made for by its weights or last layer, where the data do not say yet."""
    if node.get("class_weights") is not None:
        return len(node["class_weights"])
    for layer in reversed(node.get("layers") or []):
        main = next((layer[kind] for kind in ("conv", "dense") if isinstance(layer, dict) and kind in layer), None)
        if main is not None:
            number = main.get("filters", main.get("units")) if isinstance(main, dict) else main
            return number if isinstance(number, int) else None
    return None


def _kind(target: Any) -> str | None:
    """`variant` (a Classifier), `module` (another LightningModule), `net`, or None for what is no net."""
    if inspect.isclass(target):
        kinds = {"variant": Classifier, "module": pl.LightningModule, "net": torch.nn.Module}
        return next((kind for kind, base in kinds.items() if issubclass(target, base)), None)
    try:
        made = typing.get_type_hints(target).get("return") if callable(target) else None
    except Exception:  # names that only exist while type checking
        made = None
    return "net" if inspect.isclass(made) and issubclass(made, torch.nn.Module) else None


def _split(node: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The keys of the wrapper, and the node of the net alone."""
    own = {key: value for key, value in node.items() if key in WRAPPER}
    of_net = {key: value for key, value in node.items() if key not in WRAPPER}
    target = locate(node["_target_"], "model")[0]
    allowed, _, open_ended = arguments(target)
    if own.get("num_classes") is not None and (
        "num_classes" in allowed or (open_ended and not inspect.isclass(target))
    ):
        of_net["num_classes"] = own["num_classes"]
    return own, of_net


def _with_own_loss(node: dict[str, Any]) -> dict[str, Any]:
    """A function as the loss stays a function; a class is built."""
    loss = node.get("loss")
    if not isinstance(loss, dict) or inspect.isclass(locate(loss["_target_"], "model.loss")[0]):
        return node
    return node | {"loss": loss | {"_partial_": True}}


def loss_alone(node: dict[str, Any]) -> Any:
    """The loss of a checked node: built, or by its name."""
    loss = _with_own_loss(node).get("loss")
    return build(loss, "model.loss") if isinstance(loss, dict) else loss


def _judge(target: Any, node: dict[str, Any], path: str) -> list[str]:
    """Of the nodes inside the node of the model: a loss, or a part of a net."""
    is_loss = path == "model.loss" and not inspect.isclass(target) and callable(target)
    if not is_loss and _kind(target) is None:
        also = ", or a function of logits and labels" if path == "model.loss" else ""
        return [f"{path}._target_ = {node['_target_']!r}: must be a class of nn.Module{also}"]
    allowed, required, open_ended = arguments(target)
    if is_loss:
        if len(allowed) < 2:
            return [f"{path}._target_ = {node['_target_']!r}: must take logits and labels"]
        positional = list(allowed)[:2]
        allowed, required = {k: v for k, v in allowed.items() if k not in positional}, required - set(positional)
    given = {k: v for k, v in node.items() if k not in ("_target_", "_partial_")}
    if target in (torch.nn.CrossEntropyLoss, torch.nn.functional.cross_entropy) and given.get("weight") is not None:
        return [f"{path}.weight: for weights of the classes leave {path} out, and use model.class_weights=[...]"]
    problems = check_keys(given, allowed, f"{path}.", open_ended)
    missing = [] if node.get("_partial_") else sorted(required - set(given))
    return problems + [f"{path}.{key}: missing" for key in missing]
