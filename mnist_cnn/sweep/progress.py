"""A sweep while it runs: one live table in a terminal, plain lines elsewhere."""

import dataclasses
import time
from collections.abc import Mapping, Sequence
from statistics import mean

from rich import get_console
from rich.live import Live
from rich.table import Table

from mnist_cnn.report.console import interactive
from mnist_cnn.report.text import counted, duration
from mnist_cnn.sweep.groups import rows_of
from mnist_cnn.sweep.jobs import Job
from mnist_cnn.sweep.plan import Sweep, SweepJob
from mnist_cnn.sweep.states import COMPLETED, PRUNED, RUNNING, TO_RUN, Progress
from mnist_cnn.sweep.summary import short

REDRAW_SECONDS = 1.0
ROWS = 30  # of the live table: the running jobs and those around them


class SweepDisplay:
    """Reads the files of the running jobs; a finished job is read once.

    Args:
        planned: trials of a search, which become known one by one.
        expected: seconds of an epoch by job, from earlier runs.
    """

    def __init__(
        self, sweep: Sweep, at_once: int, planned: int | None = None, expected: Mapping[int, float] | None = None
    ) -> None:
        self.sweep, self.at_once = sweep, at_once
        self.planned, self.expected = planned or len(sweep.jobs), expected or {}
        self.noun = sweep.noun
        self.progress = {job.number: self._progress(job) for job in sweep.jobs}
        self.settled = {n for n, p in self.progress.items() if p.state not in TO_RUN and n not in sweep.in_queue}
        self.starting: set[int] = set()
        self.best = _best(sweep)
        self.drawn = time.monotonic()
        self.told = False
        live = Live(get_renderable=self.table, console=get_console(), auto_refresh=False) if interactive() else None
        self.live = live  # to be entered while jobs run

    def tick(self) -> None:
        if (self.live or not self.told) and time.monotonic() - self.drawn > REDRAW_SECONDS:
            self.drawn = time.monotonic()
            self.refresh()
            self.tell()
            if self.live:
                self.live.refresh()

    def foretell(self, todo: Sequence[SweepJob]) -> None:
        """Says before they start how long they will take at least, by the earlier runs that are like some of them."""
        like = [job for job in todo if self.progress[job.number].epoch_seconds is not None]
        if len(like) == len(todo):
            self.tell()
        elif like:
            seconds = seconds_left(like, self.progress, self.at_once)
            words = f"{len(like)} of {len(todo)} runs, by earlier runs like them; of the others nothing is known yet"
            print(f"about {duration(seconds or 0)} for {words}", flush=True)

    def tell(self) -> None:
        """Says once how long all of it will take, as soon as every running job has an idea."""
        running = [p for p in self.progress.values() if p.state == RUNNING]
        if not running and 0 < len(self.expected) < self.planned - len(self.settled):
            return  # earlier runs tell of some jobs alone
        seconds = self._seconds_left()
        if not self.told and seconds is not None and all(p.epoch_seconds is not None for p in running):
            self.told = True
            runs = counted(self.planned - len(self.settled), "run")
            print(f"about {duration(seconds)} for {runs}, {self.at_once} at once", flush=True)

    def started(self, job: Job) -> None:
        self.starting.add(job.about.number)
        if job.about.number not in self.progress:
            self.sweep.jobs.append(job.about)
        self.progress[job.about.number] = self._progress(job.about)

    def ended(self, job: SweepJob, error: str | None) -> None:
        self.refresh()
        self.progress[job.number] = now = self._progress(job)
        self.settled.add(job.number)
        self.best = _best(self.sweep)
        best = f", best validation accuracy {now.best:.2%}" if now.best is not None else ""
        done = self.sweep.run(job).record() if now.state == COMPLETED else None
        if done is not None:  # the figure that ranks it
            figure = done.shown(done.validation)
            best = f", {done.monitor or 'validation accuracy'} {figure}" if figure else ""
        reason = f": {error.removeprefix(f'{now.state}: ')}" if error else ""
        text = f"{self.noun} {job.number} ({self.name(job)}): {now.state}{best}{reason}"
        if self.live is None:
            print(f"{text}{self._left()}", flush=True)
            return
        if error and now.state != PRUNED:
            self.live.console.print(text, markup=False, highlight=False, soft_wrap=True)
        self.live.refresh()

    def name(self, job: SweepJob) -> str:
        values, swept = job.values(), self.sweep.swept()
        shown = [f"{key}={values[key]}" for key in swept if key in values] or job.overrides  # all of the first trial
        parts = (text.partition("=") for text in shown)
        return " ".join(key + sign + short(value) for key, sign, value in parts)

    def _progress(self, job: SweepJob) -> Progress:
        now = self.sweep.progress(job)
        if now.epoch_seconds is None and job.number in self.expected:
            return dataclasses.replace(now, epoch_seconds=self.expected[job.number])
        return now

    def refresh(self) -> None:
        """Reads what the jobs that have not ended wrote."""
        for job in self.sweep.jobs:
            if job.number not in self.settled:
                now = self._progress(job)
                if job.number in self.starting and now.state != RUNNING:
                    now = dataclasses.replace(now, state="starting" if now.state in TO_RUN else "reporting")
                self.progress[job.number] = now

    def _seconds_left(self) -> float | None:
        open_jobs = [job for job in self.sweep.jobs if job.number not in self.settled]
        further = (self.planned - len(self.sweep.jobs)) * max((job.epochs for job in self.sweep.jobs), default=0)
        return seconds_left(open_jobs, self.progress, self.at_once, further)

    def _left(self) -> str:
        done, seconds = len(self.settled), self._seconds_left()
        text = f"; {done} of {self.planned} {self.noun}s ended"
        left = "" if seconds is None or done == self.planned else f", about {duration(seconds)} left"
        return f"{text}{left}{self.best}"

    def table(self) -> Table:
        """The jobs around those that run, in 80 columns."""
        table = Table(title=self._left().removeprefix("; "), title_justify="left", box=None, pad_edge=False)
        for name in (self.noun, "values", "state", "epoch", "best", "left"):
            table.add_column(name, justify="left" if name in ("values", "state") else "right", no_wrap=name != "values")
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


def _best(sweep: Sweep) -> str:
    """Of a search so far, by validation."""
    row = next(iter(rows_of(sweep)), None) if sweep.is_search else None
    if row is None or row.done is None:
        return ""
    return f"; best so far {row.done.shown(row.validation)} (trial {row.job.number})"


def seconds_left(
    jobs: Sequence[SweepJob], progress: dict[int, Progress], at_once: int, further: int = 0
) -> float | None:
    """Of jobs still to end, from the epochs that were timed so far, or foretold; None before there are any.

    Args:
        further: epochs of jobs that are not known yet.
    """
    timed = [p.epoch_seconds for p in progress.values() if p.epoch_seconds is not None]
    if not timed:
        return None
    usual = mean(timed)
    each = [(job.epochs - progress[job.number].epochs) * (progress[job.number].epoch_seconds or usual) for job in jobs]
    return max((sum(each) + usual * further) / at_once, max(each, default=0.0))
