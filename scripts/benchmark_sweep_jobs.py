"""What a job costs while a sweep runs, beside its own life: the time its place stands empty, and the program's work.

python scripts/benchmark_sweep_jobs.py [planned=1000] [watched=200] [at_once=2]

Starts a sweep of `planned` tiny trainings on real MNIST, looks at its processes a hundred times a second until
`watched` of them have ended, then stops it. Prints a table; writes nothing.
"""

import os
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from statistics import mean
from typing import Any

from benchmark_sweep import QUIET, TINY, resident_mib
from command_line import read_only_options

from mnist_cnn import cli
from mnist_cnn.report.text import plain_table
from mnist_cnn.sweep.plan import Sweep
from mnist_cnn.sweep.states import COMPLETED
from mnist_cnn.values import Count

OPTIONS: dict[str, Any] = {"planned": Count, "watched": Count, "at_once": Count}
LOOK_SECONDS = 0.01


@dataclass
class Seen:
    """Of a running sweep: when each job's process was there, from first to last look, and what the program took.

    Args:
        work: seconds of processor time of the program since the first job began.
        memory: MiB of the program and the server that jobs are forked from, after each job that ended.
    """

    lives: dict[int, tuple[float, float]] = field(default_factory=dict)
    work: float = 0.0
    memory: list[float] = field(default_factory=list)

    def ended(self, now: float) -> list[tuple[float, float]]:
        return [life for life in self.lives.values() if now - life[1] > 5 * LOOK_SECONDS]


def children(pid: int) -> list[int]:
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def processor_seconds(pid: int) -> float:
    """Of a process and all its threads, without its children."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def watch(program: subprocess.Popen[bytes], count: int) -> Seen:
    """Until so many jobs have ended."""
    seen, before, ended = Seen(), 0.0, 0
    while ended < count and program.poll() is None:
        now = time.perf_counter()
        servers = children(program.pid)
        for job in (job for server in servers for job in children(server)):
            seen.lives[job] = (seen.lives.get(job, (now, now))[0], now)
        if seen.lives:
            before = before or processor_seconds(program.pid)
            seen.work = processor_seconds(program.pid) - before
        if (by_now := len(seen.ended(now))) > ended:
            ended = by_now
            memory = resident_mib(program.pid)
            seen.memory.append(sum(memory[pid] for pid in (program.pid, *servers) if pid in memory))
        time.sleep(LOOK_SECONDS)
    return seen


def main() -> None:
    with cli.user_errors():
        given = read_only_options(__doc__, OPTIONS)
        measure(given.get("planned", 1000), given.get("watched", 200), given.get("at_once", 2))


def measure(planned: int, watched: int, at_once: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        call = ["-m", *TINY, f"seed=range(1,{planned + 1})", f"jobs={at_once}", f"hydra.sweep.dir={folder}/s", *QUIET]
        command = [sys.executable, "-m", "mnist_cnn.train", *call]
        program = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL)
        try:
            seen = watch(program, min(watched, planned))
        finally:
            program.send_signal(signal.SIGINT)
            program.wait()
        sweep = Sweep.load(Path(folder) / "s")
        done = [job for job in sweep.jobs if sweep.progress(job).state == COMPLETED]
        training = mean(sweep.run(job).record().timing.fit_seconds for job in done)
        files = [len([file for file in sweep.run(job).path.rglob("*") if file.is_file()]) for job in done]
    lives = sorted(seen.lives.values())[: len(seen.memory)]
    end = max(last for _, last in lives)
    there = sum(last - first for first, last in seen.lives.values() if last <= end) + sum(
        end - first for first, last in seen.lives.values() if first < end < last
    )
    empty = (at_once * (end - lives[0][0]) - there) / len(lives)
    print(plain_table([
        ["of each job", ""],
        ["its process, start to end", f"{mean(last - first for first, last in lives):.2f} s"],
        ["of that training and testing", f"{training:.2f} s"],
        ["its place empty before the next", f"{empty:.2f} s"],
        ["the program's processor time", f"{seen.work / len(lives):.3f} s"],
        ["files", f"{mean(files):.0f}, and N.log beside them"],
        ["memory of program and server", f"{seen.memory[0]:.0f} MiB, after the last job {seen.memory[-1]:.0f}"],
    ]))  # fmt: skip


if __name__ == "__main__":
    main()
