"""Puts a finished run into the package, without what only training needs: mc.load("gap") then finds it.

python scripts/ship_net.py runs/recipes/gap/seed1 gap
"""

import io
import shutil
import sys
from pathlib import Path

import torch

from mnist_cnn.config.place import NETS
from mnist_cnn.files import write_atomically
from mnist_cnn.runs.checkpoint import OWN, load_checkpoint
from mnist_cnn.runs.directory import Run

KEPT = ("state_dict", "epoch", "global_step", "pytorch-lightning_version")


def together(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The same tensors, those of a type in one piece of memory: apart, each takes more of the file than it holds."""
    kept = {}
    for kind in dict.fromkeys(tensor.dtype for tensor in weights.values()):
        found = {name: tensor for name, tensor in weights.items() if tensor.dtype == kind}
        flat = torch.cat([tensor.flatten() for tensor in found.values()])
        parts = flat.split([tensor.numel() for tensor in found.values()])
        kept |= {name: part.view(found[name].shape) for name, part in zip(found, parts, strict=True)}
    return {name: kept[name] for name in weights}


def main(source: str, name: str) -> None:
    run, shipped = Run(Path(source)), Run(NETS / name)
    which = run.config().test_weights
    state = load_checkpoint(run.checkpoint(which))
    own = {key: state[OWN][key] for key in ("model", "scale")}
    packed = io.BytesIO()
    torch.save({key: state[key] for key in KEPT} | {OWN: own, "state_dict": together(state["state_dict"])}, packed)
    shipped.checkpoints.mkdir(parents=True, exist_ok=True)
    for file in (run.config_file, run.overrides_file, run.metrics_file):
        shutil.copy(file, shipped.path)
    write_atomically(shipped.checkpoint(which), packed.getvalue())
    print(f"{shipped.path}: {sum(file.stat().st_size for file in shipped.path.rglob('*') if file.is_file()):,} bytes")


if __name__ == "__main__":
    main(*sys.argv[1:])
