"""Records runs for tests/integration/test_golden.py: `python tests/golden/record.py gap_fast short/gap_fast`.

It takes whichever mnist_cnn is imported, so that an earlier commit can be recorded too.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

HERE = Path(__file__).parent
TIMES = ("train_seconds", "seconds")


def record(name: str, golden: dict[str, Any]) -> None:
    """Trains one of the runs again, and puts what came out into `golden`, the weights of a long one beside it."""
    kind, _, key = name.rpartition("/")
    part = golden[kind] if kind else golden
    run = part["runs"][key]
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "mnist_cnn.train", *run["overrides"], *part["overrides"]]
        environment = os.environ | {"OMP_NUM_THREADS": str(golden["threads"])}
        subprocess.run([*command, f"hydra.run.dir={folder}/run"], cwd=folder, env=environment, check=True)
        made = Path(folder) / "run"
        head, *lines = (made / "metrics.csv").read_text().splitlines()
        rows = [dict(zip(head.split(","), map(float, line.split(",")), strict=True)) for line in lines]
        run["rows"] = [{k: v for k, v in row.items() if k not in TIMES} for row in rows]
        run["made"] = {"cpu_capability": torch.backends.cpu.get_cpu_capability(), **made_on(made)}
        run["figures"] = json.loads((made / "metrics.json").read_text())["figures"]
        if not kind:
            state = torch.load(made / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
            weights = {k: v.numpy() for k, v in state.items() if not k.endswith("num_batches_tracked")}
            np.savez(HERE / f"{key}.npz", **weights)


def made_on(run: Path) -> dict[str, Any]:
    """Where other recordings were made elsewhere, these say where they were."""
    record = json.loads((run / "metrics.json").read_text())
    return {"versions": record["versions"], "cpu": record["hardware"]["cpu"]}


def main() -> None:
    file = HERE / "golden.json"
    golden = json.loads(file.read_text())
    for name in sys.argv[1:]:
        record(name, golden)
    file.write_text(json.dumps(golden, indent=1) + "\n")


if __name__ == "__main__":
    main()
