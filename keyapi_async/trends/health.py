"""Whether the newest day of a crawl can be trusted."""

from __future__ import annotations

import json
import statistics
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import date, timedelta
from itertools import pairwise
from typing import Any, Final, Literal, TypeAlias

import msgspec
from attrs import asdict, define, frozen

from keyapi_async.crawl.plan import query_text
from keyapi_async.crawl.views import COMPLETE
from keyapi_async.queries import ListQuery

from .archive import LISTS, Archive, DayList, Paths, Timeline, query_object

ProblemKind: TypeAlias = Literal[
    "missing_day", "missing", "incomplete", "empty", "shrunken", "frozen", "vanished", "appeared"
]

SHRUNKEN: Final = 0.5
"""A list is shrunken that has at most this share of the median of its complete days before."""
DAYS_BEFORE: Final = 7
"""So many complete days before count for that median."""
FROZEN_DAYS: Final = 3
"""A list is frozen that is equal to the letter on so many days in a row."""
EXPECTED: Final = 10
"""A field has vanished if by its share before so many items should have it, and none has."""

_DAY: Final = timedelta(days=1)
_DETAILS: Final = """
SELECT q.endpoint, count(*) FROM lists l JOIN queries q ON q.id = l.query
WHERE l.snapshot = ? AND NOT {complete} AND coalesce(l.stop_reason, '') <> 'dropped'
    AND q.endpoint NOT IN (SELECT value FROM json_each(?)) GROUP BY q.endpoint
"""


@frozen(kw_only=True)
class Problem:
    """Something wrong with the newest day.

    Attributes:
        kind: `missing_day` (no snapshot on a day before it, perhaps in one file of several),
            `missing` (a list of the plan that the day hasn't), `incomplete`, `empty` or `shrunken`
            (against what the list had), `frozen` (equal to the letter for days), `vanished` or
            `appeared` (a field).
        day: The day.
        endpoint: The endpoint's name; None for a whole day.
        query: The query; None for a whole day or endpoint.
        message: What is wrong, for people.
    """

    kind: ProblemKind
    day: date
    endpoint: str | None = None
    query: ListQuery[Any] | None = None
    message: str


@define(kw_only=True)
class DaySum:
    """A day in numbers.

    Attributes:
        day: The day.
        lists: How many lists it has.
        complete: How many of them are complete.
        items: Their items.
        credits_spent: What its crawls cost, details included.
        credits_at_risk: What they may have cost beyond that.
    """

    day: date
    lists: int = 0
    complete: int = 0
    items: int = 0
    credits_spent: int = 0
    credits_at_risk: int = 0


@frozen(kw_only=True)
class Health:
    """The state of the data.

    Attributes:
        day: The newest day; None if there is none.
        problems: What is wrong with it; empty if nothing is.
        days: All days, the oldest first.
    """

    day: date | None
    problems: tuple[Problem, ...]
    days: tuple[DaySum, ...]

    def to_dict(self) -> dict[str, Any]:
        """Give it as plain JSON-ready data: `query` as an object, days as YYYY-MM-DD."""
        problems = [
            {
                **asdict(one, recurse=False),
                "day": one.day.isoformat(),
                "query": query_object(one.query) if one.query else None,
            }
            for one in self.problems
        ]
        days = [{**asdict(one), "day": one.day.isoformat()} for one in self.days]
        day = self.day.isoformat() if self.day else None
        return {"day": day, "ok": not problems, "problems": problems, "days": days}


def health(paths: Paths) -> Health:
    """Check the newest day of a crawl against those before.

    Args:
        paths: The file of a crawl, or several that are one history.

    Raises:
        StoreError: A file can't be read.
    """
    with Archive(paths) as archive:
        timelines = archive.timelines()
        days = _sum_up(archive, timelines)
        newest = days[-1].day if days else None
        problems: list[Problem] = []
        if newest is not None:
            problems += _check_days(archive, [one.day for one in days])
            problems += _check_files(archive, timelines, [one.day for one in days])
            for one in timelines:
                problems += _check_list(archive, one, newest)
            problems += _check_fields(archive, timelines, newest)
            problems += _check_details(archive, newest)
    return Health(day=newest, problems=tuple(problems), days=tuple(days))


def _sum_up(archive: Archive, timelines: Iterable[Timeline]) -> list[DaySum]:
    days: dict[date, DaySum] = {}
    for number, db in enumerate(archive.files):
        spent = db.rows(
            "SELECT snapshot, sum(credits_spent), sum(credits_at_risk) FROM runs GROUP BY snapshot"
        )
        credits_of = {snapshot: (sure, risk) for snapshot, sure, risk in spent}
        for snapshot in archive.snapshots(number):
            one = days.setdefault(snapshot.day, DaySum(day=snapshot.day))
            sure, risk = credits_of.get(snapshot.number, (0, 0))
            one.credits_spent += sure
            one.credits_at_risk += risk
    for timeline in timelines:
        for day, stored in timeline.lists.items():
            one = days[day]
            one.lists += 1
            one.complete += stored.is_complete
            one.items += stored.items
    return sorted(days.values(), key=lambda one: one.day)


def _check_days(archive: Archive, days: list[date]) -> Iterator[Problem]:
    """Days without a snapshot right before the newest, where there is one a day."""
    is_daily = any(
        snapshots[-1].zone for n in range(len(archive.files)) if (snapshots := archive.snapshots(n))
    )
    steps = Counter(later - earlier for earlier, later in pairwise(days))
    if not steps or not (is_daily or steps.most_common(1)[0][0] == _DAY):
        return
    missing = [days[-2] + _DAY * n for n in range(1, (days[-1] - days[-2]).days)]
    for day in missing:
        yield Problem(kind="missing_day", day=day, message="the day has no snapshot")


def _check_files(
    archive: Archive, timelines: Iterable[Timeline], days: list[date]
) -> Iterator[Problem]:
    """Files of daily crawls without the day before the newest, which others have.

    Of the newest, each list is missing.
    """
    # Not files whose lists go on in another one.
    current = {[*one.lists.values()][-1].file for one in timelines if one.is_planned}
    for number in sorted(current):
        snapshots = archive.snapshots(number)
        has = {one.day for one in snapshots}
        for day in days[-2:-1]:
            if snapshots[-1].zone and min(has) < day and day not in has:
                message = f"the day has no snapshot in {archive.paths[number]}"
                yield Problem(kind="missing_day", day=day, message=message)


def _check_list(archive: Archive, timeline: Timeline, day: date) -> Iterator[Problem]:
    def problem(kind: ProblemKind, message: str) -> Problem:
        query = timeline.query
        text = f"{query_text(query)}: {message}"
        return Problem(kind=kind, day=day, endpoint=query.name, query=query, message=text)

    stored = timeline.lists.get(day)
    if stored is None:
        if timeline.is_planned and timeline.lists:
            yield problem("missing", "the day has no such list")
        return
    if not stored.is_complete:
        yield problem("incomplete", f"incomplete, with {stored.items} items")
        return
    complete = [one for one in timeline.lists.values() if one.is_complete and one.day < day]
    sizes = [one.items for one in complete[-DAYS_BEFORE:]]
    usual = statistics.median(sizes) if sizes else 0
    if not stored.items and (usual or not sizes):
        yield problem("empty", "empty" + (f"; it had {usual:g} items" if usual else ""))
    elif 0 < stored.items <= usual * SHRUNKEN:
        yield problem("shrunken", f"shrunken to {stored.items} items; it had {usual:g}")
    if stored.items and _is_frozen(archive, timeline, [*complete, stored]):
        yield problem("frozen", f"equal to the letter for {FROZEN_DAYS} days or more")


def _is_frozen(archive: Archive, timeline: Timeline, complete: list[DayList]) -> bool:
    recent = complete[-FROZEN_DAYS:]
    if len(recent) < FROZEN_DAYS or len({one.items for one in recent}) > 1:
        return False
    first, *others = (one.day for one in reversed(recent))
    same = archive.digest(timeline, first)
    return all(archive.digest(timeline, other) == same for other in others)


def _check_fields(archive: Archive, timelines: list[Timeline], newest: date) -> Iterator[Problem]:
    """Fields that many items of an endpoint had on the last day, and none has now, or new ones."""
    for endpoint in dict.fromkeys(one.query.name for one in timelines):
        pairs = []
        for one in timelines:
            stored = one.lists.get(newest)
            before = one.complete_until(newest - _DAY)
            if one.query.name == endpoint and stored and stored.is_complete and before:
                pairs.append((one, before.day))
        now, items_now = _count_fields(archive, ((one, newest) for one, _ in pairs))
        then, items_then = _count_fields(archive, pairs)
        for kind, here, items, there, others, verb in (
            ("vanished", now, items_now, then, items_then, "no item has a value for"),
            ("appeared", then, items_then, now, items_now, "items have a new field,"),
        ):
            for name, count in there.items():
                if name not in here and count / others * items >= EXPECTED:
                    message = f"{endpoint}: {verb} {name!r}"
                    yield Problem(kind=kind, day=newest, endpoint=endpoint, message=message)  # type: ignore[arg-type]


def _count_fields(
    archive: Archive, lists: Iterable[tuple[Timeline, date]]
) -> tuple[Counter[str], int]:
    """How many items have a value for each field, and how many items there are."""
    found, items = Counter[str](), 0
    for one, day in lists:
        for body in archive.read_json(one, day):
            items += 1
            found.update(_names(body))
    return found, items


def _check_details(archive: Archive, newest: date) -> Iterator[Problem]:
    found, sql = Counter[str](), _DETAILS.format(complete=COMPLETE)
    for number, db in enumerate(archive.files):
        snapshots = [one.number for one in archive.snapshots(number) if one.day == newest]
        for endpoint, count in db.rows(
            sql, snapshots[-1] if snapshots else 0, json.dumps([*LISTS])
        ):
            found[endpoint] += count
    for endpoint, count in found.items():
        message = f"{endpoint}: {count} of them could not be had"
        yield Problem(kind="incomplete", day=newest, endpoint=endpoint, message=message)


_decode: Final = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


def _names(body: bytes) -> list[str]:
    """The fields of an item that have a value."""
    try:
        return [name for name, value in _decode(body).items() if bytes(value) != b"null"]
    except (msgspec.MsgspecError, UnicodeDecodeError):  # half an emoji, perhaps
        return [name for name, value in json.loads(body).items() if value is not None]
