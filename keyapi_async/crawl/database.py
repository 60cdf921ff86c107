"""The file of a crawl: its schema, how it is opened, and the lock on it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

from .errors import StoreError, store_error

APPLICATION_ID: Final = 0x4B415049  # "KAPI", so that no other program's database is taken for ours
VERSION: Final = 1

SCHEMA: Final = """
CREATE TABLE queries (
    id INTEGER PRIMARY KEY,
    endpoint TEXT NOT NULL,
    params TEXT NOT NULL,              -- wire parameters as a JSON object
    planned INTEGER NOT NULL,          -- 0 for the details found on the way
    UNIQUE (endpoint, params)
);
CREATE TABLE snapshots (
    id INTEGER PRIMARY KEY,
    started_at REAL NOT NULL,          -- all times are Unix seconds
    finished_at REAL,
    options TEXT NOT NULL              -- max_items, max_pages, with_details
);
CREATE TABLE runs (                    -- one row for each time the crawl was started
    id INTEGER PRIMARY KEY,
    snapshot INTEGER NOT NULL REFERENCES snapshots,
    pid INTEGER NOT NULL,
    started_at REAL NOT NULL,
    seen_at REAL NOT NULL,             -- when it last wrote
    ended_at REAL,                     -- null while it runs, and if it was killed
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
    stop_reason TEXT,
    error TEXT,
    finished_at REAL,
    UNIQUE (snapshot, query)
);
CREATE INDEX lists_pending ON lists (snapshot, id) WHERE state = 'pending';
CREATE TABLE pages (
    list INTEGER NOT NULL REFERENCES lists,
    page INTEGER NOT NULL,
    request_id TEXT,
    retrieved_at REAL NOT NULL,
    credits INTEGER NOT NULL,
    status TEXT NOT NULL,              -- ok, or the class of the error
    PRIMARY KEY (list, page)
) WITHOUT ROWID;
CREATE TABLE items (
    id INTEGER PRIMARY KEY,
    list INTEGER NOT NULL REFERENCES lists,
    page INTEGER NOT NULL,
    position INTEGER NOT NULL,         -- on its page, from 1
    item_id TEXT NOT NULL,
    json TEXT NOT NULL,                -- the item as received
    UNIQUE (list, page, position)
);
"""


def connect(path: Path, *, create: bool = False) -> sqlite3.Connection:
    """Open the file of a crawl and make sure that it is one; nothing in it is changed.

    Args:
        path: The file.
        create: Open it to write, and make it if it isn't there or empty; else it is read only.

    Raises:
        StoreError: It can't be opened, or is something else.
    """
    with translated(path):
        connection = _open(path, create=create)
        try:
            _recognise(path, connection, create=create)
        except BaseException:
            connection.close()
            raise
    return connection


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Keep every other crawl off a file.

    The lock is one of SQLite's own, on an empty file beside it: the system drops it when the
    process ends, however it ends, so none is ever left behind. The crawl's file itself can't be
    locked, or nobody could look into it meanwhile. The empty file stays: removing it could take
    away the lock of whoever comes next.

    Raises:
        StoreError: Another crawl has it, or its folder can't be written to.
    """
    with translated(path):
        lock = sqlite3.connect(f"{path.resolve()}-lock", timeout=0, isolation_level=None)
    with closing(lock):
        try:
            lock.execute("BEGIN EXCLUSIVE")
        except sqlite3.Error as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY:
                raise store_error(path, error) from None
            raise StoreError(
                f"{path}: another crawl is running on it; wait for its end, "
                f"or look at it with `keyapi crawl --status {path}`"
            ) from None
        yield


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """Let errors of SQLite say which file they are about and what to do."""
    try:
        yield
    except sqlite3.Error as error:
        raise store_error(path, error) from None


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """All or nothing."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        # A full disk may have rolled it back already.
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def _open(path: Path, *, create: bool) -> sqlite3.Connection:
    if not create and not path.exists():
        raise StoreError(f"{path}: there is no such file; start a crawl with `-o {path}`")
    if path.is_dir():
        raise StoreError(f"{path}: is a folder; name a file in it")
    # A reader, too, opens it to write: else it would leave files of SQLite's behind.
    connection = sqlite3.connect(
        f"{path.resolve().as_uri()}?mode={'rwc' if create else 'rw'}",
        uri=True,
        isolation_level=None,
        check_same_thread=False,  # used by one thread at a time, but not always the same
    )
    if not create:
        connection.execute("PRAGMA query_only = ON")
    return connection


def _recognise(path: Path, connection: sqlite3.Connection, *, create: bool) -> None:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    if application == APPLICATION_ID and version > VERSION:
        raise StoreError(
            f"{path}: was made by a newer version of keyapi-async; nothing was changed: "
            "upgrade with `pip install -U keyapi-async`"
        )
    if application != APPLICATION_ID and (tables or not create):
        raise StoreError(f"{path}: is not the file of a crawl; nothing was changed: choose another")
    if create:
        connection.execute("PRAGMA page_size = 8192")  # items are long: a quarter less work
        # NORMAL: a killed process loses nothing; a power cut may take the last moments.
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        if application != APPLICATION_ID:
            with transaction(connection):
                for statement in SCHEMA.split(";\n"):
                    connection.execute(statement)
                connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
                connection.execute(f"PRAGMA user_version = {VERSION}")
