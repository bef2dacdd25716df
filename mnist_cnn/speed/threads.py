"""How many threads a training takes: as many as there are cores that nobody else keeps busy.

With a thread on each core, and others at work on one of them, every operation waits for the thread whose turn it is
not. The number is chosen once: sums that PyTorch splits among threads round otherwise with another one.
"""

import contextlib
import math
import os
import time
from pathlib import Path
from typing import Literal

import torch

WATCHED = 0.15  # seconds


def cores() -> int:
    """Processor cores that this process may use, which on a shared machine are not all of them."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, math.ceil(min(allowed, _quota())))


def free_cores() -> int:
    """Those of them that other processes leave alone just now, at least one."""
    return max(1, cores() - round(_busy()))


def choose_threads(asked: Literal["auto"] | int, before: int | None) -> int:
    """Threads of a process.

    Args:
        asked: a number, or to be chosen; `OMP_NUM_THREADS` in the environment chooses too.
        before: with which a run that goes on began.
    """
    if asked != "auto":
        return asked
    if before is not None:
        return before
    return torch.get_num_threads() if os.environ.get("OMP_NUM_THREADS") else free_cores()


def _quota() -> float:
    """Cores that a container may use in all; infinite where nothing says so."""
    with contextlib.suppress(OSError, ValueError):
        allowed, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        return int(allowed) / int(period)
    with contextlib.suppress(OSError, ValueError):
        allowed, period = (Path(f"/sys/fs/cgroup/cpu/cpu.cfs_{name}_us").read_text() for name in ("quota", "period"))
        return int(allowed) / int(period) if int(allowed) > 0 else math.inf
    return math.inf


def _busy() -> float:
    """Cores, of those allowed, that others use; 0 where the system does not say."""
    with contextlib.suppress(OSError, ValueError, IndexError, AttributeError):  # the last: no affinity, on macOS
        before, own = _used(), time.process_time()
        time.sleep(WATCHED)
        return (_used() - before - (time.process_time() - own)) / WATCHED
    return 0.0


def _used() -> float:
    """Seconds that the allowed cores have worked since the system began; such as wait for a disk are free."""
    allowed = {f"cpu{number}" for number in os.sched_getaffinity(0)}
    lines = [line.split() for line in Path("/proc/stat").read_text().splitlines()]
    ticks = (sum(map(int, line[1:4] + line[6:9])) for line in lines if line[0] in allowed)
    return sum(ticks) / os.sysconf("SC_CLK_TCK")
