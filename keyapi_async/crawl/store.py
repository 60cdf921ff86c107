"""The tables of a crawl's file: reading them, and what a crawl writes to them.

There is no asyncio here; call it from one thread at a time.
"""

from __future__ import annotations

import json
import os
import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, tzinfo
from typing import Any, Final, TypeAlias
from zoneinfo import ZoneInfo

import attrs
from attrs import frozen

from keyapi_async.converter import filters, wire_params
from keyapi_async.errors import ParameterError
from keyapi_async.pagination import Checkpoint
from keyapi_async.queries import DetailQuery, ListQuery, Query, whole_number
from keyapi_async.usage import Usage

from .database import Database, parsing
from .jobs import NEW_DETAILS, Clock, Entry, Failure, Job, Options, Rows
from .plan import query_class

Key: TypeAlias = tuple[str, str]
"""A query as it is stored: the name of its endpoint and its wire parameters."""

LOCAL: Final = "local"
"""Name for the machine's time zone."""

_LISTS: Final = """
SELECT l.id, q.endpoint, q.params, q.planned, l.state, l.stop_reason, l.next_page, l.next_offset,
    l.pages, l.items, l.total
FROM lists l JOIN queries q ON q.id = l.query
WHERE l.snapshot = ? AND {where} ORDER BY l.id LIMIT ?
"""
_LENGTHS: Final = """
SELECT q.endpoint, q.params, l.total FROM lists l JOIN queries q ON q.id = l.query
WHERE l.total IS NOT NULL ORDER BY l.snapshot
"""
_ADVANCE: Final = """
UPDATE lists SET next_page = ?, next_offset = ?, pages = pages + 1, items = items + ?,
    duplicates = duplicates + ?, total = coalesce(?, total), error = NULL WHERE id = ?
"""
_DONE: Final = """
UPDATE lists SET state = 'done', stop_reason = ?, error = NULL, finished_at = ? WHERE id = ?
"""
_FAILED: Final = "UPDATE lists SET state = ?, error = ?, finished_at = ? WHERE id = ?"
_PAGE: Final = """
INSERT INTO pages (list, page, request_id, retrieved_at, credits, status)
VALUES (?, ?, ?, ?, ?, ?)
"""
_ITEMS: Final = "INSERT INTO items (list, page, position, item_id, json) VALUES "
_AT_ONCE: Final = 100
"""Items inserted by one statement: a statement costs more than what an item adds to it."""
_ADD_QUERY: Final = """
INSERT INTO queries (endpoint, params, planned) VALUES (?, ?, ?)
ON CONFLICT DO UPDATE SET planned = excluded.planned WHERE excluded.planned > planned
"""
_ADD_LIST: Final = """
INSERT OR IGNORE INTO lists (snapshot, query, total)
SELECT ?, id, ? FROM queries WHERE endpoint = ? AND params = ?
"""
_HAS_DETAIL: Final = """
SELECT 1 FROM lists l JOIN queries q ON q.id = l.query
WHERE q.endpoint = ? AND q.params = ? AND l.state = 'done' AND l.items LIMIT 1
"""
_RUN: Final = """
UPDATE runs SET seen_at = ?, requests = ?, retries = ?, rate_limited = ?, credits_spent = ?,
    credits_at_risk = ? WHERE id = ?
"""
USAGE_COUNTS: Final = ("requests", "retries", "rate_limited", "credits_spent", "credits_at_risk")
"""The counts of `Usage` that are stored for each run."""


def find_zone(name: str) -> tzinfo | None:
    """The time zone of that name; None is the machine's.

    Raises:
        ParameterError: There is none.
    """
    if name == LOCAL:
        return None
    try:
        return ZoneInfo(name)
    except (OSError, LookupError, ValueError, TypeError):
        allowed = "True (the machine's zone) or the name of a time zone such as Europe/Berlin"
        raise ParameterError("daily", name, allowed) from None


def find_day(at: float, zone: str | None) -> date:
    """The calendar day of a Unix time, in the machine's zone unless another is named."""
    return datetime.fromtimestamp(at, UTC).astimezone(find_zone(zone or LOCAL)).date()


def query_key(query: Query[Any]) -> Key:
    """The key under which a query is stored."""
    return query.name, json.dumps(wire_params(query), ensure_ascii=False)


def query_from(endpoint: str, params: str) -> Query[Any]:
    """The query of a key."""
    return query_class(endpoint)(**json.loads(params))


# -- reading -----------------------------------------------------------------------------------


@frozen(kw_only=True)
class StoredSnapshot:
    """One time the plan was begun.

    Attributes:
        number: Its number, from 1.
        started_at: When it was begun, in Unix seconds.
        day: The calendar day of that.
        options: What is wanted of each list.
        zone: The zone of its day, if the crawl is a daily one.
    """

    number: int
    started_at: float
    day: date
    options: Options
    zone: str | None


@frozen(kw_only=True)
class StoredList:
    """One query in one snapshot."""

    id: int
    key: Key
    planned: int
    state: str
    stop_reason: str | None
    next_page: int | None
    next_offset: int
    pages: int
    items: int
    total: int | None

    def job(self, seen: Iterable[str] = ()) -> Job:
        """What is left of it; a page that was stored in part is fetched again."""
        query = query_from(*self.key)
        start, pages = None, self.pages
        if isinstance(query, ListQuery) and self.next_page is not None:
            page = whole_number("next_page", self.next_page, 0)
            pages = page - query.page if page else pages
            start = Checkpoint(
                path=query.path,
                params=filters(query),
                page=page or None,
                offset=whole_number("next_offset", self.next_offset, 0),
                seen=tuple(seen),
            )
        return Job(
            query=query, id=self.id, start=start, pages=pages, items=self.items, total=self.total
        )


def read_snapshots(db: Database) -> list[StoredSnapshot]:
    """All snapshots, the oldest first."""
    return [_snapshot(dict(row)) for row in db.rows("SELECT * FROM snapshots ORDER BY id")]


def _snapshot(row: dict[str, Any]) -> StoredSnapshot:
    options = json.loads(row["options"])
    zone = options.pop("daily", None)
    if options.pop("with_details", False):  # version 1
        options["details"] = "all"
    at, day = row["started_at"], row.get("day")
    return StoredSnapshot(
        number=row["id"],
        started_at=at,
        day=date.fromisoformat(day) if day else find_day(at, zone),
        options=Options(**options),
        zone=zone,
    )


def options_json(options: Options, zone: str | None) -> str:
    """Options as a snapshot stores them."""
    return json.dumps({**attrs.asdict(options), "daily": zone})


def read_lists(
    db: Database, snapshot: int, where: str = "true", *values: object, limit: int = -1
) -> Iterator[StoredList]:
    """The lists of a snapshot, in order."""
    for row in db.each(_LISTS.format(where=where), snapshot, *values, limit):
        number, endpoint, params, *rest = row
        yield StoredList(
            id=number, key=(endpoint, params), **dict(zip(row.keys()[3:], rest, strict=True))
        )


def read_plan_keys(db: Database) -> list[Key]:
    """The queries of the plan."""
    rows = db.rows("SELECT endpoint, params FROM queries WHERE planned = 1 ORDER BY id")
    return [(endpoint, params) for endpoint, params in rows]


def read_lengths(db: Database) -> dict[Key, int]:
    """How long the list of each query was when it was last seen."""
    return {(endpoint, params): total for endpoint, params, total in db.rows(_LENGTHS)}


# -- writing -----------------------------------------------------------------------------------


class Store:
    """What one run writes to its snapshot.

    Args:
        db: The file, open to write.
        snapshot: Number of the snapshot.
        options: What is wanted of each list.
        usage: The client's counts before the run.
        in_hand: The most lists that are worked on at once.
        clock: Tells the time, in Unix seconds.
    """

    def __init__(
        self,
        db: Database,
        snapshot: int,
        options: Options,
        usage: Usage,
        *,
        in_hand: int,
        clock: Clock = time.time,
    ) -> None:
        self._db = db
        self._snapshot = snapshot
        self.options = options
        self._before = attrs.evolve(usage)
        self._clock = clock
        now = clock()
        with db.transaction() as connection:
            started = connection.execute(
                "INSERT INTO runs (snapshot, pid, started_at, seen_at, in_hand) "
                "VALUES (?, ?, ?, ?, ?)",
                (snapshot, os.getpid(), now, now, in_hand),
            )
        self._run = started.lastrowid or 0

    def jobs(self, after: int, count: int) -> list[Job]:
        """Some of the pending lists, in order.

        Args:
            after: Only those with a higher number.
            count: The most to return.
        """
        where = "l.state = 'pending' AND l.id > ?"
        with parsing(self._db.path):
            return [
                one.job(self._ids(one.id) if one.next_page is not None else ())
                for one in read_lists(self._db, self._snapshot, where, after, limit=count)
            ]

    def write(self, entries: Sequence[Entry], usage: Usage) -> list[int]:
        """Store what came, in one transaction.

        Args:
            entries: What `make_entry` makes of outcomes, in order.
            usage: The client's counts by now.

        Returns:
            How many details to fetch each of them added.
        """
        with self._db.transaction() as connection:
            made = [self._write(connection, entry) for entry in entries]
            self._write_usage(connection, usage)
        return made

    def end(self, usage: Usage) -> None:
        """Note that the run ended."""
        with self._db.transaction() as connection:
            self._write_usage(connection, usage)
            connection.execute(
                "UPDATE runs SET ended_at = ? WHERE id = ?", (self._clock(), self._run)
            )

    def _ids(self, list_: int) -> Iterator[str]:
        sql = "SELECT item_id FROM items WHERE list = ? ORDER BY id"
        return (item_id for (item_id,) in self._db.each(sql, list_))

    def _write(self, connection: sqlite3.Connection, entry: Entry) -> int:
        match entry:
            case Rows():
                return self._write_rows(connection, entry)
            case Failure():
                self._write_failure(connection, entry)
            case _:
                connection.execute(_DONE, (entry.reason, self._clock(), entry.job.id))
        return 0

    def _write_rows(self, connection: sqlite3.Connection, rows: Rows) -> int:
        page = connection.execute(_PAGE, rows.page).lastrowid
        for first in range(0, len(rows.items), _AT_ONCE):
            items = rows.items[first : first + _AT_ONCE]
            values = [value for item in items for value in (rows.number, page, *item)]
            connection.execute(_ITEMS + ", ".join(["(?, ?, ?, ?, ?)"] * len(items)), values)
        connection.execute(_ADVANCE, rows.progress)
        if not rows.details:
            return 0
        details = choose_details(self._db, self.options, rows.details)
        return add_lists(connection, self._snapshot, dict.fromkeys(details), planned=False)

    def _write_failure(self, connection: sqlite3.Connection, failure: Failure) -> None:
        number, error, now = failure.job.id, failure.error, self._clock()
        status = type(error).__name__
        state, finished_at = ("failed", now) if failure.is_final else ("pending", None)
        connection.execute(_FAILED, (state, f"{status}: {error}", finished_at, number))
        connection.execute(_PAGE, (number, failure.page, error.request_id, now, 0, status))

    def _write_usage(self, connection: sqlite3.Connection, usage: Usage) -> None:
        counts = [getattr(usage, name) - getattr(self._before, name) for name in USAGE_COUNTS]
        connection.execute(_RUN, (self._clock(), *counts, self._run))


def add_lists(
    connection: sqlite3.Connection, snapshot: int, lists: Mapping[Key, int | None], *, planned: bool
) -> int:
    """Add queries to a snapshot.

    Args:
        connection: The file.
        snapshot: Number of the snapshot.
        lists: The queries, each with the length of its list if that is known.
        planned: Whether they are in the plan; else they are details found on the way.

    Returns:
        How many were new to it.
    """
    if not lists:
        return 0
    connection.executemany(_ADD_QUERY, ((*key, int(planned)) for key in lists))
    rows = ((snapshot, total, *key) for key, total in lists.items())
    return connection.executemany(_ADD_LIST, rows).rowcount


def choose_details(
    db: Database, options: Options, details: Iterable[tuple[int, DetailQuery[Any]]]
) -> list[Key]:
    """The keys of the details that the options ask for.

    Args:
        db: The file.
        options: What is wanted of each list.
        details: The details of items, each with the place of its item in its list.
    """
    keys = [query_key(query) for place, query in details if options.wants_detail(place)]
    if options.details == NEW_DETAILS:
        keys = [key for key in keys if not db.rows(_HAS_DETAIL, *key)]
    return keys
