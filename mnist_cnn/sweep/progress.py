"""A sweep while it runs: one live table in a terminal, plain lines elsewhere."""

import dataclasses
import time

from rich import get_console
from rich.live import Live
from rich.table import Table

from mnist_cnn.report.console import interactive
from mnist_cnn.report.text import duration
from mnist_cnn.sweep.jobs import Job
from mnist_cnn.sweep.plan import RUNNING, TO_RUN, Sweep, SweepJob, seconds_left

REDRAW_SECONDS = 1.0
ROWS = 30  # of the live table: the running jobs and those around them


class SweepDisplay:
    """Reads the files of the running jobs; a finished job is read once."""

    def __init__(self, sweep: Sweep, at_once: int) -> None:
        self.sweep, self.at_once = sweep, at_once
        self.swept = sweep.swept()
        self.progress = {job.number: sweep.progress(job) for job in sweep.jobs}
        self.settled = {n for n, p in self.progress.items() if p.state not in TO_RUN}
        self.starting: set[int] = set()
        self.drawn = 0.0
        live = Live(get_renderable=self._table, console=get_console(), auto_refresh=False) if interactive() else None
        self.live = live  # to be entered while jobs run

    def tick(self) -> None:
        if self.live and time.monotonic() - self.drawn > REDRAW_SECONDS:
            self.drawn = time.monotonic()
            self._read()
            self.live.refresh()

    def started(self, job: Job) -> None:
        self.starting.add(job.about.number)

    def ended(self, job: SweepJob, error: str | None) -> None:
        self._read()
        self.progress[job.number] = now = self.sweep.progress(job)
        self.settled.add(job.number)
        best = f", best validation accuracy {now.best:.2%}" if now.best is not None else ""
        reason = f": {error.removeprefix(f'{now.state}: ')}" if error else ""
        text = f"job {job.number} ({self.name(job)}): {now.state}{best}{reason}"
        if self.live is None:
            print(f"{text}{self._left()}", flush=True)
            return
        if error:
            self.live.console.print(text, markup=False, highlight=False, soft_wrap=True)
        self.live.refresh()

    def name(self, job: SweepJob) -> str:
        values = job.values()
        return " ".join(f"{key}={values[key]}" for key in self.swept if key in values) or " ".join(job.overrides)

    def _read(self) -> None:
        for job in self.sweep.jobs:
            if job.number not in self.settled:
                now = self.sweep.progress(job)
                if job.number in self.starting and now.state != RUNNING:
                    now = dataclasses.replace(now, state="starting")
                self.progress[job.number] = now

    def _left(self) -> str:
        done = len(self.settled)
        open_jobs = [job for job in self.sweep.jobs if job.number not in self.settled]
        seconds = seconds_left(open_jobs, self.progress, self.at_once)
        text = f"; {done} of {len(self.sweep.jobs)} jobs ended"
        return text if seconds is None or done == len(self.sweep.jobs) else f"{text}, about {duration(seconds)} left"

    def _table(self) -> Table:
        table = Table(title=self._left().removeprefix("; "), title_justify="left", box=None, pad_edge=False)
        for name in ("job", "overrides", "state", "epoch", "best validation", "left"):
            table.add_column(name, justify="left" if name in ("overrides", "state") else "right")
        for job in self._shown():
            now = self.progress[job.number]
            left = (job.epochs - now.epochs) * now.epoch_seconds if now.epoch_seconds and now.state == RUNNING else None
            table.add_row(
                str(job.number),
                self.name(job),
                now.state,
                f"{now.epochs}/{job.epochs}",
                f"{now.best:.2%}" if now.best is not None else "",
                duration(left) if left is not None else "",
            )
        return table

    def _shown(self) -> list[SweepJob]:
        """All jobs, or those from a little before the first that is running."""
        active = [i for i, job in enumerate(self.sweep.jobs) if self.progress[job.number].state == RUNNING]
        first = max(0, min((active[0] if active else len(self.sweep.jobs)) - 5, len(self.sweep.jobs) - ROWS))
        return self.sweep.jobs[first : first + ROWS]
