"""What a sweep costs: jobs side by side against one after the other, and memory over many jobs.

python scripts/benchmark_sweep.py [pages=docs/benchmarks] [images=20000] [repeats=3] [jobs=100]

Runs on real MNIST, in turns, on an otherwise idle machine; writes sweeps.md and sweeps.png.
"""

import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from command_line import read_only_options
from matplotlib.figure import Figure

from mnist_cnn import cli
from mnist_cnn.report.spread import Spread
from mnist_cnn.report.text import markdown_table
from mnist_cnn.runs.environment import environment
from mnist_cnn.values import Count

QUIET = ["figures=false", "logger=csv", "trainer=cpu"]
TINY = ["model=vanilla", "trainer.max_epochs=1", "data.limit_train=640", "data.limit_val=100", "data.limit_test=100"]
OPTIONS: dict[str, Any] = {"pages": str, "images": Count, "repeats": Count, "jobs": Count}


def sweep_seconds(images: int, seeds: int, jobs: int) -> tuple[float, float]:
    """Of the whole command, and of training, per seed and 60,000 images."""
    with tempfile.TemporaryDirectory() as folder:
        call = ["-m", "model=bn_dropout", f"seed=range(1,{seeds + 1})", "trainer.max_epochs=1", f"jobs={jobs}",
                f"data.limit_train={images}", f"hydra.sweep.dir={folder}", *QUIET]  # fmt: skip
        began = time.perf_counter()
        subprocess.run([sys.executable, "-m", "mnist_cnn.train", *call], cwd=folder, check=True, capture_output=True)
        whole = time.perf_counter() - began
        records = [json.loads(file.read_text()) for file in Path(folder).glob("*/metrics.json")]
    training = sum(record["timing"]["train_seconds"] for record in records) / len(records)
    return whole, training / jobs * 60_000 / images


def resident_mib(pid: int) -> dict[int, float]:
    """Resident memory of a process and its descendants."""
    found, todo = {}, [pid]
    while todo:
        current = todo.pop()
        try:
            status = Path(f"/proc/{current}/statm").read_text().split()
            children = Path(f"/proc/{current}/task/{current}/children").read_text().split()
        except OSError:
            continue
        found[current] = int(status[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
        todo += [int(child) for child in children]
    return found


def memory_over_jobs(folder: Path, jobs: int) -> list[tuple[float, float, float]]:
    """(seconds, MiB of the program and its fork server, MiB of all) while a sweep of tiny jobs runs."""
    call = ["-m", *TINY, f"seed=range(1,{jobs + 1})", "jobs=2", *QUIET]
    process = subprocess.Popen(
        [sys.executable, "-m", "mnist_cnn.train", *call], cwd=folder, stdout=subprocess.DEVNULL
    )  # fmt: skip
    began, samples, lasting = time.perf_counter(), [], {}
    while process.poll() is None:
        now = resident_mib(process.pid)
        if len(now) >= 3 and not lasting:  # the program, the resource tracker, the fork server: before the first job
            lasting = dict(now)
        samples.append((time.perf_counter() - began, sum(v for k, v in now.items() if k in lasting), sum(now.values())))
        time.sleep(0.5)
    assert process.returncode == 0
    return [sample for sample in samples if sample[1] > 0]


def draw(samples: list[tuple[float, float, float]], jobs: int) -> Figure:
    figure = Figure(figsize=(8, 3.6), layout="constrained")
    axes = figure.subplots()
    seconds, lasting, total = zip(*samples, strict=True)
    axes.plot(seconds, total, color="0.7", label="with the running jobs (shared pages counted in each)")
    axes.plot(seconds, lasting, color="black", label="program and fork server")
    axes.set_xlabel("seconds")
    axes.set_ylabel("resident memory in MiB")
    axes.set_ylim(bottom=0)
    axes.set_title(f"a sweep of {jobs} tiny jobs, two at once", fontsize=10)
    axes.legend(frameon=False)
    return figure


def main() -> None:
    with cli.user_errors(trains=True):
        given = read_only_options(__doc__, OPTIONS)
        pages = Path(given.get("pages", "docs/benchmarks"))
        measure(pages, given.get("images", 20_000), given.get("repeats", 3), given.get("jobs", 100))


def measure(pages: Path, images: int, repeats: int, jobs: int) -> None:
    seeds = max(2, os.cpu_count() or 1)
    with tempfile.TemporaryDirectory() as folder:
        times: dict[int, list[tuple[float, float]]] = {1: [], seeds: []}
        for _ in range(repeats):
            for at_once, found in times.items():
                found.append(sweep_seconds(images, seeds, at_once))
        samples = memory_over_jobs(Path(folder), jobs)
    pages.mkdir(parents=True, exist_ok=True)
    draw(samples, jobs).savefig(pages / "sweeps.png", dpi=110)
    one, many = (median(whole for whole, _ in times[at_once]) for at_once in (1, seeds))
    half = len(samples) // 2
    growth = np.mean([s[1] for s in samples[-half:]]) - np.mean([s[1] for s in samples[half // 2 : half]])
    command = ["python", "scripts/benchmark_sweep.py", *cli.arguments()]
    hardware = environment(torch.device("cpu"), command)["hardware"]
    table = [["jobs at once", "threads each", "seconds (median)", "min–max", "against one at a time",
              "training, per seed and 60,000 images"]]  # fmt: skip
    for at_once, found in times.items():
        whole, training = zip(*found, strict=True)
        table.append([str(at_once), str(max(1, seeds // at_once)), f"{median(whole):.1f}", Spread.of(whole).range(1),
                      f"{one / median(whole):.2f} ×", f"{median(training):.2f} s"])  # fmt: skip
    text = f"""# What a sweep costs

`{" ".join(command)}` on {hardware["cpu"]}, {hardware["cores"]} cores, torch {torch.__version__},
Python {platform.python_version()}.

## Side by side

{seeds} seeds of `bn_dropout`, one epoch of {images:,} images each, {repeats} times in turns, whole command, start to
summary: {one / many:.2f} times the throughput.

{markdown_table(table)}

## Memory

{jobs} tiny jobs, two at once. Each is a process of its own, forked from a server that has imported everything, so its
memory goes back when it ends. The memory that stays in use changed by {growth:+.1f} MiB between the second quarter
of the sweep and its last half; {samples[-1][0] / jobs:.1f} s per job, everything included.

![memory](sweeps.png)
"""
    (pages / "sweeps.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
