"""Which snapshot of a store a crawl works on: the unfinished one, a new one, or none."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterable

import attrs
from attrs import frozen

from keyapi_async.queries import Query

from .errors import PlanChangedError, StoreError
from .jobs import Job, Options
from .plan import Plan, details_of, query_text
from .store import Store, add_lists, query_from, query_key

_NAMED = 3
"""So many queries of a changed plan are named."""

_STALE = """
SELECT q.id FROM queries q WHERE q.planned AND NOT EXISTS (
    SELECT 1 FROM lists l WHERE l.query = q.id AND l.state <> 'pending' AND l.finished_at >= ?
) ORDER BY q.id
"""
_PLANNED = "SELECT endpoint, params FROM queries WHERE planned ORDER BY id"
_STORED = """
SELECT q.endpoint, q.params, i.json FROM lists l JOIN queries q ON q.id = l.query
JOIN items i ON i.list = l.id WHERE l.snapshot = ? ORDER BY i.id
"""
_STATES = """
SELECT q.endpoint, q.params, l.state, l.pages FROM lists l JOIN queries q ON q.id = l.query
WHERE l.snapshot = ? ORDER BY l.id
"""
_COUNTS = """
SELECT count(*), coalesce(sum(state = 'done'), 0), coalesce(sum(state = 'failed'), 0),
    coalesce(sum(pages), 0) FROM lists WHERE snapshot = ?
"""


@frozen(kw_only=True)
class Opening:
    """What a crawl finds when it opens its file.

    Attributes:
        snapshot: Number of the snapshot to work on.
        is_new: Whether it was begun just now.
        queries: Its queries.
        done: Those answered already: they are skipped.
        failed: Those that failed: they are skipped, too.
        pages: Pages stored already: they are not paid again.
        options: What is wanted of each list.
    """

    snapshot: int
    is_new: bool
    queries: int
    done: int
    failed: int
    pages: int
    options: Options

    @property
    def pending(self) -> int:
        """How many queries there are to answer."""
        return self.queries - self.done - self.failed


@frozen(kw_only=True)
class Wish:
    """What the caller wants of a file.

    Attributes:
        plan: The queries; None for those the file has.
        options: What is wanted of each list; None for what the file says.
        extend: Let a changed plan add to the file's.
        retry_failed: Try failed queries again.
        fresh_within: Seconds after which a list of a finished snapshot is to be fetched anew.
    """

    plan: Plan | None = None
    options: Options | None = None
    extend: bool = False
    retry_failed: bool = False
    fresh_within: float | None = None


def open_snapshot(store: Store, wish: Wish) -> Opening:
    """Find or begin the snapshot to work on; nothing is sent.

    Raises:
        PlanChangedError: The file has another plan.
        StoreError: There is nothing to resume.
    """
    with store.writing() as db:
        newest = newest_snapshot(store)
        if newest is None:
            if wish.plan is None:
                raise StoreError(f"{store.path}: holds no crawl yet; start one with a plan")
            return _begin(store, db, wish.plan, wish.options or Options())
        number, options = newest
        options = _reconcile(store, db, wish, number, options)
        if wish.retry_failed:
            db.execute(
                "UPDATE lists SET state = 'pending' WHERE snapshot = ? AND state = 'failed'",
                (number,),
            )
        opening = _opening(store, number, options)
        if not opening.pending and wish.fresh_within is not None:
            stale = [key for (key,) in db.execute(_STALE, (time.time() - wish.fresh_within,))]
            if stale:
                return _renew(store, db, stale, options)
        return opening


def unanswered(store: Store | None, wish: Wish) -> tuple[list[Job], Options, int]:
    """What `open_snapshot` would leave to do, without writing anything.

    Returns:
        The jobs left, what is wanted of each list, and how many queries are done.
    """
    newest = None if store is None else newest_snapshot(store)
    if store is None or newest is None:
        jobs = [Job(query=query) for query in wish.plan or ()]
        return jobs, wish.options or Options(), 0
    number, options = newest
    known = {(row[0], row[1]): row[2:] for row in store.rows(_STATES, number)}
    plan = [query_from(*key) for key in known] if wish.plan is None else wish.plan
    left = []
    for query in plan:
        state, pages = known.get(query_key(query), ("pending", 0))
        if state == "pending" or (state == "failed" and wish.retry_failed):
            left.append(Job(query=query, pages=pages))
    return left, wish.options or options, len(plan) - len(left)


def newest_snapshot(store: Store) -> tuple[int, Options] | None:
    """Number and options of the newest snapshot, if there is one."""
    found = store.rows("SELECT id, options FROM snapshots ORDER BY id DESC LIMIT 1")
    return (found[0][0], Options(**json.loads(found[0][1]))) if found else None


def _begin(
    store: Store, db: sqlite3.Connection, plan: Iterable[Query], options: Options
) -> Opening:
    number = _new_snapshot(db, options)
    add_lists(db, number, plan, planned=True)
    return _opening(store, number, options, is_new=True)


def _renew(store: Store, db: sqlite3.Connection, stale: list[int], options: Options) -> Opening:
    number = _new_snapshot(db, options)
    db.executemany(
        "INSERT INTO lists (snapshot, query) VALUES (?, ?)", ((number, key) for key in stale)
    )
    return _opening(store, number, options, is_new=True)


def _new_snapshot(db: sqlite3.Connection, options: Options) -> int:
    begun = db.execute(
        "INSERT INTO snapshots (started_at, options) VALUES (?, ?)",
        (time.time(), _written(options)),
    )
    return begun.lastrowid or 0


def _opening(store: Store, number: int, options: Options, *, is_new: bool = False) -> Opening:
    ((queries, done, failed, pages),) = store.rows(_COUNTS, number)
    return Opening(
        snapshot=number,
        is_new=is_new,
        queries=queries,
        done=done,
        failed=failed,
        pages=pages,
        options=options,
    )


# -- a changed plan ----------------------------------------------------------------------------


def _reconcile(
    store: Store, db: sqlite3.Connection, wish: Wish, number: int, options: Options
) -> Options:
    """Hold what is wanted against what the file has; returns the options to go by."""
    added, changes = _changes(store, wish, options)
    if not changes:
        return options
    if not wish.extend:
        raise PlanChangedError(
            f"{store.path}: holds the crawl of another plan ({'; '.join(changes)}); "
            "--extend adds to it, another file keeps them apart"
        )
    wanted = wish.options or options
    add_lists(db, number, added, planned=True)
    _reopen(db, number, options, wanted)
    if wanted.with_details and not options.with_details:
        _add_details(store, db, number)
    db.execute("UPDATE snapshots SET options = ? WHERE id = ?", (_written(wanted), number))
    db.execute(
        "UPDATE snapshots SET finished_at = NULL WHERE id = ? AND EXISTS "
        "(SELECT 1 FROM lists WHERE snapshot = ? AND state = 'pending')",
        (number, number),
    )
    return wanted


def _changes(store: Store, wish: Wish, options: Options) -> tuple[list[Query], list[str]]:
    """The queries to add, and in words what is not as the file has it."""
    changes = []
    added: list[Query] = []
    if wish.plan is not None:
        have = {tuple(row): None for row in store.rows(_PLANNED)}
        want = {query_key(query): query for query in wish.plan}
        added = [query for key, query in want.items() if key not in have]
        missing = [query_from(*key) for key in have if key not in want]
        changes = [*_named("new", added), *_named("no longer there", missing)]
    if wish.options is not None:
        before, after = attrs.asdict(options), attrs.asdict(wish.options)
        changes += [
            f"{name} was {before[name]}, is {after[name]}"
            for name in before
            if before[name] != after[name]
        ]
    return added, changes


def _named(what: str, queries: list[Query]) -> list[str]:
    if not queries:
        return []
    more = f" and {len(queries) - _NAMED} more" if len(queries) > _NAMED else ""
    return [f"{what}: {', '.join(map(query_text, queries[:_NAMED]))}{more}"]


def _reopen(db: sqlite3.Connection, number: int, before: Options, after: Options) -> None:
    """Open lists again that a limit ended which is not there any more."""
    reopen = "UPDATE lists SET state = 'pending' WHERE snapshot = ? AND stop_reason = ?"
    for reason in ("max_items", "max_pages"):
        if getattr(before, reason) != getattr(after, reason):
            db.execute(reopen, (number, reason))


def _add_details(store: Store, db: sqlite3.Connection, number: int) -> None:
    """Add the details of what was stored before they were wanted."""
    for endpoint, params, item in store.rows(_STORED, number):
        details = details_of(query_from(endpoint, params), [json.loads(item)])
        add_lists(db, number, details, planned=False)


def _written(options: Options) -> str:
    return json.dumps(attrs.asdict(options))
