"""A server of this machine's that stands for torchvision's mirrors."""

import gzip
import hashlib
import os
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import torchvision.datasets
from conftest import NAMES, write_images


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


class _Server(ThreadingHTTPServer):
    def handle_error(self, *_):
        """A client that was killed is no error of the server's."""


def serve(folder: Path) -> ThreadingHTTPServer:
    """Gives out the files of a folder, at `address`, until it is shut down or the process ends."""
    server = _Server(("127.0.0.1", 0), partial(_Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    return server


def address(server: ThreadingHTTPServer) -> str:
    return f"http://127.0.0.1:{server.server_port}"


def write_mirror(folder: Path) -> dict[str, str]:
    """The four packed files of KMNIST, of a few images; their MD5 by name."""
    write_images(folder)
    for name in NAMES:
        (folder / f"{name}.gz").write_bytes(gzip.compress((folder / name).read_bytes(), mtime=0))
    return {f"{name}.gz": hashlib.md5((folder / f"{name}.gz").read_bytes()).hexdigest() for name in NAMES}


def use_mirror(url: str, digests: dict[str, str]) -> None:
    """From here on, this process takes KMNIST from there."""
    os.environ["no_proxy"] = "*"
    torchvision.datasets.KMNIST.mirrors = [f"{url}/"]
    torchvision.datasets.KMNIST.resources = list(digests.items())
