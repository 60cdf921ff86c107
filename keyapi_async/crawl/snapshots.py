"""Which snapshot of a file a crawl works on, and what is to be done in it.

`decide` only reads the file: a dry run adds up its decision, a run applies it with `carry_out`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from datetime import date
from typing import Final

import attrs
from attrs import field, frozen

from keyapi_async.converter import from_json
from keyapi_async.errors import ParameterError
from keyapi_async.retry import to_float

from .database import Database, StoreError, no_crawl
from .jobs import Job, Options, find_details
from .plan import Plan, query_text
from .store import (
    LOCAL,
    Key,
    StoredList,
    StoredSnapshot,
    add_lists,
    choose_details,
    find_day,
    find_zone,
    options_json,
    query_from,
    query_key,
    read_lengths,
    read_lists,
    read_plan_keys,
    read_snapshots,
)

FUTURE: Final = 3600.0
"""A snapshot begun this many seconds after now was begun by a clock that was wrong."""

_ITEMS: Final = """
SELECT p.page, i.position, i.json FROM items i JOIN pages p ON p.id = i.page
WHERE i.list = ? ORDER BY i.id
"""
_NAMED: Final = 3
"""Queries of a changed plan that an error names."""


class PlanChangedError(StoreError):
    """The file holds a crawl of another plan, and `extend` was not set."""


def check_seconds(name: str, value: float) -> float:
    """Check a length of time.

    Raises:
        ParameterError: It is no number, or below 0.
    """
    if not to_float(value) >= 0:
        raise ParameterError(name, value, "a number of seconds")
    return value


def _fresh_within(value: float | None) -> float | None:
    return None if value is None else check_seconds("fresh_within", value)


def _zone(value: object) -> str | None:
    name = LOCAL if value is True else value or None
    if name is not None:
        find_zone(name)  # type: ignore[arg-type] # refuses what is no name
    return name  # type: ignore[return-value]


@frozen(kw_only=True)
class Request:
    """What is asked of a file.

    Attributes:
        plan: The queries, none perhaps; None for those the file has.
        options: What is wanted of each list; None for what the file says.
        extend: Let a changed plan, or changed options, replace the file's.
        retry_failed: Try failed queries again.
        fresh_within: Begin a new snapshot if the newest was begun this many seconds ago.
        daily: Begin a new snapshot on each calendar day of this zone.

    Raises:
        ParameterError: A value can't be right.
    """

    plan: Plan | None = None
    options: Options | None = None
    extend: bool = False
    retry_failed: bool = False
    fresh_within: float | None = field(default=None, converter=_fresh_within)
    daily: str | None = field(default=None, converter=_zone)


@frozen(kw_only=True)
class Decision:
    """What a crawl does with its file before it sends anything.

    Attributes:
        now: When it was decided, in Unix seconds.
        snapshot: The snapshot to go on with; None to begin one.
        day: Its day.
        zone: The zone of that day, if the crawl is a daily one.
        options: What is wanted of each list.
        ignored: Snapshots that were begun in the future.
        add: Queries that come to the plan.
        drop: Queries that leave it.
        lists: Queries that come to the snapshot, with the length their list had.
        pending: Lists of the snapshot that are to be done.
        reopen: Its finished lists that are to be pending again.
        close: Its lists that left the plan.
        done: How many of its lists are done.
        failed: How many of them failed.
        pages: How many pages of it are stored.
        details: Details of its items that were not asked for before.
    """

    now: float
    snapshot: int | None = None
    day: date
    zone: str | None
    options: Options
    ignored: tuple[StoredSnapshot, ...] = ()
    add: tuple[Key, ...] = ()
    drop: tuple[Key, ...] = ()
    lists: Mapping[Key, int | None]
    pending: tuple[StoredList, ...] = ()
    reopen: tuple[StoredList, ...] = ()
    close: tuple[StoredList, ...] = ()
    done: int = 0
    failed: int = 0
    pages: int = 0
    details: Mapping[Key, None] = field(factory=dict)

    def jobs(self) -> Iterator[Job]:
        """What is to be done, as far as that is known before anything is sent."""
        for one in (*self.pending, *self.reopen):
            yield one.job()
        for key, total in {**self.lists, **self.details}.items():
            yield Job(query=query_from(*key), total=total)


def decide(db: Database | None, request: Request, now: float) -> Decision:
    """Decide what a crawl does with its file; nothing is changed.

    Args:
        db: The file; None if there is none yet.
        request: What is asked of it.
        now: The time, in Unix seconds.

    Raises:
        PlanChangedError: The file has another plan.
        StoreError: There is nothing to resume.
    """
    stored = [] if db is None else read_snapshots(db)
    if db is None or not stored:
        if request.plan is None:
            raise no_crawl("the file" if db is None else db.path)
        lists: dict[Key, int | None] = dict.fromkeys(map(query_key, request.plan))
        return Decision(
            now=now,
            day=find_day(now, request.daily),
            zone=request.daily,
            options=request.options or Options(),
            add=tuple(lists),
            lists=lists,
        )
    zone = request.daily
    if zone is None and request.fresh_within is None:
        zone = stored[-1].zone  # what was begun as a daily crawl goes on as one
    newest, ignored = _newest(stored, now, by_age=bool(zone) or request.fresh_within is not None)
    before = newest or stored[-1]
    plan, add, drop = _compare_plans(db, request, before)
    decision = Decision(
        now=now,
        day=find_day(now, zone),
        zone=zone,
        options=request.options or before.options,
        ignored=ignored,
        add=add,
        drop=drop,
        lists={},
    )
    if newest is None or _is_old(newest, request, decision):
        lengths = read_lengths(db)
        return attrs.evolve(decision, lists={key: lengths.get(key) for key in plan})
    return _go_on(db, newest, request, plan, decision)


def _newest(
    stored: list[StoredSnapshot], now: float, *, by_age: bool
) -> tuple[StoredSnapshot | None, tuple[StoredSnapshot, ...]]:
    """The newest snapshot, and those of the future, which have no age.

    The newest is the one begun last, whatever its date: the future comes.
    """
    ignored = tuple(one for one in stored if by_age and one.started_at > now + FUTURE)
    past = [one for one in stored if one not in ignored]
    return past[-1] if past else None, ignored


def _is_old(newest: StoredSnapshot, request: Request, decision: Decision) -> bool:
    age, limit = decision.now - newest.started_at, request.fresh_within
    is_of_another_day = decision.zone is not None and newest.day < decision.day
    return is_of_another_day or (limit is not None and age >= limit)


def _compare_plans(
    db: Database, request: Request, before: StoredSnapshot
) -> tuple[list[Key], tuple[Key, ...], tuple[Key, ...]]:
    """The plan asked for, what is new in it and what is no longer there."""
    have = dict.fromkeys(read_plan_keys(db))
    want = have if request.plan is None else dict.fromkeys(map(query_key, request.plan))
    add = tuple(key for key in want if key not in have)
    drop = tuple(key for key in have if key not in want)
    changes = [
        *_name("new", add),
        *_name("no longer there", drop),
        *_differences(before.options, request.options or before.options),
    ]
    if changes and not request.extend:
        raise PlanChangedError(
            f"{db.path}: holds the crawl of another plan ({'; '.join(changes)}); "
            "extend (--extend) takes the new plan, another file keeps them apart"
        )
    return [*want], add, drop


def _name(what: str, keys: tuple[Key, ...]) -> list[str]:
    if not keys:
        return []
    more = f" and {len(keys) - _NAMED} more" if len(keys) > _NAMED else ""
    return [f"{what}: {', '.join(query_text(query_from(*key)) for key in keys[:_NAMED])}{more}"]


def _differences(before: Options, after: Options) -> list[str]:
    was, now = attrs.asdict(before), attrs.asdict(after)
    return [f"{name} was {was[name]}, is {now[name]}" for name in was if was[name] != now[name]]


def _go_on(
    db: Database, newest: StoredSnapshot, request: Request, plan: list[Key], decision: Decision
) -> Decision:
    """Go on with a snapshot, brought in line with a changed plan and changed options."""
    options, before = decision.options, newest.options
    limits = ("max_items", "max_pages")
    # Lists that ended at a limit which has changed, and lists that are in the plan again.
    ended_by = {name for name in limits if getattr(before, name) != getattr(options, name)}
    ended_by.add("dropped")
    planned, have = set(plan), set[Key]()
    sorts = defaultdict[str, list[StoredList]](list)
    pages = 0
    for one in read_lists(db, newest.number):
        have.add(one.key)
        pages += one.pages
        is_wanted = one.key in planned or (one.planned == 0 and options.details is not None)
        sort = one.state
        if request.extend and not is_wanted and sort != "done":
            sort = "close"
        elif (request.extend and is_wanted and one.stop_reason in ended_by) or (
            request.retry_failed and sort == "failed"
        ):
            sort = "reopen"
        sorts[sort].append(one)
    added = (key for key in plan if request.extend and key not in have)
    return attrs.evolve(
        decision,
        snapshot=newest.number,
        day=newest.day,
        lists=dict.fromkeys(added),
        pending=tuple(sorts["pending"]),
        reopen=tuple(sorts["reopen"]),
        close=tuple(sorts["close"]),
        done=len(sorts["done"]) + len(sorts["close"]),
        failed=len(sorts["failed"]),
        pages=pages,
        details={} if options.details == before.details else _details(db, newest, options, have),
    )


def _details(
    db: Database, snapshot: StoredSnapshot, options: Options, have: set[Key]
) -> dict[Key, None]:
    """The details that are wanted of the items of a snapshot, and not in it yet."""
    keys: dict[Key, None] = {}
    if options.details is not None:
        for one in read_lists(db, snapshot.number, "l.items"):
            query = query_from(*one.key)
            rows = db.each(_ITEMS, one.id)
            items = ((page, place, from_json(query.item, text)) for page, place, text in rows)
            keys |= dict.fromkeys(choose_details(db, options, find_details(query, items)))
    return {key: None for key in keys if key not in have}


def carry_out(db: Database, decision: Decision) -> int:
    """Apply a decision to the file, in one transaction; returns the snapshot's number."""
    options = options_json(decision.options, decision.zone)
    with db.transaction() as connection:
        number = decision.snapshot
        if number is None:
            begun = connection.execute(
                "INSERT INTO snapshots (started_at, options, day) VALUES (?, ?, ?)",
                (decision.now, options, decision.day.isoformat()),
            )
            number = begun.lastrowid or 0
        connection.execute("UPDATE snapshots SET options = ? WHERE id = ?", (options, number))
        connection.executemany(
            "UPDATE queries SET planned = -1 WHERE endpoint = ? AND params = ?", decision.drop
        )
        connection.executemany(
            "UPDATE lists SET state = 'done', stop_reason = 'dropped', finished_at = ? "
            "WHERE id = ?",
            ((decision.now, one.id) for one in decision.close),
        )
        connection.executemany(
            "UPDATE lists SET state = 'pending', stop_reason = NULL, finished_at = NULL "
            "WHERE id = ?",
            ((one.id,) for one in decision.reopen),
        )
        lists = {**dict.fromkeys(decision.add), **decision.lists}
        add_lists(connection, number, lists, planned=True)
        add_lists(connection, number, decision.details, planned=False)
    return number
