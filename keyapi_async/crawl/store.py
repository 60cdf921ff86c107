"""The store of a crawl: what is to be fetched, and what has come, in one SQLite file.

It knows nothing of asyncio; whoever uses it calls it from one thread at a time.
"""

from __future__ import annotations

import json
import os
import sqlite3
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any, Final

import attrs

from keyapi_async.converter import wire_params
from keyapi_async.pages import Checkpoint, filters
from keyapi_async.queries import ListQuery, Query
from keyapi_async.usage import CREDITS_PER_REQUEST, Usage

from .database import connect, is_begun, locked, transaction, translated, undone
from .jobs import Event, Failed, Fetched, Finished, Job, Options
from .plan import ENDPOINTS, details_of, endpoint_of

_JOBS = """
SELECT l.id, q.endpoint, q.params, l.next_page, l.next_offset, l.pages, l.items, l.total
FROM lists l JOIN queries q ON q.id = l.query
WHERE l.snapshot = ? AND l.state = 'pending' AND l.id > ? ORDER BY l.id LIMIT ?
"""
_SEEN = "SELECT item_id FROM items WHERE list = ? ORDER BY id"
_PAGE = """
INSERT INTO pages (list, page, request_id, retrieved_at, credits, status)
VALUES (?, ?, ?, ?, ?, ?)
"""
_ITEMS = "INSERT INTO items (list, page, position, item_id, json) VALUES "
_AT_ONCE: Final = 100
"""So many items go into one statement: each statement costs more than what an item adds to it."""
_ADVANCE = """
UPDATE lists SET next_page = ?, next_offset = ?, pages = pages + 1, items = items + ?,
    duplicates = duplicates + ?, total = coalesce(?, total), error = NULL WHERE id = ?
"""
_RUN = """
UPDATE runs SET seen_at = ?, requests = ?, retries = ?, rate_limited = ?, credits_spent = ?,
    credits_at_risk = ? WHERE id = ?
"""
_DONE = """
UPDATE lists SET state = 'done', stop_reason = ?, error = NULL, finished_at = ? WHERE id = ?
"""
_FAILED = "UPDATE lists SET state = ?, error = ?, finished_at = ? WHERE id = ?"
_COUNTS = ("requests", "retries", "rate_limited", "credits_spent", "credits_at_risk")
_ADD_QUERY = """
INSERT INTO queries (endpoint, params, planned) VALUES (?, ?, ?)
ON CONFLICT DO UPDATE SET planned = excluded.planned WHERE excluded.planned > planned
"""
_ADD_LIST = """
INSERT OR IGNORE INTO lists (snapshot, query)
SELECT ?, id FROM queries WHERE endpoint = ? AND params = ?
"""


def query_key(query: Query) -> tuple[str, str]:
    """What a query is stored as: the name of its endpoint and its wire parameters."""
    return endpoint_of(query), json.dumps(wire_params(query), ensure_ascii=False)


def query_from(endpoint: str, params: str) -> Query:
    """The query that was stored like this."""
    return ENDPOINTS[endpoint].of(**json.loads(params))


@contextmanager
def opened(path: Path, *, create: bool = False) -> Iterator[Store]:
    """Open a store; to write if `create`, and then no other crawl may.

    Raises:
        StoreError: It can't be used; tells why.
    """
    with ExitStack() as stack:
        if create:
            is_begun(path)  # lay no lock beside what isn't ours
            stack.enter_context(locked(path))
        yield Store(path, stack.enter_context(closing(connect(path, create=create))))


class Store:
    """One file. `opened` makes one.

    Args:
        path: The file, for messages.
        connection: The open database.
    """

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.path = path
        self._db = connection
        self._run = 0
        self._snapshot = 0
        self._options = Options()
        self._before = Usage()

    # -- reading -------------------------------------------------------------------------------

    def rows(self, sql: str, *values: object) -> list[Any]:
        """Read something."""
        with translated(self.path):
            return self._db.execute(sql, values).fetchall()

    def each(self, sql: str, *values: object) -> Iterator[Any]:
        """Read something long, row by row."""
        with translated(self.path):
            yield from self._db.execute(sql, values)

    def jobs(self, after: int, count: int) -> list[Job]:
        """Some of the pending lists of the snapshot, in order.

        Args:
            after: Only those with a higher number.
            count: At most so many.
        """
        found = []
        for row in self.rows(_JOBS, self._snapshot, after, count):
            job, page, offset = _job(*row)
            start = self._start(job.id, job.query, page, offset)
            found.append(attrs.evolve(job, start=start))
        return found

    def pending(self, snapshot: int) -> Iterator[Job]:
        """All pending lists of a snapshot, as if each were to start anew."""
        for row in self.each(_JOBS, snapshot, 0, -1):
            yield _job(*row)[0]

    def _start(
        self, number: int, query: Query, next_page: int | None, offset: int
    ) -> Checkpoint | None:
        if next_page is None or not isinstance(query, ListQuery):
            return None
        return Checkpoint(
            path=query.path,
            params=filters(query),
            page=next_page or None,
            offset=offset,
            seen=tuple(item_id for (item_id,) in self.rows(_SEEN, number)),
        )

    # -- writing -------------------------------------------------------------------------------

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """One transaction: all of it or nothing."""
        with translated(self.path), transaction(self._db):
            yield self._db

    @contextmanager
    def rehearsing(self) -> Iterator[sqlite3.Connection]:
        """One transaction of which nothing stays."""
        with translated(self.path), undone(self._db):
            yield self._db

    def begin_run(self, snapshot: int, options: Options, usage: Usage) -> None:
        """Note that a crawl starts working on a snapshot; what follows belongs to it.

        Args:
            snapshot: Its number.
            options: What is wanted of each list.
            usage: What the client had done and spent before.
        """
        now = time.time()
        with self.writing() as db:
            started = db.execute(
                "INSERT INTO runs (snapshot, pid, started_at, seen_at) VALUES (?, ?, ?, ?)",
                (snapshot, os.getpid(), now, now),
            )
            self._run = started.lastrowid or 0
        self._snapshot = snapshot
        self._options = options
        self._before = attrs.evolve(usage)

    def write(self, events: Sequence[Event], usage: Usage) -> list[int]:
        """Store what happened, in one transaction.

        Args:
            events: What happened, in order.
            usage: What this run has done and spent by now.

        Returns:
            How many details each event added to what is to be fetched.
        """
        with self.writing() as db:
            made = [self._write(db, event) for event in events]
            self._write_usage(db, usage)
        return made

    def end_run(self, usage: Usage) -> None:
        """Note that the crawl ended."""
        with self.writing() as db:
            self._write_usage(db, usage)
            db.execute("UPDATE runs SET ended_at = ? WHERE id = ?", (time.time(), self._run))

    def _write(self, db: sqlite3.Connection, event: Event) -> int:
        if isinstance(event, Fetched):
            return self._write_page(db, event)
        if isinstance(event, Finished):
            db.execute(_DONE, (event.reason, time.time(), event.job.id))
        else:
            self._write_failure(db, event)
        return 0

    def _write_page(self, db: sqlite3.Connection, event: Fetched) -> int:
        number = event.job.id
        paid = (event.request_id, event.retrieved_at, CREDITS_PER_REQUEST, "ok")
        page = db.execute(_PAGE, (number, event.page, *paid)).lastrowid
        for first in range(0, len(event.rows), _AT_ONCE):
            rows = event.rows[first : first + _AT_ONCE]
            values: list[object] = []
            for row in rows:
                values += (number, page, row.position, row.item_id, row.item.raw_json)
            db.execute(_ITEMS + ", ".join(["(?, ?, ?, ?, ?)"] * len(rows)), values)
        news = (len(event.rows), event.duplicates, event.total)
        db.execute(_ADVANCE, (event.next_page or 0, event.next_offset, *news, number))
        if not self._options.with_details:
            return 0
        raw = (row.item.raw for row in event.rows)
        found = add_queries(db, details_of(event.job.query, raw), planned=False)
        return add_lists(db, self._snapshot, found)

    def _write_failure(self, db: sqlite3.Connection, event: Failed) -> None:
        number, error, now = event.job.id, event.error, time.time()
        status = type(error).__name__
        state, finished_at = ("failed", now) if event.final else ("pending", None)
        db.execute(_FAILED, (state, f"{status}: {error}", finished_at, number))
        db.execute(_PAGE, (number, event.page, error.request_id, now, 0, status))

    def _write_usage(self, db: sqlite3.Connection, usage: Usage) -> None:
        counts = [getattr(usage, name) - getattr(self._before, name) for name in _COUNTS]
        db.execute(_RUN, (time.time(), *counts, self._run))


def _job(  # noqa: PLR0917 - the columns of a row
    number: int,
    endpoint: str,
    params: str,
    next_page: int | None,
    offset: int,
    pages: int,
    items: int,
    total: int | None,
) -> tuple[Job, int | None, int]:
    """A job, and where its list goes on. A page that was cut is to be fetched again."""
    query = query_from(endpoint, params)
    if next_page and isinstance(query, ListQuery):
        pages = next_page - query.page
    job = Job(query=query, id=number, pages=pages, items=items, total=total)
    return job, next_page, offset


def add_queries(
    db: sqlite3.Connection, queries: Iterable[Query], *, planned: bool
) -> list[tuple[str, str]]:
    """Add queries to those the file knows; returns what they are stored as."""
    keys = [query_key(query) for query in queries]
    db.executemany(_ADD_QUERY, ((*key, int(planned)) for key in keys))
    return keys


def add_lists(db: sqlite3.Connection, snapshot: int, keys: Iterable[tuple[str, str]]) -> int:
    """Add queries to a snapshot; those it has already stay as they are.

    Returns:
        How many were new to it.
    """
    return db.executemany(_ADD_LIST, ((snapshot, *key) for key in keys)).rowcount
