"""The file of a crawl: its schema, how it is opened, and the lock on it."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from keyapi_async.errors import InvalidResponseError, KeyAPIError, excerpt

from .views import make_views

APPLICATION_ID: Final = 0x4B415049  # "KAPI", so that no other program's database is taken for ours
VERSION: Final = 2

SCHEMA: Final = """
CREATE TABLE queries (
    id INTEGER PRIMARY KEY,
    endpoint TEXT NOT NULL,
    params TEXT NOT NULL,              -- wire parameters as a JSON object
    planned INTEGER NOT NULL,          -- 1 in the plan, 0 a detail found on the way, -1 dropped
    UNIQUE (endpoint, params)
);
CREATE TABLE snapshots (
    id INTEGER PRIMARY KEY,
    started_at REAL NOT NULL,          -- all times are Unix seconds
    options TEXT NOT NULL,             -- max_items, max_pages, details, daily as a JSON object
    day TEXT                           -- when it was begun, as YYYY-MM-DD
);
CREATE TABLE runs (                    -- one row for each time the crawl was started
    id INTEGER PRIMARY KEY,
    snapshot INTEGER NOT NULL REFERENCES snapshots,
    pid INTEGER NOT NULL,
    started_at REAL NOT NULL,
    seen_at REAL NOT NULL,             -- when it last wrote
    ended_at REAL,                     -- null while it runs, and if it was killed
    in_hand INTEGER NOT NULL DEFAULT 0,  -- most lists it works on at once
    requests INTEGER NOT NULL DEFAULT 0,
    retries INTEGER NOT NULL DEFAULT 0,
    rate_limited INTEGER NOT NULL DEFAULT 0,
    credits_spent INTEGER NOT NULL DEFAULT 0,
    credits_at_risk INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE lists (                   -- one query in one snapshot
    id INTEGER PRIMARY KEY,
    snapshot INTEGER NOT NULL REFERENCES snapshots,
    query INTEGER NOT NULL REFERENCES queries,
    state TEXT NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'done', 'failed')),
    next_page INTEGER,                 -- where to go on; null before the first page, 0 at the end
    next_offset INTEGER NOT NULL DEFAULT 0,
    pages INTEGER NOT NULL DEFAULT 0,
    items INTEGER NOT NULL DEFAULT 0,
    duplicates INTEGER NOT NULL DEFAULT 0,
    total INTEGER,                     -- as the server said last
    stop_reason TEXT,                  -- exhausted, max_items, max_pages, empty_page, dropped
    error TEXT,
    finished_at REAL,
    UNIQUE (snapshot, query)
);
CREATE INDEX lists_pending ON lists (snapshot, id) WHERE state = 'pending';
CREATE INDEX lists_query ON lists (query);
CREATE TABLE pages (                   -- one row for each answer stored, or list failed
    id INTEGER PRIMARY KEY,
    list INTEGER NOT NULL REFERENCES lists,
    page INTEGER NOT NULL,
    request_id TEXT,
    retrieved_at REAL NOT NULL,
    credits INTEGER NOT NULL,
    status TEXT NOT NULL               -- ok, or the class of the error
);
CREATE TABLE items (
    id INTEGER PRIMARY KEY,
    list INTEGER NOT NULL REFERENCES lists,
    page INTEGER NOT NULL REFERENCES pages,
    position INTEGER NOT NULL,         -- on its page, from 1
    item_id TEXT NOT NULL,
    json TEXT NOT NULL,                -- the item as received
    UNIQUE (list, item_id)
);
"""

_UPGRADES: Final = {
    1: """
ALTER TABLE snapshots ADD COLUMN day TEXT;
UPDATE snapshots SET day = date(started_at, 'unixepoch', 'localtime');
CREATE INDEX lists_query ON lists (query);
ALTER TABLE runs ADD COLUMN in_hand INTEGER NOT NULL DEFAULT 0;
""",
}
"""Statements that turn a file of that version into one of the next."""

_PARSE_ERRORS: Final = (
    ArithmeticError,
    AttributeError,
    InvalidResponseError,
    LookupError,
    RecursionError,
    TypeError,
    ValueError,
)
"""What parsing rows raises that were damaged, or edited by hand."""


class StoreError(KeyAPIError):
    """The crawl's file can't be used; the message names it, the reason and the way out."""


class LockedError(StoreError):
    """Another crawl is running on the file."""


class Database:
    """An open file; its errors say which file they are about and what to do."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.path = path
        self._place = path.resolve()
        self._identity = path.stat()
        self._connection = connection
        connection.row_factory = sqlite3.Row

    def rows(self, sql: str, *values: object) -> list[Any]:
        """Run a query; returns all rows."""
        with _translating(self.path):
            return self._connection.execute(sql, values).fetchall()

    def each(self, sql: str, *values: object) -> Iterator[Any]:
        """Run a query with a long result; yields row by row."""
        with _translating(self.path):
            # Not `yield from`: that would close the cursor, perhaps of a file closed before.
            for row in self._connection.execute(sql, values):  # noqa: UP028
                yield row

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """All or nothing.

        Raises:
            StoreError: It can't be written, or it was, but is no longer under its name.
        """
        with _translating(self.path):
            with _transaction(self._connection):
                yield self._connection
            with suppress(FileNotFoundError):
                if os.path.samestat(self._place.stat(), self._identity):
                    return
        raise StoreError(
            f"{self.path}: was moved, replaced or deleted while it was written to; if it was "
            "moved, it has all that was stored: put it back under this name, in place of any "
            "other, then run the same command to go on"
        )


@contextmanager
def parsing(path: Path) -> Iterator[None]:
    """Parse rows in this context; those that no crawl wrote are reported as damage.

    Raises:
        StoreError: A row can't be parsed.
    """
    problem = ""
    try:
        yield
    except _PARSE_ERRORS as error:
        problem = f"{type(error).__name__}: {error}".splitlines()[0]
    if problem:
        raise StoreError(f"{path}: {_ADVICE['SQLITE_CORRUPT']} ({excerpt(problem)})")


@contextmanager
def writing(path: Path, *, create: bool) -> Iterator[Database]:
    """Open a crawl's file to write, and keep every other crawl off it.

    Args:
        path: The file.
        create: Make it if it isn't there, or empty.

    Raises:
        LockedError: Another crawl is running on it.
        StoreError: It can't be used; then nothing in it was changed.
    """
    if create:
        is_begun(path)  # so that no lock is put beside a file that isn't ours
    else:
        with reading(path):
            pass  # nor where there is no file
    with _locking(path), _translating(path), closing(_connect(path, "rwc")) as connection:
        _set_up(connection, _version(path, connection))
        try:
            yield Database(path, connection)
        finally:
            # As SQLite does on closing, but not if the file was moved: its log would stay behind.
            with suppress(sqlite3.Error):
                connection.execute("PRAGMA busy_timeout = 0")
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


@contextmanager
def reading(path: Path) -> Iterator[Database]:
    """Open a crawl's file, perhaps one that is being crawled, to read it as it is.

    Nothing is changed and no file left beside it.

    Raises:
        StoreError: It can't be read, or is no crawl's.
    """
    with ExitStack() as stack:
        with _translating(path):
            connection = _open_to_read(path, stack)
            if _version(path, connection) is None:
                raise no_crawl(path)
        yield Database(path, connection)


def no_crawl(path: object) -> StoreError:
    """The error for a file without a crawl, and no plan to begin one with."""
    return StoreError(f"{path}: holds no crawl yet; start one with a plan")


def _open_to_read(path: Path, stack: ExitStack) -> sqlite3.Connection:
    def connect(mode: str, file: Path = path) -> sqlite3.Connection:
        connection = stack.enter_context(closing(_connect(file, mode)))
        connection.execute("PRAGMA query_only = ON")
        connection.execute("SELECT 1 FROM sqlite_schema").fetchall()
        return connection

    log, index = (Path(f"{path.resolve()}{ending}") for ending in ("-wal", "-shm"))
    if not log.exists():
        # Nobody has it open. As a writer, SQLite removes its own files again afterwards.
        may_write = os.access(path, os.W_OK) and os.access(path.resolve().parent, os.W_OK)
        return connect("rw" if may_write or not path.exists() else "ro&immutable=1")
    if index.exists():
        try:
            return connect("ro")
        except sqlite3.OperationalError as error:
            if _name(error).startswith("SQLITE_BUSY"):
                raise
    # Its crawl was killed, and SQLite would have to write here to recover its log.
    folder = Path(stack.enter_context(TemporaryDirectory(prefix="keyapi-")))
    shutil.copyfile(path, folder / "crawl")
    shutil.copyfile(log, folder / "crawl-wal")
    return connect("rw", folder / "crawl")


def _connect(path: Path, mode: str) -> sqlite3.Connection:
    if path.is_dir():
        raise StoreError(f"{path}: is a folder; name a file in it")
    if mode != "rwc" and not path.exists():
        raise StoreError(f"{path}: there is no such file; start a crawl with `-o {path}`")
    return sqlite3.connect(
        f"{path.resolve().as_uri()}?mode={mode}",
        uri=True,
        isolation_level=None,
        check_same_thread=False,  # used by one thread at a time, but not always the same
    )


def is_begun(path: Path) -> bool:
    """Whether a file has a crawl's tables; it has none if it isn't there yet, or is empty.

    Raises:
        StoreError: It is something else, or its folder can't take it.
    """
    with _translating(path), ExitStack() as stack:
        if path.exists():
            return _version(path, _open_to_read(path, stack)) is not None
        if not os.access(path.resolve().parent, os.W_OK):
            raise StoreError(f"{path}: {_CANT_OPEN}")
        return False


def _version(path: Path, connection: sqlite3.Connection) -> int | None:
    """The version of a crawl's file; None if it is empty. Raises if it is anything else."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    if application == APPLICATION_ID:
        if version < 1:
            raise StoreError(f"{path}: {_ADVICE['SQLITE_CORRUPT']}")
        if version > VERSION:
            raise StoreError(
                f"{path}: was made by a newer version of keyapi-async; nothing was changed: "
                "upgrade with `pip install -U keyapi-async`"
            )
        return int(version)
    # One without tables is what a kill or a full disk leaves of a file that was being made.
    if application or tables:
        raise StoreError(f"{path}: is not the file of a crawl; nothing was changed: choose another")
    return None


def _set_up(connection: sqlite3.Connection, version: int | None) -> None:
    connection.execute("PRAGMA page_size = 8192")  # items are long: a quarter less work
    # NORMAL: a killed process loses nothing; a power cut may take the last moments.
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    with _transaction(connection):
        if version != VERSION:
            scripts = (
                [SCHEMA] if version is None else [_UPGRADES[v] for v in range(version, VERSION)]
            )
            for statement in "".join(scripts).split(";\n"):
                connection.execute(statement)
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {VERSION}")
        make_views(connection)


@contextmanager
def _locking(path: Path) -> Iterator[None]:
    """Keep every other crawl off a file.

    The lock is one of SQLite's own, on an empty file beside it: the system drops it when the
    process ends, however it ends, so none is ever left behind. The crawl's file itself can't be
    locked, or nobody could read it meanwhile. The empty file stays: removing it could remove the
    lock of the next crawl.
    """
    with _translating(path):
        lock = sqlite3.connect(f"{path.resolve()}-lock", timeout=0, isolation_level=None)
    with closing(lock):
        try:
            lock.execute("BEGIN EXCLUSIVE")
        except sqlite3.Error as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY:
                raise _store_error(path, error) from None
            raise LockedError(
                f"{path}: another crawl is running on it; wait for its end, "
                f"or look at it with `keyapi status {path}`"
            ) from None
        yield


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        if connection.in_transaction:  # a full disk may have rolled it back already
            connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


@contextmanager
def _translating(path: Path) -> Iterator[None]:
    try:
        yield
    except (sqlite3.Error, UnicodeDecodeError) as error:
        raise _store_error(path, error) from None
    except OSError as error:
        raise StoreError(f"{path}: {error.strerror or error}") from None


def _store_error(path: Path, error: Exception) -> StoreError:
    """An error of SQLite in words for the owner of the file, with the way out."""
    name = _name(error)
    for prefix, advice in _ADVICE.items():
        if name.startswith(prefix):
            return StoreError(f"{path}: {advice}")
    return StoreError(f"{path}: {error}")


def _name(error: Exception) -> str:
    """SQLite's name for an error; what Python can't decode has none, and is damaged."""
    is_undecodable = isinstance(error, sqlite3.OperationalError | UnicodeDecodeError)
    return getattr(error, "sqlite_errorname", "SQLITE_CORRUPT" if is_undecodable else "")


_CANT_OPEN = "can't be opened; check that its folder exists and that both may be written to"

_ADVICE = {
    "SQLITE_FULL": (
        "the disk is full; what was stored before is safe: "
        "make room, then run the same command to go on"
    ),
    "SQLITE_READONLY": "can't be written to (read-only); change its permissions or choose another",
    "SQLITE_CANTOPEN": _CANT_OPEN,
    "SQLITE_PERM": "can't be opened for lack of permission",
    "SQLITE_NOTADB": "is not a SQLite database; nothing was changed: choose another file",
    "SQLITE_CORRUPT": (
        "is damaged; nothing more was written: move it away and start anew, or save what can be "
        "read with `sqlite3 FILE .recover`"
    ),
    "SQLITE_BUSY": "another program is writing to it; try again when it is done",
    "SQLITE_IOERR": (
        "can't be read or written (disk error); what was stored before is safe: "
        "check the disk, then run the same command to go on"
    ),
}
