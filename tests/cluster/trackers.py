"""An MLflow server for the tests, and what MLflow's and W&B's own readers say that they were told."""

import contextlib
import importlib.util
import json
import math
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

from tracked import Told, pixels

WANDB = [sys.executable, "-m", "wandb"]


def missing_mlflow() -> str | None:
    if importlib.util.find_spec("mlflow") is None:
        return 'mlflow is not installed; pip install "mnist-cnn[mlflow]"'
    return None


class Server:
    """MLflow's own, with SQLite."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        command = [
            sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(self.port), "--workers", "1",
            "--backend-store-uri", f"sqlite:///{self.folder}/mlflow.db",
            "--artifacts-destination", str(self.folder / "artifacts"),
        ]  # fmt: skip
        with (self.folder / "printed").open("ab") as printed:
            self.process = subprocess.Popen(
                command, cwd=self.folder, stdout=printed, stderr=subprocess.STDOUT, start_new_session=True
            )
        deadline = time.monotonic() + 120
        while not self.answers():
            assert time.monotonic() < deadline, (self.folder / "printed").read_text()
            time.sleep(0.2)

    def answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/health", timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def kill(self) -> None:
        """All its processes at once."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


def told_mlflow(url: str, name: str) -> tuple[Told, Any]:
    """What it was told of its only run of that name, and that run."""
    from mlflow import MlflowClient

    client = MlflowClient(url)
    experiment = client.get_experiment_by_name("mnist_cnn")
    [run] = client.search_runs([experiment.experiment_id], f"attributes.run_name = '{name}'")
    points = {metric: client.get_metric_history(run.info.run_id, metric) for metric in run.data.metrics}
    curves = {metric: [(point.step, point.value) for point in found] for metric, found in points.items()}
    files = [
        Path(client.download_artifacts(run.info.run_id, file.path)) for file in client.list_artifacts(run.info.run_id)
    ]
    return Told(run.data.params, curves, {file.stem: pixels(file.read_bytes()) for file in files}), run


def missing_wandb() -> str | None:
    if importlib.util.find_spec("wandb") is None:
        return 'wandb is not installed; pip install "mnist-cnn[wandb]"'
    asked = subprocess.run([*WANDB, "leet", "inspect", "--help"], capture_output=True)
    return "wandb leet inspect reads offline runs, from 0.31 on; this one is older" if asked.returncode else None


def told_wandb(folder: Path) -> tuple[Told, set[str]]:
    """What its offline files say, in the order of their time; and how the runs in them are called."""
    told, names = Told({}, {}, {}), set()
    for offline in sorted(folder.glob("offline-run-*")):
        records = subprocess.run(
            [*WANDB, "leet", "inspect", "--json", str(offline)], capture_output=True, text=True, check=True
        ).stdout.splitlines()
        for record in map(json.loads, records):
            if record["type"] == "run":
                names.add(record["run"]["run_id"])
            elif record["type"] == "config":
                told.settings |= record["config"]["update"]
            elif record["type"] == "history":
                _add(told, record["history"]["item"], offline / "files")
    return told, names


def _add(told: Told, row: dict[str, Any], files: Path) -> None:
    step = row.pop("trainer/global_step")
    for name, value in row.items():
        if name.endswith(".filenames"):
            [file] = value
            told.pictures[name.partition(".")[0]] = pixels((files / file).read_bytes())
        elif "." not in name and not name.startswith("_"):
            assert math.isfinite(value)
            told.curves.setdefault(name, []).append((step, value))
