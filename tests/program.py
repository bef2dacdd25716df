"""Commands in real processes, which tests can stop and kill, without the seconds that each would import for.

They are forked from the server that sweeps fork their jobs from, and which has imported everything. The commands that
must start as a user's do use `subprocess`.
"""

import contextlib
import gc
import importlib
import multiprocessing
import os
import resource
import sys
import tempfile
from collections.abc import Callable
from multiprocessing import forkserver, resource_tracker
from pathlib import Path
from typing import Any


class Program:
    """A running command; in the manner of `subprocess.Popen`."""

    def __init__(
        self, module: str, arguments: list[str], folder: Path, memory: int | None, prepare: Callable[[], None] | None
    ) -> None:
        context: Any = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["mnist_cnn.train"])
        descriptor, name = tempfile.mkstemp(dir=folder, prefix=".printed-")
        os.close(descriptor)
        self.printed = Path(name)
        given = (module, arguments, str(folder), name, dict(os.environ), memory, prepare)
        self.process = context.Process(target=_run, args=given, daemon=True)  # ends with the tests
        self.process.start()

    @property
    def returncode(self) -> int | None:
        return self.process.exitcode

    def send_signal(self, number: int) -> None:
        os.kill(self.process.pid, number)

    def kill(self) -> None:
        self.process.kill()

    def wait(self, timeout: float = 60) -> int:
        self.process.join(timeout)
        if self.process.exitcode is None:
            self.kill()
            raise AssertionError(f"still running after {timeout} s:\n{self.printed.read_text()}")
        return self.process.exitcode

    def output(self, timeout: float = 60) -> str:
        """All that it printed, once it has ended."""
        self.wait(timeout)
        return self.printed.read_text()


def start(
    arguments: list[str],
    folder: Path,
    module: str = "mnist_cnn.train",
    memory: int | None = None,
    prepare: Callable[[], None] | None = None,
) -> Program:
    """Starts an entry point in a process of its own, with `folder` as the folder of the call.

    Args:
        memory: the most it may have of its own, in bytes.
        prepare: called in the new process first.
    """
    return Program(module, arguments, folder, memory, prepare)


def _run(
    module: str,
    arguments: list[str],
    folder: str,
    printed: str,
    environment: dict[str, str],
    memory: int | None,
    prepare: Callable[[], None] | None,
) -> None:
    os.setsid()
    if memory is not None:
        resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))
    gc.freeze()
    with open(printed, "ab") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    os.chdir(folder)
    os.environ.update(environment | {"COLUMNS": "200"})
    sys.argv = [module, *arguments]
    with contextlib.suppress(AttributeError):  # a sweep forks its jobs from the same server
        forkserver._forkserver.ensure_running = resource_tracker.ensure_running
    multiprocessing.current_process()._config["daemon"] = False  # it may have children
    entry = importlib.import_module(module)
    if prepare is not None:
        prepare()
    entry.main()
