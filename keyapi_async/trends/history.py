"""One item's ranks and views, day by day, wherever it was listed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
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
        timelines = archive.timelines(scope)
        for name in LISTS:
            group = [one for one in timelines if one.query.name == name]
            histories = list(_read(archive, group, item))
            for item_id in () if histories else _find_ids(archive, group, item):
                histories += _read(archive, group, item_id)
            found += histories
    return found


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


def _read(archive: Archive, timelines: list[Timeline], item_id: str) -> Iterator[History]:
    found = archive.find(timelines, item_id)
    for one in timelines:
        entries = {day: found.get(stored[:2]) for day, stored in one.lists.items()}
        names = [entry.name for entry in entries.values() if entry is not None]
        if names:
            yield History(
                query=one.query,
                item_id=item_id,
                name=names[-1] or item_id,
                days=tuple(
                    DayRank(day, entry and entry.rank, entry and entry.views)
                    for day, entry in entries.items()
                    if entry is not None or one.lists[day].is_complete
                ),
            )
