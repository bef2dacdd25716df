"""A real PostgreSQL for one test, in a folder of its own, with a user that needs a password."""

import contextlib
import importlib.util
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

USER, PASSWORD = "search", "oyster-lamp-71"
DEBIAN = Path("/usr/lib/postgresql")


def missing() -> str | None:
    if not list(DEBIAN.glob("*/bin/initdb")):
        return f"no PostgreSQL in {DEBIAN}; on Debian and Ubuntu: apt-get install postgresql"
    if importlib.util.find_spec("psycopg") is None:
        return 'psycopg is not installed; pip install "mnist-cnn[search-postgresql]"'
    return None


class Server:
    """Its programs refuse to run as root, so there the user is Debian's own."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.programs = folder, max(DEBIAN.glob("*/bin"), key=lambda path: float(path.parent.name))
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"postgresql://{USER}@127.0.0.1:{self.port}/postgres"

    @property
    def version(self) -> str:
        return f"PostgreSQL {self.programs.parent.name}"

    def call(self, program: str, *arguments: str) -> None:
        as_user = {"user": "postgres", "group": "postgres", "extra_groups": []} if os.getuid() == 0 else {}
        with (self.folder / "printed").open("ab") as printed:  # a pipe would stay open as long as the server runs
            done = subprocess.run(
                [str(self.programs / program), "-D", str(self.folder / "data"), *arguments], cwd=self.folder,
                stdout=printed, stderr=subprocess.STDOUT, timeout=120, **as_user,
            )  # fmt: skip
        assert done.returncode == 0, (self.folder / "printed").read_text()

    def start(self) -> None:
        listening = f"-p {self.port} -k {self.folder} -c listen_addresses=127.0.0.1"
        self.call("pg_ctl", "-w", "-l", str(self.folder / "log"), "-o", listening, "start")

    def stop(self) -> None:
        self.call("pg_ctl", "-w", "-m", "immediate", "stop")


@contextlib.contextmanager
def running() -> Iterator[Server]:
    folder = Path(tempfile.mkdtemp(prefix="postgresql-"))  # pytest's own are closed to other users
    try:
        (folder / "password").write_text(PASSWORD)
        if os.getuid() == 0:
            for path in (folder, folder / "password"):
                shutil.chown(path, "postgres", "postgres")
        server = Server(folder)
        secret = ["--auth=scram-sha-256", f"--pwfile={folder / 'password'}"]
        server.call("initdb", f"--username={USER}", *secret, "--encoding=UTF8", "--locale=C", "--no-sync")
        server.start()
        try:
            yield server
        finally:
            if (folder / "data" / "postmaster.pid").exists():
                server.stop()
    finally:
        shutil.rmtree(folder)
