"""A Ray cluster of two nodes on this machine, whose nodes can be lost with all their processes."""

import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

CPUS = 2  # of a node
HEAD, SECOND = "head", "second"


def missing() -> str | None:
    return None if importlib.util.find_spec("ray") else 'ray is not installed; pip install "mnist-cnn[ray]"'


class RayCluster:
    """Each node is a `ray start --block`, which has its raylet and all that runs there as descendants."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="ray-"))  # pytest's own are too long for Ray's sockets
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.address = f"127.0.0.1:{self.port}"
        # A token that an earlier Ray left in ~/.ray would be asked of all that join.
        own = {"RAY_ADDRESS": self.address, "RAY_AUTH_MODE": "disabled", "COLUMNS": "200", "OMP_NUM_THREADS": "1"}
        self.environment = os.environ | own
        self.nodes: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str) -> None:
        joins = [f"--address={self.address}"]
        heads = ["--head", f"--port={self.port}", "--include-dashboard=false", f"--temp-dir={self.folder}"]
        small = [f"--num-cpus={CPUS}", "--object-store-memory=80000000", "--disable-usage-stats"]
        command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--block", *small]
        before = self.alive() if name == SECOND else 0
        with (self.folder / f"{name}.printed").open("ab") as printed:
            self.nodes[name] = subprocess.Popen(
                [*command, *(heads if name == HEAD else joins)], env=self.environment | {"RAY_ADDRESS": ""},
                stdout=printed, stderr=subprocess.STDOUT, cwd=self.folder,
            )  # fmt: skip
        deadline = time.monotonic() + 120
        while self.alive() <= before:
            assert time.monotonic() < deadline, (self.folder / f"{name}.printed").read_text()
            time.sleep(1)

    def alive(self) -> int:
        """Nodes."""
        code = "import ray; ray.init(logging_level='ERROR'); print(sum(node['Alive'] for node in ray.nodes()))"
        if not _answers(self.port):
            return 0
        asked = subprocess.run([sys.executable, "-c", code], env=self.environment, capture_output=True, text=True)
        return int(asked.stdout.split()[-1]) if asked.returncode == 0 else 0

    def lose(self, name: str) -> None:
        """All its processes at once, the trainings too, as when its power goes."""
        node = self.nodes.pop(name)
        for process in _descendants(node.pid):
            os.kill(process, signal.SIGKILL)
        node.wait()

    def stop(self) -> None:
        for name in list(self.nodes):
            self.lose(name)
        shutil.rmtree(self.folder, ignore_errors=True)


def _answers(port: int) -> bool:
    with socket.socket() as asking:
        return asking.connect_ex(("127.0.0.1", port)) == 0


def _descendants(process: int) -> list[int]:
    """It and all that it started, stopped meanwhile so that none starts another."""
    try:
        os.kill(process, signal.SIGSTOP)
        tasks = Path(f"/proc/{process}/task").iterdir()
        children = [int(child) for task in tasks for child in (task / "children").read_text().split()]
    except OSError:  # it has ended
        return []
    return [process, *(each for child in children for each in _descendants(child))]
