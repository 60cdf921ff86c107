"""What crawls stored, as a history: each query's lists, day by day, in one file or several."""

from __future__ import annotations

import hashlib
import json
import math
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from datetime import date
from functools import cache
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from types import TracebackType
from typing import Any, Final, NamedTuple, Self, TypeAlias

import attrs
import msgspec
from attrs import define, field, frozen

from keyapi_async.converter import wire_params
from keyapi_async.crawl.database import Database, reading
from keyapi_async.crawl.snapshots import FUTURE
from keyapi_async.crawl.store import StoredSnapshot, query_from, read_snapshots
from keyapi_async.crawl.views import COMPLETE
from keyapi_async.errors import ParameterError
from keyapi_async.queries import ENDPOINTS, ListQuery, Query

Paths: TypeAlias = str | os.PathLike[str] | Iterable[str | os.PathLike[str]]
"""One file of a crawl, or several that are one history: the shards of a plan, perhaps."""

LISTS: Final[Mapping[str, type[ListQuery[Any]]]] = {
    name: query for name, query in ENDPOINTS.items() if issubclass(query, ListQuery)
}

_QUERIES: Final = "SELECT id, endpoint, params, planned = 1 FROM queries ORDER BY id"
_LISTS: Final = """
SELECT l.query, l.id, l.snapshot, l.items, {complete}
FROM json_each(?) q CROSS JOIN lists l ON l.query = q.value
WHERE coalesce(l.stop_reason, '') <> 'dropped' ORDER BY l.query, l.id
"""
_FROM: Final = "FROM items i JOIN pages p ON p.id = i.page WHERE i.list = ?"
_PLACES: Final = f"SELECT i.item_id, p.page, i.position, NULL {_FROM}"
_ITEMS: Final = f"SELECT i.item_id, p.page, i.position, CAST(i.json AS BLOB) {_FROM}"
_FIND: Final = """
SELECT i.list, p.page, i.position, CAST(i.json AS BLOB) FROM json_each(?) l
CROSS JOIN items i ON i.list = l.value AND i.item_id = ? JOIN pages p ON p.id = i.page
"""
_IDS: Final = "SELECT item_id FROM items WHERE list = ?"
_JSON: Final = "SELECT item_id, CAST(json AS BLOB) FROM items WHERE list = ? ORDER BY id"


class Entry(NamedTuple):
    """An item in a list: its rank as the wire has it, else its place; None where it has none."""

    rank: int
    views: int | None
    name: str | None


class StoredQuery(NamedTuple):
    """A query, with the usual number of items per page; and how many it had, really."""

    query: ListQuery[Any]
    limit: int
    is_planned: bool


class DayList(NamedTuple):
    """The list of one query on one day.

    Attributes:
        file: Which of the files it is in.
        id: Its number there.
        snapshot: The snapshot it belongs to.
        is_complete: Whether it has all that was asked for.
        items: How many items it has.
        limit: Items per page.
    """

    file: int
    id: int
    snapshot: StoredSnapshot
    is_complete: bool
    items: int
    limit: int

    @property
    def day(self) -> date:
        """The day of its snapshot."""
        return self.snapshot.day

    @property
    def depth(self) -> float:
        """How many items were asked for at most."""
        options = self.snapshot.options
        pages = math.inf if options.max_pages is None else options.max_pages * self.limit
        return min(pages, math.inf if options.max_items is None else options.max_items)

    def is_better(self, other: DayList) -> bool:
        """Whether it stands for its day rather than another one does."""
        return (self.is_complete, self.snapshot.started_at) >= (
            other.is_complete,
            other.snapshot.started_at,
        )


@define(kw_only=True)
class Timeline:
    """One query and its lists.

    Attributes:
        query: The query, with the usual number of items per page.
        lists: A list for each day that has one, the oldest first; of several on one day a
            complete one, and of those the newest.
        is_planned: Whether it is still in the plan.
    """

    query: ListQuery[Any]
    lists: dict[date, DayList] = field(factory=dict)
    is_planned: bool = False

    def complete_until(self, day: date) -> DayList | None:
        """The newest complete list of that day or an earlier one."""
        found = (one for at, one in reversed(self.lists.items()) if one.is_complete and at <= day)
        return next(found, None)


def _texts(value: object) -> tuple[str, ...]:
    if value is None:
        return ()
    if isinstance(value, str) or not isinstance(value, Iterable):
        return (str(value),)
    return tuple(map(str, value))


@frozen(kw_only=True)
class Scope:
    """Which lists are looked at: one value, several or (None) all."""

    endpoint: tuple[str, ...] = field(default=None, converter=_texts)
    region: tuple[str, ...] = field(default=None, converter=_texts)
    period: tuple[str, ...] = field(default=None, converter=_texts)
    industry: tuple[str, ...] = field(default=None, converter=_texts)

    def choose(self, queries: Iterable[ListQuery[Any]]) -> set[ListQuery[Any]]:
        """Those that are meant.

        Raises:
            ParameterError: None of them has a value that is wanted.
        """
        chosen = [(one, _filters(one)) for one in queries]
        for name, wanted in attrs.asdict(self).items():
            there = sorted({filters[name] for _, filters in chosen if name in filters})
            for value in wanted:
                if value not in there:
                    raise ParameterError(name, value, f"in these files: {', '.join(there)}")
            if wanted:
                chosen = [(one, filters) for one, filters in chosen if filters.get(name) in wanted]
        return {one for one, _ in chosen}


def _filters(query: Query[Any]) -> dict[str, str]:
    params = query_object(query)
    params["endpoint"] = query.name
    params["industry"] = params.get("industry_id", "")
    return params


def query_object(query: Query[Any]) -> dict[str, str]:
    """A query as leaves the file: its wire parameters without the page."""
    return {k: v for k, v in wire_params(query).items() if k not in ("page", "limit")}


def list_paths(paths: Paths) -> list[Path]:
    """The files one by one.

    Raises:
        ParameterError: There is none.
    """
    several = [paths] if isinstance(paths, str | os.PathLike) else paths
    found = [Path(path) for path in several]
    if not found:
        raise ParameterError("paths", paths, "at least one file")
    return found


class Archive:
    """Files of crawls, open to read; used as a context manager.

    A snapshot that was begun in the future, by a clock that was wrong, is left out.

    Args:
        paths: The files.

    Raises:
        StoreError: One of them can't be read.
    """

    def __init__(self, paths: Paths) -> None:
        self.paths = list_paths(paths)
        self._stack = ExitStack()
        self.files: list[Database] = []

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self.files = [stack.enter_context(reading(path)) for path in self.paths]
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        self._stack.close()

    def snapshots(self, file: int) -> list[StoredSnapshot]:
        """The snapshots of one of the files, the oldest first."""
        latest = time.time() + FUTURE
        return [one for one in read_snapshots(self.files[file]) if one.started_at <= latest]

    def timelines(self, scope: Scope | None = None) -> list[Timeline]:
        """The history of each query of a list, in the order of the plans.

        Args:
            scope: Which of them; by default all.

        Raises:
            ParameterError: No query has a value that is wanted.
        """
        stored = [self._queries(db) for db in self.files]
        every = {one.query: None for queries in stored for one in queries.values()}
        chosen = every if scope is None else scope.choose(every)
        made = {query: Timeline(query=query) for query in every if query in chosen}
        for file, (db, queries) in enumerate(zip(self.files, stored, strict=True)):
            snapshots = {one.number: one for one in self.snapshots(file)}
            ids = json.dumps([number for number, one in queries.items() if one.query in chosen])
            rows = db.each(_LISTS.format(complete=COMPLETE), ids)
            for query, group in groupby(rows, key=itemgetter(0)):
                timeline = made[queries[query].query]
                timeline.is_planned |= queries[query].is_planned
                limit, lists = queries[query].limit, timeline.lists
                for _, number, snapshot, items, is_complete in group:
                    begun = snapshots.get(snapshot)
                    if begun is not None:
                        found = DayList(file, number, begun, bool(is_complete), items, limit)
                        if found.is_better(lists.get(begun.day, found)):
                            lists[begun.day] = found
        for one in made.values():
            one.lists = dict(sorted(one.lists.items()))
        return [one for one in made.values() if one.lists]

    def _queries(self, db: Database) -> dict[int, StoredQuery]:
        """The queries of lists in a file, by their numbers there."""
        found = {}
        for number, endpoint, params, is_planned in db.each(_QUERIES):
            if endpoint in LISTS:
                query: Any = query_from(endpoint, params)
                usual = attrs.evolve(query, limit=type(query)().limit)
                found[number] = StoredQuery(usual, query.limit, bool(is_planned))
        return found

    def read(self, timeline: Timeline, day: date) -> dict[str, Entry]:
        """The items of one day's list, by their ids."""
        one = timeline.lists[day]
        facts = _facts(timeline.query.name)
        return {
            item_id: _entry(facts(body), (page - 1) * one.limit + position)
            for item_id, page, position, body in self._rows(_ITEMS, one)
        }

    def read_ranks(self, timeline: Timeline, day: date) -> dict[str, int]:
        """The ranks of the items of one day's list, by their ids."""
        if _has_rank(timeline.query.name):
            return {item_id: entry.rank for item_id, entry in self.read(timeline, day).items()}
        one = timeline.lists[day]
        rows = self._rows(_PLACES, one)
        return {item_id: (page - 1) * one.limit + place for item_id, page, place, _ in rows}

    def find(self, timelines: Iterable[Timeline], item_id: str) -> dict[tuple[int, int], Entry]:
        """An item in each of the lists that have it, by file and number."""
        lists = {(one.file, one.id): (t, one) for t in timelines for one in t.lists.values()}
        found = {}
        for file, db in enumerate(self.files):
            ids = json.dumps([number for owner, number in lists if owner == file])
            for number, page, position, body in db.each(_FIND, ids, item_id):
                timeline, one = lists[file, number]
                facts = _facts(timeline.query.name)(body)
                found[file, number] = _entry(facts, (page - 1) * one.limit + position)
        return found

    def read_names(self, timeline: Timeline, day: date) -> Iterator[tuple[str, str | None]]:
        """The id and the name of each item of one day's list."""
        facts = _facts(timeline.query.name)
        for item_id, body in self._rows(_JSON, timeline.lists[day]):
            yield item_id, _name(facts(body))

    def read_ids(self, timeline: Timeline, day: date) -> list[str]:
        """The ids of one day's list."""
        return [item_id for (item_id,) in self._rows(_IDS, timeline.lists[day])]

    def read_json(self, timeline: Timeline, day: date) -> Iterator[bytes]:
        """The items of one day's list as received, in order."""
        for _, body in self._rows(_JSON, timeline.lists[day]):
            yield body

    def digest(self, timeline: Timeline, day: date) -> bytes:
        """What two lists have in common that are equal to the letter."""
        together = hashlib.sha256()
        for body in self.read_json(timeline, day):
            together.update(body + b"\n")
        return together.digest()

    def _rows(self, sql: str, one: DayList, *values: object) -> Iterator[Any]:
        return self.files[one.file].each(sql, one.id, *values)


@cache
def _has_rank(endpoint: str) -> bool:
    return "rank" in attrs.fields_dict(LISTS[endpoint].item)


@cache
def _facts(endpoint: str) -> Callable[[bytes], Any]:
    """What reads of an item's JSON no more than its name, rank and views."""
    query = LISTS[endpoint]
    names = {"name": query.label, "views": query.views, "rank": "rank"}
    wire = {ours: theirs for ours, theirs in names.items() if theirs is not None}
    absent = dict.fromkeys(names.keys() - wire.keys())
    fields = [(name, Any, None) for name in wire]
    facts = msgspec.defstruct("Facts", fields, rename=wire, namespace=absent, gc=False)
    decode = msgspec.json.Decoder(facts).decode

    def read(body: bytes) -> Any:
        try:
            return decode(body)
        except (msgspec.MsgspecError, UnicodeDecodeError):  # half an emoji, perhaps
            found = json.loads(body)
            return facts(**{ours: found.get(theirs) for ours, theirs in wire.items()})

    return read


def _entry(facts: Any, place: int) -> Entry:
    rank, views = facts.rank, facts.views
    return Entry(
        rank if type(rank) is int and rank > 0 else place,
        views if type(views) is int else None,
        _name(facts),
    )


def _name(facts: Any) -> str | None:
    name = facts.name
    return name if isinstance(name, str) and name.strip() else None
