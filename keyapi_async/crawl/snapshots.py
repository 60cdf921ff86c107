"""Which snapshot of a store a crawl works on: the unfinished one, a new one, or none."""

from __future__ import annotations

import json
import math
import sqlite3
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import attrs
from attrs import field, frozen

from keyapi_async.errors import shown
from keyapi_async.queries import Query
from keyapi_async.retry import as_float

from .database import connect, in_memory, is_begun
from .errors import PlanChangedError, no_crawl
from .jobs import Options
from .plan import Plan, checked, details_of, query_text
from .store import Store, add_lists, add_queries, opened, query_from, query_key

_NAMED = 3
"""So many queries of a changed plan are named."""

_LIMITS = ("max_items", "max_pages")
"""Options that end a list, each with its name for the reason."""

_PLANNED = "SELECT endpoint, params FROM queries WHERE planned = 1 ORDER BY id"
_STALE = """
SELECT id FROM queries WHERE planned = 1 AND id NOT IN (
    SELECT query FROM lists WHERE state = 'done' AND stop_reason <> 'dropped' AND finished_at >= ?
) ORDER BY id
"""
_COUNTS = """
SELECT count(*), coalesce(sum(state = 'done'), 0), coalesce(sum(state = 'failed'), 0),
    coalesce(sum(pages), 0), coalesce(sum(items), 0), coalesce(sum(duplicates), 0),
    CASE WHEN total(state = 'pending') THEN NULL ELSE max(finished_at) END
FROM lists WHERE snapshot = ?
"""
_WITH_DETAILS = """
SELECT l.id, q.endpoint, q.params FROM lists l JOIN queries q ON q.id = l.query
WHERE l.snapshot = ? AND l.items AND q.endpoint IN ('hashtags', 'music') ORDER BY l.id
"""
_ITEMS = "SELECT json FROM items WHERE list = ? ORDER BY id"
_WANTED = "query IN (SELECT id FROM queries WHERE planned = 1 OR (planned = 0 AND ?))"
_REOPEN = f"""
UPDATE lists SET state = 'pending', stop_reason = NULL, finished_at = NULL
WHERE snapshot = ? AND stop_reason = ? AND {_WANTED}
"""  # noqa: S608 - all of it is written here
_DROP = f"""
UPDATE lists SET state = 'done', stop_reason = 'dropped', finished_at = ?
WHERE snapshot = ? AND state <> 'done' AND NOT {_WANTED}
"""  # noqa: S608 - likewise
_RETRY = """
UPDATE lists SET state = 'pending', finished_at = NULL WHERE snapshot = ? AND state = 'failed'
"""


@frozen(kw_only=True)
class Counts:
    """The lists and details of a snapshot, in numbers.

    Attributes:
        queries: All of them.
        done: Those answered, or dropped from the plan.
        failed: Those that failed.
        pages: Answers stored.
        items: Items stored.
        duplicates: Items dropped because their list had them before.
        finished_at: When the last of them was done or failed; None while there is something to do.
    """

    queries: int
    done: int
    failed: int
    pages: int
    items: int
    duplicates: int
    finished_at: float | None

    @property
    def pending(self) -> int:
        """How many queries are still to be answered."""
        return self.queries - self.done - self.failed


@frozen(kw_only=True)
class Opening(Counts):
    """What a crawl finds when it opens its file: what is done or failed is skipped.

    Attributes:
        snapshot: Number of the snapshot to work on.
        is_new: Whether it was begun just now.
        options: What is wanted of each list.
    """

    snapshot: int
    is_new: bool
    options: Options


def _plan(queries: Iterable[Query] | None) -> Plan | None:
    plan = None if queries is None else checked(queries)
    if plan == ():
        raise ValueError("the plan is empty: there is nothing to crawl")
    return plan


def _age(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
    if value is not None and not as_float(value) >= 0:
        raise ValueError(f"{attribute.name} must be a number of seconds, not {shown(value)}")


@frozen(kw_only=True)
class Wish:
    """What the caller wants of a file.

    Attributes:
        plan: The queries; None for those the file has.
        options: What is wanted of each list; None for what the file says.
        extend: Let a changed plan, or changed options, take the place of the file's.
        retry_failed: Try failed queries again.
        fresh_within: Seconds after which a snapshot is old, and a new one is begun of what was
            not done since.
    """

    plan: Plan | None = field(default=None, converter=_plan)
    options: Options | None = None
    extend: bool = False
    retry_failed: bool = False
    fresh_within: float | None = field(default=None, validator=_age)


@frozen
class Snapshot:
    """One time the plan was begun."""

    number: int
    started_at: float
    options: Options


@contextmanager
def opened_for(path: Path, wish: Wish) -> Iterator[Store]:
    """Open a file to write; made if it isn't there, unless it is to give the plan.

    Raises:
        StoreError: It can't be used; tells why.
    """
    if wish.plan is None:
        connect(path).close()
    with opened(path, create=True) as store:
        yield store


def open_snapshot(store: Store, wish: Wish) -> Opening:
    """Find or begin the snapshot to work on; nothing is sent.

    Raises:
        PlanChangedError: The file has another plan.
        StoreError: There is nothing to resume.
    """
    with store.writing() as db:
        return _open(store, db, wish)


@contextmanager
def rehearsed(path: Path | None, wish: Wish) -> Iterator[tuple[Store, Opening]]:
    """Do as `open_snapshot` does with a file, and undo it after a look at what that makes.

    Args:
        path: The file, if there is to be one. It is not made.
        wish: What is wanted of it.

    Raises:
        StoreError: As of the crawl itself.
    """
    with ExitStack() as stack:
        if path is not None and (wish.plan is None or is_begun(path)):
            store = stack.enter_context(opened_for(path, wish))
        else:
            store = Store(path or Path(), stack.enter_context(closing(in_memory())))
        db = stack.enter_context(store.rehearsing())
        yield store, _open(store, db, wish)


def newest_snapshot(store: Store) -> Snapshot | None:
    """The newest snapshot, if there is one."""
    for number, at, options in store.rows(
        "SELECT id, started_at, options FROM snapshots ORDER BY id DESC LIMIT 1"
    ):
        return Snapshot(number, at, Options(**json.loads(options)))
    return None


def count_lists(store: Store, snapshot: int) -> Counts:
    """Count the lists of a snapshot."""
    (counts,) = store.rows(_COUNTS, snapshot)
    names = (attribute.name for attribute in attrs.fields(Counts))
    return Counts(**dict(zip(names, counts, strict=True)))


def _open(store: Store, db: sqlite3.Connection, wish: Wish) -> Opening:
    newest = newest_snapshot(store)
    if newest is None:
        if wish.plan is None:
            raise no_crawl(store.path)
        add_queries(db, wish.plan, planned=True)
        return _begin(store, db, wish.options or Options(), _stale(store, math.inf))
    options = wish.options or newest.options
    added = _take_plan(store, db, wish, newest)
    since = -math.inf if wish.fresh_within is None else time.time() - wish.fresh_within
    if newest.started_at <= since:
        # What was fetched with other options is not what is wanted now, however new it is.
        stale = _stale(store, since if options == newest.options else math.inf)
        if stale:
            return _begin(store, db, options, stale)
    if wish.extend:
        _adjust(store, db, newest, added, options)
    if wish.retry_failed:
        db.execute(_RETRY, (newest.number,))
    return _opening(store, newest.number, options)


def _stale(store: Store, since: float) -> list[int]:
    """The queries of the plan that were not answered since then."""
    return [number for (number,) in store.rows(_STALE, since)]


def _begin(store: Store, db: sqlite3.Connection, options: Options, queries: list[int]) -> Opening:
    """Begin a new snapshot of some queries of the plan."""
    begun = db.execute(
        "INSERT INTO snapshots (started_at, options) VALUES (?, ?)",
        (time.time(), _written(options)),
    )
    number = begun.lastrowid or 0
    db.executemany(
        "INSERT INTO lists (snapshot, query) VALUES (?, ?)", ((number, query) for query in queries)
    )
    return _opening(store, number, options, is_new=True)


def _opening(store: Store, number: int, options: Options, *, is_new: bool = False) -> Opening:
    counts = attrs.asdict(count_lists(store, number))
    return Opening(snapshot=number, is_new=is_new, options=options, **counts)


# -- a changed plan ----------------------------------------------------------------------------


def _take_plan(
    store: Store, db: sqlite3.Connection, wish: Wish, newest: Snapshot
) -> list[tuple[str, str]]:
    """Make the plan wished for that of the file; returns what is new in it."""
    have = {tuple(row): None for row in store.rows(_PLANNED)}
    want = have if wish.plan is None else {query_key(query): None for query in wish.plan}
    added = [key for key in want if key not in have]
    dropped = [key for key in have if key not in want]
    changes = [
        *_named("new", added),
        *_named("no longer there", dropped),
        *_differences(newest.options, wish.options or newest.options),
    ]
    if changes and not wish.extend:
        raise PlanChangedError(
            f"{store.path}: holds the crawl of another plan ({'; '.join(changes)}); "
            "extend (--extend) takes the new plan, another file keeps them apart"
        )
    add_queries(db, (query_from(*key) for key in added), planned=True)
    db.executemany(
        "UPDATE queries SET planned = -1 WHERE endpoint = ? AND params = ?",
        dropped,
    )
    return added


def _named(what: str, keys: list[tuple[str, str]]) -> list[str]:
    if not keys:
        return []
    more = f" and {len(keys) - _NAMED} more" if len(keys) > _NAMED else ""
    return [f"{what}: {', '.join(query_text(query_from(*key)) for key in keys[:_NAMED])}{more}"]


def _differences(before: Options, after: Options) -> list[str]:
    was, now = attrs.asdict(before), attrs.asdict(after)
    return [f"{name} was {was[name]}, is {now[name]}" for name in was if was[name] != now[name]]


def _adjust(
    store: Store,
    db: sqlite3.Connection,
    newest: Snapshot,
    added: list[tuple[str, str]],
    options: Options,
) -> None:
    """Bring a snapshot in line with a changed plan and changed options."""
    number, before = newest.number, newest.options
    # A list that only an older snapshot has was fetched with the options of then.
    add_lists(db, number, added if options == before else store.rows(_PLANNED))
    if options.with_details and not before.with_details:
        _add_details(store, db, number)
    # Those that a limit ended which is not there any more, and those that are in the plan again.
    reasons = ["dropped"]
    reasons += [name for name in _LIMITS if getattr(before, name) != getattr(options, name)]
    for reason in reasons:
        db.execute(_REOPEN, (number, reason, options.with_details))
    db.execute(_DROP, (time.time(), number, options.with_details))
    db.execute("UPDATE snapshots SET options = ? WHERE id = ?", (_written(options), number))


def _add_details(store: Store, db: sqlite3.Connection, number: int) -> None:
    """Add the details of what was stored before they were wanted, list by list."""
    for list_, endpoint, params in store.rows(_WITH_DETAILS, number):
        items = (json.loads(item) for (item,) in store.each(_ITEMS, list_))
        found = details_of(query_from(endpoint, params), items)
        add_lists(db, number, add_queries(db, found, planned=False))


def _written(options: Options) -> str:
    return json.dumps(attrs.asdict(options))
