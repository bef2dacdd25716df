"""What SLURM says of jobs: where they stand, and why one ended; with accounting and without."""

import re
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

TIMEOUT_SECONDS = 60  # of a question
TAIL = 16_384  # bytes of what a job's steps wrote that are looked through
MOST_IN_ARRAY = 1001  # SLURM's own default
ENDED = {
    "BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY", "PREEMPTED", "REVOKED",
    "TIMEOUT",
}  # fmt: skip
# By the state of a job, or by what its steps were told, which is there without accounting too.
TIME, MEMORY, CANCELLED = "its time limit (hydra.launcher.timeout_min)", "its memory (hydra.launcher.mem_gb)", "scancel"
NODE, PREEMPTED = "the loss of its node", "preemption, and it was not put back into the queue"
REASONS = {
    "TIMEOUT": TIME, "DEADLINE": "its deadline", "OUT_OF_MEMORY": MEMORY, "CANCELLED": CANCELLED, "NODE_FAIL": NODE,
    "BOOT_FAIL": NODE, "PREEMPTED": PREEMPTED,
}  # fmt: skip
SAID = {
    "DUE TO TIME LIMIT": TIME, "timed-out too many times": TIME, "memory limit": MEMORY, "oom-kill": MEMORY,
    "oom_kill": MEMORY, "DUE TO NODE FAILURE": NODE, "DUE TO PREEMPTION": PREEMPTED, "CANCELLED AT": CANCELLED,
}  # fmt: skip


class NoAnswer(Exception):
    """SLURM's commands are not here, or its controller does not answer."""


@dataclass(frozen=True)
class Standing:
    """Where a job stands: its state as SLURM calls it, why it waits if it does, the node that it is on."""

    state: str
    reason: str = ""
    node: str = ""

    @property
    def ended(self) -> bool:
        return self.state in ENDED

    @property
    def waits(self) -> bool:
        return self.state in ("PENDING", "REQUEUED", "REQUEUE_HOLD", "SPECIAL_EXIT", "RESV_DEL_HOLD")


def standing(ids: Iterable[str]) -> dict[str, Standing]:
    """By id; without jobs that ended longer ago than SLURM remembers, which without accounting are five minutes.

    Raises:
        NoAnswer: nothing can be said.
    """
    arrays = sorted({each.partition("_")[0] for each in ids})
    if not arrays:
        return {}
    found: dict[str, Standing] = {}
    try:
        text = _ask(
            "squeue", "--noheader", "--array", "--states=all", "--format=%i|%T|%r|%N", f"--jobs={','.join(arrays)}"
        )
    except NoAnswer as error:
        if "Invalid job id" not in str(error):
            raise
        text = ""
    for line in text.splitlines():
        job, state, reason, node = line.strip().split("|")
        found[job] = Standing(state, reason, node)
    return found | _accounted([each for each in ids if each not in found])


def _accounted(ids: list[str]) -> dict[str, Standing]:
    """What the accounting of a cluster remembers of jobs, where it has any."""
    if not ids:
        return {}
    try:
        text = _ask(
            "sacct", "--noheader", "--allocations", "--parsable2", "--format=JobID,State", f"--jobs={','.join(ids)}"
        )
    except NoAnswer:
        return {}
    pairs = (line.split("|") for line in text.splitlines())
    return {job: Standing(state.split()[0]) for job, state in pairs if job in ids and state}


def why_ended(state: str, messages: str) -> str | None:
    """What ended a job, in words; None where it ended by itself.

    Args:
        state: as SLURM has it; empty if it has forgotten the job.
        messages: the end of what SLURM wrote into the output of its steps.
    """
    if state in REASONS:
        return f"ended by {REASONS[state]}"
    last = max(SAID, key=messages.rfind)
    return f"ended by {SAID[last]}" if last in messages else None


def messages_in(folder: Path, job: str) -> str:
    """The end of what was written by a job's steps, and by SLURM about them, in the folder that submitit keeps for it.

    That of its last start alone.
    """
    file = folder / f"{job}_0_log.err"
    if not file.is_file():
        return ""
    with file.open("rb") as stream:
        stream.seek(max(0, file.stat().st_size - TAIL))
        return stream.read().decode(errors="replace").rpartition("Starting with JobEnvironment")[2]


def most_in_array() -> int:
    """How many jobs an array can have."""
    found = re.search(r"^MaxArraySize\s*=\s*(\d+)", _ask("scontrol", "show", "config"), re.MULTILINE)
    return int(found[1]) if found else MOST_IN_ARRAY


def is_running(job: str) -> bool:
    """Whether SLURM still counts a job among the running ones: it has not ended it itself."""
    try:
        return _ask("squeue", "--noheader", f"--jobs={job}", "--format=%T").strip() == "RUNNING"
    except NoAnswer:
        return False


def _ask(*words: str) -> str:
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=TIMEOUT_SECONDS, check=True)
    except subprocess.CalledProcessError as error:
        raise NoAnswer(error.stderr.strip().splitlines()[-1] if error.stderr.strip() else words[0]) from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NoAnswer(str(error)) from error
    return done.stdout
