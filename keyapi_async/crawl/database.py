"""The file of a crawl: its schema, how it is opened, and the lock on it."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

from .errors import CANT_OPEN, StoreError, no_crawl, store_error

APPLICATION_ID: Final = 0x4B415049  # "KAPI", so that no other program's database is taken for ours
VERSION: Final = 1

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


def connect(path: Path, *, create: bool = False) -> sqlite3.Connection:
    """Open the file of a crawl and make sure that it is one.

    Args:
        path: The file.
        create: Open it to write, and make it if it isn't there or empty; else it is read only.

    Raises:
        StoreError: It can't be opened, or is something else; then nothing in it was changed.
    """
    with translated(path):
        connection = _open(path, create=create)
        try:
            begun = _recognised(path, connection)
            if create:
                _set_up(connection, begun=begun)
            elif not begun:
                raise no_crawl(path)
        except BaseException:
            connection.close()
            raise
    return connection


def in_memory() -> sqlite3.Connection:
    """A crawl's tables without a file."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    _set_up(connection, begun=False)
    return connection


def is_begun(path: Path) -> bool:
    """Whether a file has a crawl's tables; it has none if it isn't there yet, or is empty.

    Raises:
        StoreError: It is something else, or its folder can't take it.
    """
    if not path.exists():
        if not os.access(path.resolve().parent, os.W_OK):
            raise StoreError(f"{path}: {CANT_OPEN}")
        return False
    with translated(path), closing(_open(path, create=False)) as connection:
        return _recognised(path, connection)


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


@contextmanager
def undone(connection: sqlite3.Connection) -> Iterator[None]:
    """Nothing of it stays."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")


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


def _recognised(path: Path, connection: sqlite3.Connection) -> bool:
    """Whether it is the file of a crawl; False if it is empty. Raises if it is anything else."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    if application == APPLICATION_ID:
        if version > VERSION:
            raise StoreError(
                f"{path}: was made by a newer version of keyapi-async; nothing was changed: "
                "upgrade with `pip install -U keyapi-async`"
            )
        return True
    # One without tables is what a kill or a full disk leaves of a file that was being made.
    if application or tables:
        raise StoreError(f"{path}: is not the file of a crawl; nothing was changed: choose another")
    return False


def _set_up(connection: sqlite3.Connection, *, begun: bool) -> None:
    connection.execute("PRAGMA page_size = 8192")  # items are long: a quarter less work
    # NORMAL: a killed process loses nothing; a power cut may take the last moments.
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    if not begun:
        with transaction(connection):
            for statement in SCHEMA.split(";\n"):
                connection.execute(statement)
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {VERSION}")
