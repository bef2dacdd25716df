"""How fast the package trains, against what its users come from, in one run and in turns.

python scripts/benchmark.py [images=20000] [epochs=2] [repeats=3] [pages=docs/benchmarks] [nets=bn_dropout_14k,...]
                            [from=docs/benchmarks/speed.json]

nets: the first letters are enough; by default bn_dropout_14k, vanilla_10k, gap and model_2_1.2M. Of each process the
first epoch is left out, unless it is the only one.

Needs an otherwise idle machine, MNIST (any training run fetches it) and, for Keras, `make peers`. Writes speed.md and
speed.png, and the measured numbers as speed.json, from which `from=` writes the page again.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated, Any

import torch
from benchmarks.page import write_page
from command_line import UsageError, read_only_options
from pydantic import Field
from torch import nn

from mnist_cnn import cli
from mnist_cnn.config.build import build_data, build_model
from mnist_cnn.config.compose import compose_run
from mnist_cnn.errors import UserError, nearest
from mnist_cnn.runs.directory import Run
from mnist_cnn.runs.environment import environment
from mnist_cnn.runs.history import column
from mnist_cnn.runs.record import known
from mnist_cnn.speed import huge_pages
from mnist_cnn.values import Count

HERE = Path(__file__).resolve().parent
PARTS = [sys.executable, str(HERE / "benchmarks" / "parts.py"), "model=bn_dropout"]
PEERS_PYTHON = HERE.parent / ".venv-peers" / "bin" / "python"
SAME = ["augment=none", "scheduler=constant", "trainer=cpu", "figures=false", "logger=csv"]
NETS = {
    "bn_dropout_14k": ["model=bn_dropout"],
    "vanilla_10k": ["model=vanilla"],
    "gap": ["model=gap"],
    "model_2_1.2M": ["experiment=five_models/model_2", "data.validate_on=holdout", "data.batch_size=128"],
}
# How a user calls this package: by default, with PyTorch's own ways, in bfloat16.
CALLS = {
    "mnist_cnn": [],
    "mnist_cnn speed=plain": ["speed=plain"],
    "mnist_cnn bf16": ["trainer.precision=bf16-mixed"],
}
PEERS: dict[str, tuple[str, Path, dict[str, Any]]] = {
    "tutorial Lightning": ("tutorial_lightning.py", Path(sys.executable), {}),
    "bare PyTorch": ("bare_pytorch.py", Path(sys.executable), {"tricks": False}),
    "bare PyTorch, same tricks": ("bare_pytorch.py", Path(sys.executable), {"tricks": True}),
    "Keras": ("keras_notebook.py", PEERS_PYTHON, {}),
}
# The scaling takes a quarter of the images; the peers validate on the last 5,000.
OPTIONS: dict[str, Any] = {
    "images": Annotated[int, Field(ge=4, le=55_000)], "epochs": Count, "repeats": Count, "pages": str, "nets": str,
    "from": str,
}  # fmt: skip


def run(command: list[str], folder: str, threads: int) -> tuple[str, dict[str, float]]:
    """Standard output of a command, and its start, seconds and peak memory."""
    variables = os.environ | {"OMP_NUM_THREADS": str(threads), "PYTHONPATH": str(HERE.parent)}
    variables.pop(huge_pages.VARIABLE, None)  # the package asks for them itself; the others go without
    with tempfile.TemporaryFile("w+") as printed, tempfile.TemporaryFile("w+") as errors:
        began, clock = time.time(), time.perf_counter()
        child = subprocess.Popen(command, cwd=folder, env=variables, stdout=printed, stderr=errors)
        _, status, used = os.wait4(child.pid, 0)
        seconds = time.perf_counter() - clock
        printed.seek(0), errors.seek(0)
        if status:
            said = printed.read()[-1000:] + errors.read()[-3000:]
            raise UserError(f"{' '.join(command)[:200]} failed:\n{said}")
        return printed.read(), {"began": began, "seconds": seconds, "peak_mib": used.ru_maxrss / 1024}


def measure_package(overrides: list[str], job: dict[str, Any]) -> dict[str, Any]:
    """One run of `python -m mnist_cnn.train`."""
    with tempfile.TemporaryDirectory() as folder:
        call = [f"data.limit_train={job['images']}", f"trainer.max_epochs={job['epochs']}", f"seed={job['seed']}"]
        command = [sys.executable, "-m", "mnist_cnn.train", *overrides, *call, "hydra.run.dir=run"]
        _, used = run(command, folder, job["threads"])
        done = Run(Path(folder) / "run")
        record, epochs = done.record(), column(done.history(), "train_seconds")
    return used | {"epochs": epochs, "start": known(known(record).timing).start_seconds}


def measure_peer(name: str, job: dict[str, Any]) -> dict[str, Any]:
    script, python, extra = PEERS[name]
    command = [str(python), str(HERE / "benchmarks" / script), json.dumps(job | extra)]
    with tempfile.TemporaryDirectory() as folder:
        output, used = run(command, folder, job["threads"])
    found = json.loads(output.strip().splitlines()[-1])
    return used | found | {"start": found["first_step"] - used["began"]}


def job_of(overrides: list[str], options: dict[str, Any]) -> dict[str, Any]:
    """What a peer needs to train the same net on the same images."""
    cfg = compose_run(overrides).cfg
    root = {"root": str(build_data(cfg).root.resolve()), "batch_size": cfg.data.batch_size, "overrides": overrides}
    optimizer = [cfg.optimizer._target_.rpartition(".")[2], {"lr": cfg.optimizer.lr}]
    layers = [layer for module in build_model(cfg).net for layer in spelled_out(module)]
    return root | options | {"layers": layers, "optimizer": optimizer}


def spelled_out(module: nn.Module) -> list[tuple[str, dict[str, Any]]]:
    """A module as names and arguments of `torch.nn`."""
    kind = type(module).__name__
    if kind == "GlobalAveragePooling":
        return [("AdaptiveAvgPool2d", {"output_size": 1}), ("Flatten", {})]
    names = {
        "Conv2d": ["in_channels", "out_channels", "kernel_size", "padding"],
        "Linear": ["in_features", "out_features"],
        "BatchNorm2d": ["num_features", "eps", "momentum"],
        "Dropout": ["p"],
        "MaxPool2d": ["kernel_size"],
    }.get(kind, [])
    arguments = {name: getattr(module, name) for name in names}
    if kind in ("Conv2d", "Linear"):
        arguments["bias"] = module.bias is not None
    return [(kind, arguments)]


def in_turns(options: dict[str, Any], nets: list[str], repeats: int) -> dict[str, dict[str, list[dict[str, Any]]]]:
    """Measurements by net and by contestant; each turn runs every contestant once."""
    found: dict[str, dict[str, list[dict[str, Any]]]] = {net: {} for net in nets}
    for repeat in range(repeats):
        for net in nets:
            job = job_of(NETS[net] + SAME, options | {"seed": repeat + 1})
            for name in [*CALLS, *(peer for peer, (_, python, _) in PEERS.items() if python.exists())]:
                last = (
                    measure_package(NETS[net] + SAME + CALLS[name], job) if name in CALLS else measure_peer(name, job)
                )
                found[net].setdefault(name, []).append(last)
                print(
                    f"{repeat + 1}/{repeats} {net:16} {name:32} epochs {last['epochs']}, {last['seconds']:.1f} s",
                    flush=True,
                )
    return found


def scaling(options: dict[str, Any]) -> dict[str, dict[str, float]]:
    """Seconds of training per epoch of bn_dropout against images, batch size and threads."""
    base = NETS["bn_dropout_14k"] + SAME
    cores, images = options["threads"], options["images"]

    def seconds(overrides: list[str], **changed: Any) -> float:
        return min(measure_package(base + overrides, options | {"seed": 1} | changed)["epochs"])

    return {
        "images": {str(n): seconds([], images=n) for n in (images // 4, images // 2, images)},
        "batch size": {str(n): seconds([f"data.batch_size={n}"]) for n in (32, 64, 128, 256, 512)},
        "threads": {str(n): seconds([], threads=n) for n in sorted({1, cores})},
    }


def chosen(words: str) -> list[str]:
    """Nets by the beginnings of their names.

    Raises:
        UsageError: a word that begins none.
    """
    wanted = words.split(",")
    for word in wanted:
        if not word or not any(net.startswith(word) for net in NETS):
            raise UsageError(f"nets={word}: no such net{nearest(word, NETS)}")
    return [net for net in NETS if net.startswith(tuple(wanted))]


def main() -> None:
    with cli.user_errors():
        given = read_only_options(__doc__, OPTIONS)
        pages = Path(given.get("pages", "docs/benchmarks"))
        nets = chosen(given.get("nets", ",".join(NETS)))
        pages.mkdir(parents=True, exist_ok=True)
        if "from" in given:
            measured = json.loads(Path(given["from"]).read_text())
        else:
            measured = measure(nets, given.get("images", 20_000), given.get("epochs", 2), given.get("repeats", 3))
            (pages / "speed.json").write_text(json.dumps(measured, indent=1))
        write_page(measured, pages)


def measure(nets: list[str], images: int, epochs: int, repeats: int) -> dict[str, Any]:
    if not PEERS_PYTHON.exists():
        print("Keras is left out: `make peers` installs it in an environment of its own")
    options = {"images": images, "epochs": epochs, "threads": os.cpu_count() or 1}
    command = ["python", "scripts/benchmark.py", *cli.arguments()]
    return {
        "options": options,
        "command": " ".join(command),
        "environment": environment(torch.device("cpu"), command),
        "peers": peer_versions(),
        "turns": in_turns(options, nets, repeats),
        "scaling": scaling(options),
        "parts": json.loads(run(PARTS, ".", options["threads"])[0]),
    }


def peer_versions() -> str:
    if not PEERS_PYTHON.exists():
        return "not installed"
    code = "import keras, tensorflow; print(f'Keras {keras.__version__} on TensorFlow {tensorflow.__version__}')"
    return run([str(PEERS_PYTHON), "-c", code], ".", 1)[0].strip()


if __name__ == "__main__":
    main()
