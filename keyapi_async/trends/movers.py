"""What moved in the lists from one day to another."""

from __future__ import annotations

import heapq
import itertools
import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from datetime import date, timedelta
from typing import Any, Final, Literal, TypeAlias, get_args

from attrs import fields, frozen

from keyapi_async.errors import ParameterError
from keyapi_async.queries import ALL_REGIONS, ListQuery

from .archive import Archive, Entry, Paths, Scope, Timeline, list_paths, query_object

Kind: TypeAlias = Literal["new", "returned", "risen", "fallen", "same", "dropped"]
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)

SERIES_DAYS: Final = 30
"""So many days `Move.ranks` goes back."""

_DAY: Final = timedelta(days=1)

Past: TypeAlias = dict[date, int | None]
"""The rank of an item on each day, in order; None: the list is complete, and it isn't in it."""


@frozen(kw_only=True)
class Move:
    """An item of one list, on one day and on an earlier one.

    Attributes:
        endpoint: The endpoint's name.
        query: The query of the list.
        day: The day looked at.
        day_before: The day it is compared with.
        item_id: The item.
        name: What people know it by; its id where it has no name.
        kind: `new` (not in the list before, nor on any earlier day), `returned` (not in the list
            before, but earlier), `risen`, `fallen`, `same`, or `dropped` (no longer in the list).
        rank: Its rank, from 1; None if dropped.
        rank_before: Its rank before; None if new or returned.
        change: Places gained. What is new or returned comes from just below the list, and what
            dropped went there.
        views: Its views; None where the wire has none.
        views_before: Its views before.
        growth: `views / views_before - 1`.
        first_seen: The first day it was in this list.
        days_listed: On how many days it was, up to the day looked at.
        streak: On how many of them in a row; a day without a complete list doesn't break it.
        best_rank: The best rank it ever had, up to the day looked at.
        regions: Codes of the regions in whose lists, of otherwise the same query, it is that day.
        ranks: Its rank on each day of the last 30 for which that is known; None: not listed.
    """

    endpoint: str
    query: ListQuery[Any]
    day: date
    day_before: date
    item_id: str
    name: str
    kind: Kind
    rank: int | None
    rank_before: int | None
    change: int
    views: int | None
    views_before: int | None
    growth: float | None
    first_seen: date
    days_listed: int
    streak: int
    best_rank: int
    regions: tuple[str, ...]
    ranks: tuple[tuple[date, int | None], ...]

    @property
    def weight(self) -> float:
        """How much it matters: from 40 to 20 is as much as from 2 to 1."""
        below = max(self.rank or 0, self.rank_before or 0) + abs(self.change)
        return abs(math.log((self.rank or below) / (self.rank_before or below)))

    def to_dict(self) -> dict[str, Any]:
        """Give it as plain JSON-ready data: `query` as an object, days as YYYY-MM-DD."""
        made = {attribute.name: getattr(self, attribute.name) for attribute in fields(Move)}
        made["query"] = query_object(self.query)
        for name in ("day", "day_before", "first_seen"):
            made[name] = made[name].isoformat()
        made["regions"] = list(self.regions)
        made["ranks"] = [[day.isoformat(), rank] for day, rank in self.ranks]
        return made


@frozen(kw_only=True)
class Comparison:
    """Two days of one query's list.

    Attributes:
        query: The query.
        day: The day looked at.
        before: The day it is compared with; None if the two can't be compared.
        gap: The days between, or from `since` on, that have no complete list.
        reason: Why they can't be compared; empty if they can.
    """

    query: ListQuery[Any]
    day: date
    before: date | None = None
    gap: tuple[date, ...] = ()
    reason: str = ""


class Movers:
    """The moves of some lists: iterate for each `Move`, list by list in the order of ranks.

    Attributes:
        day: The day looked at; None if no list is complete on any.
        comparisons: What is compared, and what can't be, for each list.
        paths: The files.
        top: How many of them at most.
        selection: What of them was asked for, as a text: equal for equal questions.
    """

    def __init__(
        self,
        paths: Paths,
        scope: Scope,
        *,
        day: date | None,
        since: date | timedelta | None,
        kinds: frozenset[str],
        top: int | None,
        min_change: int,
    ) -> None:
        self.paths = list_paths(paths)
        self.selection = str((scope, str(since), sorted(kinds), top, min_change))
        self.top, self._kinds, self._min_change = top, kinds, min_change
        with Archive(self.paths) as archive:
            timelines = archive.timelines(scope)
        self.day = day or find_newest_day(timelines)
        self.comparisons: tuple[Comparison, ...] = ()
        if self.day is not None:
            try:
                base = self.day - since if isinstance(since, timedelta) else since
            except OverflowError:
                raise ParameterError("since", str(since), "an age within the calendar") from None
            if base is not None and base >= self.day:
                raise ParameterError("since", base, f"before {self.day}")
            self.comparisons = tuple(compare_days(one, self.day, base) for one in timelines)

    def __iter__(self) -> Iterator[Move]:
        moves = (move for move in self._each() if self._is_wanted(move))
        if self.top is None:
            return moves
        return iter(heapq.nlargest(self.top, moves, key=lambda move: move.weight))

    def _is_wanted(self, move: Move) -> bool:
        return move.kind in self._kinds and abs(move.change) >= self._min_change

    def _each(self) -> Iterator[Move]:
        days = {one.query: one for one in self.comparisons if one.before is not None}
        if not days:
            return
        with Archive(self.paths) as archive:
            timelines = archive.timelines()
            regions = Regions(archive, timelines)
            for one in timelines:
                if one.query in days:
                    yield from find_moves(archive, one, days[one.query], regions)


def movers(
    paths: Paths,
    *,
    endpoint: str | Iterable[str] | None = None,
    region: str | Iterable[str] | None = None,
    period: int | str | Iterable[int | str] | None = None,
    industry: int | str | Iterable[int | str] | None = None,
    day: date | None = None,
    since: date | timedelta | None = None,
    kind: str | Iterable[str] | None = None,
    top: int | None = None,
    min_change: int = 0,
) -> Movers:
    """Compare the newest day with the one before, list by list.

    Only a complete list is compared, with a complete list of the same query: a list that was cut
    short or is missing makes nothing new or dropped. Where lists were limited to so many items,
    what is absent from the shorter one is not taken for new or dropped, either.

    Args:
        paths: The file of a crawl, or several that are one history.
        endpoint: Only lists of this endpoint, or these.
        region: Only lists of this region, or these.
        period: Only lists of this period, or these.
        industry: Only lists of this industry id, or these; `nothing` for those of all industries.
        day: The day looked at; by default the newest on which any of the lists is complete.
        since: The day it is compared with, or how long before; the newest earlier day with a
            complete list stands in for one that has none. By default the newest before `day`.
        kind: Only moves of this kind, or these.
        top: Only so many, those that matter most, first (see `Move.weight`).
        min_change: Only those that gained or lost so many places.

    Returns:
        The moves, to iterate over; each time the files are read anew.

    Raises:
        ParameterError: A value can't be right, or is in none of the files.
        StoreError: A file can't be read.
    """
    kinds = frozenset([kind] if isinstance(kind, str) else kind or KINDS)
    for one in kinds.difference(KINDS):
        raise ParameterError("kind", one, f"one of {', '.join(KINDS)}")
    for name, number in (("top", top), ("min_change", min_change)):
        if number is not None and number < 0:
            raise ParameterError(name, number, "0 or more")
    scope = Scope(endpoint=endpoint, region=region, period=period, industry=industry)
    return Movers(paths, scope, day=day, since=since, kinds=kinds, top=top, min_change=min_change)


def find_newest_day(timelines: Iterable[Timeline]) -> date | None:
    """The newest day on which any list is complete."""
    newest = (one.complete_until(date.max) for one in timelines)
    return max((one.day for one in newest if one is not None), default=None)


def compare_days(timeline: Timeline, day: date, since: date | None = None) -> Comparison:
    """Say which two days of a list can be compared."""
    query, lists = timeline.query, timeline.lists
    if day not in lists or not lists[day].is_complete:
        what = "incomplete" if day in lists else "missing"
        return Comparison(query=query, day=day, reason=f"its list of {day} is {what}")
    latest = since or day - _DAY
    before = timeline.complete_until(latest)
    if before is None:
        when = f"before {day}" if since is None else f"of {latest} or earlier"
        return Comparison(query=query, day=day, reason=f"it has no complete list {when}")
    gap = tuple(before.day + _DAY * n for n in range(1, (latest - before.day).days + 1))
    return Comparison(query=query, day=day, before=before.day, gap=gap)


class Regions:
    """Where else an item is listed, on the same day and by otherwise the same query."""

    def __init__(self, archive: Archive, timelines: Iterable[Timeline]) -> None:
        self._archive = archive
        self._groups: dict[object, list[Timeline]] = defaultdict(list)
        for one in timelines:
            self._groups[_apart_from_region(one.query)].append(one)
        self._found: dict[object, Mapping[str, tuple[str, ...]]] = {}

    def find(self, query: ListQuery[Any], day: date) -> Mapping[str, tuple[str, ...]]:
        """The codes for each item that is listed anywhere."""
        group = (_apart_from_region(query), day)
        if group not in self._found:
            found: dict[str, list[str]] = defaultdict(list)
            for one in self._groups[group[0]]:
                region = getattr(one.query, "region", ALL_REGIONS)
                if region != ALL_REGIONS and day in one.lists:
                    for item_id in self._archive.read_ids(one, day):
                        found[item_id].append(region)
            self._found[group] = {item: tuple(sorted(codes)) for item, codes in found.items()}
        return self._found[group]


def _apart_from_region(query: ListQuery[Any]) -> tuple[object, ...]:
    params = query_object(query)
    params.pop("region", None)
    return (query.name, *params.items())


def find_moves(
    archive: Archive, timeline: Timeline, days: Comparison, regions: Regions
) -> Iterator[Move]:
    """The moves of one list, by rank; then what dropped."""
    assert days.before is not None  # noqa: S101 - who calls has seen to it
    now, before = (archive.read(timeline, day) for day in (days.day, days.before))
    deeper = timeline.lists[days.day].depth - timeline.lists[days.before].depth
    ids = sorted(now, key=lambda item: now[item].rank)
    ids += sorted(before.keys() - now.keys(), key=lambda item: (before[item].rank, item))
    pasts = _read_pasts(archive, timeline, days, {days.day: now, days.before: before})
    below = 1 + max((entry.rank for day in (now, before) for entry in day.values()), default=0)
    where = regions.find(timeline.query, days.day)
    for item_id in ids:
        this, that, past = now.get(item_id), before.get(item_id), pasts[item_id]
        if (that is None and deeper > 0) or (this is None and deeper < 0):
            continue  # what is below the end of the shorter list, nobody knows
        views, views_before = this and this.views, that and that.views
        yield Move(
            endpoint=timeline.query.name,
            query=timeline.query,
            day=days.day,
            day_before=days.before,
            item_id=item_id,
            name=(this and this.name) or (that and that.name) or item_id,
            kind=_kind(this, that, past, days.before),
            rank=this and this.rank,
            rank_before=that and that.rank,
            change=(that.rank if that else below) - (this.rank if this else below),
            views=views,
            views_before=views_before,
            growth=views / views_before - 1 if views is not None and views_before else None,
            regions=where.get(item_id, ()),
            **_sum_up(past, days.day),
        )


def _kind(this: Entry | None, that: Entry | None, past: Past, before: date) -> Kind:
    if this is None:
        return "dropped"
    if that is None:
        return "returned" if _first_seen(past) < before else "new"
    if this.rank == that.rank:
        return "same"
    return "risen" if this.rank < that.rank else "fallen"


def _first_seen(past: Past) -> date:
    return next(day for day, rank in past.items() if rank is not None)


def _sum_up(past: Past, day: date) -> dict[str, Any]:
    """What a move tells of an item's days."""
    known = [rank for rank in past.values() if rank is not None]
    streak = itertools.takewhile(lambda rank: rank is not None, reversed(past.values()))
    recent = day - _DAY * SERIES_DAYS
    return {
        "first_seen": _first_seen(past),
        "days_listed": len(known),
        "streak": len(list(streak)),
        "best_rank": min(known),
        "ranks": tuple((at, rank) for at, rank in past.items() if at > recent),
    }


def _read_pasts(
    archive: Archive, timeline: Timeline, days: Comparison, known: Mapping[date, dict[str, Entry]]
) -> dict[str, Past]:
    """The days of each item that is in the list on one of the two days."""
    pasts: dict[str, Past] = {item_id: {} for entries in known.values() for item_id in entries}
    for day, one in timeline.lists.items():
        if day > days.day:
            break
        if day in known:
            ranks = {item_id: entry.rank for item_id, entry in known[day].items()}
        else:
            ranks = archive.read_ranks(timeline, day)
        for item_id, past in pasts.items():
            if item_id in ranks or one.is_complete:
                past[day] = ranks.get(item_id)
    return pasts
