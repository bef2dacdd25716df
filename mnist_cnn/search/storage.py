"""Where a search keeps its trials: a file in its directory, or a database that many searches can share."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import optuna
import sqlalchemy
from optuna.exceptions import OptunaError
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock, JournalFileSymlinkLock
from sqlalchemy.engine import URL, Engine, make_url
from sqlalchemy.exc import ArgumentError, IntegrityError, NoSuchModuleError, ProgrammingError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from mnist_cnn.errors import RunError, closest, in_one_line, nearest, without_passwords
from mnist_cnn.files import require_file
from mnist_cnn.report.text import duration

DATABASE, JOURNAL = "study.db", "study.journal"  # in the directory of a search
JOURNAL_URL = "journal://"  # and the path; of our own
ALLOWED = "null, journal, or the URL of a database, such as postgresql://USER@HOST/DATABASE"
DATABASES = ("postgresql", "mysql", "mariadb", "sqlite")
WORD = "journal"
SECRETS = ("password", "passwd", "pwd", "sslpassword")  # that drivers take after the ? of a URL
CONNECT_SECONDS = "10"
AWAY_SECONDS, RETRY_SECONDS = 600.0, 2.0  # that a server may be away, as when it is started again; between two tries
TABLES_TRIES = 3
GOES_ON = "; its trials are kept, and the same call goes on"
LOST = (SQLAlchemyError, OptunaError)  # what a storage raises that cannot be reached any more
DAMAGED = (*LOST, LookupError, ValueError, RuntimeError, AssertionError, TypeError, AttributeError)


def storage_problem(storage: str | None) -> str | None:
    """What is wrong with the setting; without the password that it may hold."""
    if storage is None or storage == WORD:
        return None
    shown = f"storage = {without_passwords(storage)!r}"
    try:
        url = make_url(storage)
        if url.password is not None or {*SECRETS} & {*url.query}:
            return f"{shown}: a password would stand in the files of every trial; leave it out and {_give_it(url)}"
        sqlalchemy.create_engine(_with_driver(url))
    except NoSuchModuleError:
        return f"{shown}: unknown database {url.drivername!r}{nearest(url.get_backend_name(), DATABASES)}"
    except ImportError as error:
        package = 'pip install "mnist-cnn[search-postgresql]"' if _is_postgresql(url) else "install it"
        return f"{shown}: its driver, the module {error.name}, is not installed; {package}"
    except (ArgumentError, TypeError, ValueError):
        near = closest(storage, [WORD])
        return f"{shown}: must be {ALLOWED}" + f"; did you mean {near!r}?" * bool(near)
    if url.get_backend_name() == "sqlite" and url.database in (None, "", ":memory:"):
        return f"{shown}: must name a file; null keeps one in the directory of the search"
    if (file := _file(storage)) is not None and not file.parent.is_dir():
        return f"{shown}: {file.parent}: no such folder"
    return None


def lasting(storage: str | None) -> str | None:
    """The setting as it counts from any folder."""
    if storage is None or storage == WORD:
        return storage
    url = make_url(storage)
    if url.get_backend_name() == "sqlite":
        url = url.set(database=str(Path(str(url.database)).resolve()))
    return url.render_as_string(hide_password=False)  # it has none


def storage_url(storage: str | None, directory: Path) -> str:
    """What `open_storage` opens, for a setting as `lasting` gives it."""
    if storage is None:
        return f"sqlite:///{directory / DATABASE}"
    return f"{JOURNAL_URL}{directory / JOURNAL}" if storage == WORD else storage


def open_storage(url: str, waits: bool = False) -> BaseStorage:
    """Makes the file or the tables where there are none.

    Args:
        waits: for a server that goes away later, up to AWAY_SECONDS at each question.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    if url.startswith(JOURNAL_URL):
        return _open_journal(Path(url.removeprefix(JOURNAL_URL)))
    whole = _with_driver(make_url(url))
    for left in reversed(range(TABLES_TRIES)):
        try:
            # A connection for each question: a server has a hundred, and may be started again in the hours of a search;
            # and of a file none stays open.
            storage = RDBStorage(whole.render_as_string(), engine_kwargs={"poolclass": NullPool})
            if waits and _file(url) is None:
                wait_for_server(storage.engine)
            return storage
        except (IntegrityError, ProgrammingError):  # another search made the same tables at the same moment
            if not left:
                raise
    raise AssertionError("unreachable")


def wait_for_server(engine: Engine) -> None:
    """Every new connection tries again for AWAY_SECONDS, and says so."""

    @sqlalchemy.event.listens_for(engine, "do_connect")
    def connect(dialect: Any, record: Any, arguments: Any, options: Any) -> Any:
        began, said = time.monotonic(), False
        while True:
            try:
                return dialect.connect(*arguments, **options)
            except dialect.loaded_dbapi.OperationalError as error:
                if time.monotonic() - began > AWAY_SECONDS:
                    raise
                if not said:
                    words = without_passwords(in_one_line(error))
                    print(f"storage: waiting up to {duration(AWAY_SECONDS)} for the server: {words}", flush=True)
                said = True
                time.sleep(RETRY_SECONDS)


def _open_journal(file: Path) -> BaseStorage:
    """Optuna reads past a last line that was cut off, and what it adds behind it makes the whole file unreadable."""
    # On Windows not everybody may make a link.
    lock = (JournalFileOpenLock if sys.platform == "win32" else JournalFileSymlinkLock)(str(file))
    if file.exists() and file.stat().st_size:
        lock.acquire()  # while it is held nobody is in the midst of a line
        try:
            whole = file.read_bytes().endswith(b"\n")
        finally:
            lock.release()
        if not whole:
            raise ValueError("its last line is cut off: without it the file is as good as before")
    return JournalStorage(JournalFileBackend(str(file), lock))


@contextmanager
def told(url: str, opening: bool = False) -> Iterator[None]:
    """What goes wrong with a storage, as one line.

    Raises:
        RunError: it cannot be reached, is something else, or damaged.
    """
    file = _file(url)
    if opening and file is not None and file.exists():
        require_file(file, RunError)
    errors = DAMAGED if opening else LOST
    try:
        yield
    except errors as error:
        said = getattr(error, "orig", None) or getattr(error.__cause__, "orig", None) or error.__cause__ or error
        words = without_passwords((str(said) or type(said).__name__).splitlines()[0])
        if file is not None and opening:
            words = f"{file}: not the study of a search ({words}); put back a copy, or begin a new one"
        elif file is not None:
            words = f"{file}: {words}{GOES_ON}"
        else:
            words = f"storage = {without_passwords(url)!r}: {words}"
            words += f"; {_give_it(make_url(url))}" if "password" in words else GOES_ON * (not opening)
        raise RunError(words) from error


def require_reachable(url: str) -> None:
    """Raises RunError where a server cannot be reached, before anything is written."""
    if _file(url) is None:
        with told(url, opening=True):
            engine = sqlalchemy.create_engine(_with_driver(make_url(url)))
            engine.connect().close()
            engine.dispose()


def _file(url: str) -> Path | None:
    """None for a server."""
    if url.startswith(JOURNAL_URL):
        return Path(url.removeprefix(JOURNAL_URL))
    parsed = make_url(url)
    return Path(str(parsed.database)) if parsed.get_backend_name() == "sqlite" else None


def _is_postgresql(url: URL) -> bool:
    return url.get_backend_name() == "postgresql"


def _with_driver(url: URL) -> URL:
    if not _is_postgresql(url):
        return url
    if url.drivername == "postgresql":  # which driver SQLAlchemy takes depends on its version
        url = url.set(drivername="postgresql+psycopg")
    # The system waits minutes for a machine that does not answer.
    return url if "connect_timeout" in url.query else url.update_query_dict({"connect_timeout": CONNECT_SECONDS})


def _give_it(url: URL) -> str:
    return "give it in ~/.pgpass or PGPASSWORD" if _is_postgresql(url) else "give it in a file that the driver reads"
