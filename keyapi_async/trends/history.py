"""One item's ranks and views, day by day, wherever it was listed."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from typing import Any, NamedTuple

from attrs import frozen

from keyapi_async.queries import ListQuery

from .archive import LISTS, Archive, Paths, Scope, Timeline, query_object


class DayRank(NamedTuple):
    """One day of an item in a list; rank and views are None where it was not listed."""

    day: date
    rank: int | None
    views: int | None


@frozen(kw_only=True)
class History:
    """An item in the lists of one query.

    Attributes:
        query: The query.
        item_id: The item.
        name: What people know it by; its id where it has no name.
        days: Each day on which it was listed, or that has a complete list.
    """

    query: ListQuery[Any]
    item_id: str
    name: str
    days: tuple[DayRank, ...]

    @property
    def best_rank(self) -> int:
        """The best rank it ever had."""
        return min(day.rank for day in self.days if day.rank is not None)

    @property
    def days_listed(self) -> int:
        """On how many days it was listed."""
        return sum(day.rank is not None for day in self.days)

    def to_dict(self) -> dict[str, Any]:
        """Give it as plain JSON-ready data: `query` as an object, days as YYYY-MM-DD."""
        return {
            "endpoint": self.query.name,
            "query": query_object(self.query),
            "item_id": self.item_id,
            "name": self.name,
            "best_rank": self.best_rank,
            "days_listed": self.days_listed,
            "days": [{**day._asdict(), "day": day.day.isoformat()} for day in self.days],
        }


def history(
    paths: Paths,
    endpoint: str | Iterable[str] | None,
    item: str,
    *,
    region: str | Iterable[str] | None = None,
    period: int | str | Iterable[int | str] | None = None,
    industry: int | str | Iterable[int | str] | None = None,
) -> list[History]:
    """Tell in which lists an item was, and at which rank, on each day.

    Args:
        paths: The file of a crawl, or several that are one history.
        endpoint: Only lists of this endpoint, or these; None for all.
        item: Its id, or its name in any case, with or without a leading #; where several items
            have that name, it is those that had it on the newest day any of them was listed.
        region: Only lists of this region, or these.
        period: Only lists of this period, or these.
        industry: Only lists of this industry id, or these.

    Returns:
        A history for each list it was ever in, in the order of the plan; empty if it was in none.

    Raises:
        ParameterError: A value is in none of the files.
        StoreError: A file can't be read.
    """
    scope = Scope(endpoint=endpoint, region=region, period=period, industry=industry)
    found: list[History] = []
    with Archive(paths) as archive:
        timelines = scope.choose(archive.timelines())
        for name in LISTS:
            group = [one for one in timelines if one.query.name == name]
            ids = [item] if _is_listed(archive, group, item) else _find_ids(archive, group, item)
            found += [
                history
                for one in group
                for item_id in ids
                if (history := _read(archive, one, item_id)) is not None
            ]
    return found


def _is_listed(archive: Archive, timelines: Iterable[Timeline], item_id: str) -> bool:
    return any(archive.find(one, day, item_id) for one in timelines for day in one.lists)


def _find_ids(archive: Archive, timelines: list[Timeline], name: str) -> list[str]:
    wanted = name.lstrip("#").casefold()
    days = {day for one in timelines for day in one.lists}
    for day in sorted(days, reverse=True):
        ids = {
            item_id: None
            for one in timelines
            if day in one.lists
            for item_id, label in archive.read_names(one, day)
            if label is not None and label.lstrip("#").casefold() == wanted
        }
        if ids:
            return list(ids)
    return []


def _read(archive: Archive, timeline: Timeline, item_id: str) -> History | None:
    days, name = [], None
    for day, one in timeline.lists.items():
        entry = archive.find(timeline, day, item_id)
        if entry is not None:
            name = entry.name or item_id
            days.append(DayRank(day, entry.rank, entry.views))
        elif one.is_complete:
            days.append(DayRank(day, None, None))
    if name is None:
        return None
    return History(query=timeline.query, item_id=item_id, name=name, days=tuple(days))
