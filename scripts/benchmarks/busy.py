"""Training seconds of 200 steps of bn_dropout while other processes keep cores busy: scripts/benchmarks/busy.py.

Needs an otherwise idle machine. Each number of others once, with the threads that a run takes by itself, one, and two.
"""

import csv
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

CALL = ["model=bn_dropout", "trainer=cpu", "trainer.max_epochs=1", "trainer.limit_train_batches=200", "figures=false"]


def seconds(*more: str) -> float:
    variables = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "mnist_cnn.train", *CALL, *more, f"hydra.run.dir={folder}/run"]
        subprocess.run(command, env=variables, capture_output=True, check=True)
        with (Path(folder) / "run" / "metrics.csv").open() as rows:
            return float(next(csv.DictReader(rows))["train_seconds"])


def main() -> None:
    seconds()  # compiles kernels where that was not done yet
    for others in range(3):
        spinning = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(others)]
        time.sleep(0.5)
        try:
            found = [seconds(*more) for more in ([], ["threads=1"], ["threads=2"])]
        finally:
            for process in spinning:
                process.kill()
        print(f"{others} others: by itself {found[0]:.1f} s, one thread {found[1]:.1f}, two {found[2]:.1f}", flush=True)


if __name__ == "__main__":
    main()
