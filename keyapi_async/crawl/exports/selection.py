"""Which items of a crawl are wanted, and reading them: list by list, page by page."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from operator import itemgetter
from pathlib import Path
from typing import Any, Final, Generic, Literal, TypeAlias, TypeVar

from attrs import field, frozen

from keyapi_async.crawl.database import Database, StoreError, no_crawl
from keyapi_async.crawl.plan import query_class
from keyapi_async.crawl.store import StoredSnapshot, query_from, read_snapshots
from keyapi_async.crawl.views import COMPLETE
from keyapi_async.errors import ParameterError
from keyapi_async.queries import ENDPOINTS, ListQuery, Query

SnapshotChoice: TypeAlias = int | Literal["latest", "all"]
ItemsT = TypeVar("ItemsT")
Texts: TypeAlias = list[tuple[int, str]]
"""Of each item its position on its page, from 1, and its JSON."""

_LISTS: Final = """
SELECT l.id, q.endpoint, q.params, l.snapshot, {complete} FROM lists l
JOIN queries q ON q.id = l.query WHERE {where} ORDER BY l.id
"""
# List by list: nothing larger than one list is ever sorted. The inner query, and the join that
# keeps its order, are for aggregates: they take the items of a page in the order they were stored.
_ITEMS: Final = """
SELECT p.page, p.retrieved_at, p.request_id, {columns}
FROM (SELECT id, page FROM items WHERE list = ? ORDER BY id) AS of_list
    CROSS JOIN items i ON i.id = of_list.id JOIN pages p ON p.id = of_list.page
WHERE p.retrieved_at >= ifnull(?, p.retrieved_at) AND coalesce(p.retrieved_at < ?, true)
{order}
"""


def _regions(value: str | Iterable[str]) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value)


def _endpoints(value: str | Iterable[str]) -> tuple[str, ...]:
    return tuple(query_class(name).name for name in _regions(value))


def _periods(value: int | Iterable[int]) -> tuple[int, ...]:
    return (value,) if isinstance(value, int) else tuple(value)


def _snapshot(value: SnapshotChoice | None) -> SnapshotChoice | None:
    if value in (None, "latest", "all") or (isinstance(value, int) and value > 0):
        return value
    raise ParameterError("snapshot", value, "a snapshot's number, 'latest' or 'all'")


@frozen(kw_only=True)
class Selection:
    """Which items leave a crawl's file; by default all of the newest snapshot.

    Attributes:
        endpoints: Only those of these endpoints.
        regions: Only those of queries with these regions.
        periods: Only those of queries with these periods.
        since: Only those fetched at this Unix time or later.
        until: Only those fetched before this Unix time.
        snapshot: Those of this snapshot: its number, `latest` or `all`. By default the latest,
            and for a lake all.
        complete_only: Only those of lists that are complete.

    Raises:
        ParameterError: There is no such endpoint, that can be no snapshot, or `until` is before
            `since`.
    """

    endpoints: tuple[str, ...] = field(default=(), converter=_endpoints)
    regions: tuple[str, ...] = field(default=(), converter=_regions)
    periods: tuple[int, ...] = field(default=(), converter=_periods)
    since: float | None = None
    until: float | None = None
    snapshot: SnapshotChoice | None = field(default=None, converter=_snapshot)
    complete_only: bool = False

    def __attrs_post_init__(self) -> None:
        """Check what can be checked only together."""
        if self.since is not None and self.until is not None and self.since > self.until:
            raise ParameterError("until", self.until, "no earlier than since")

    def lists(self, snapshots: Iterable[StoredSnapshot]) -> tuple[str, list[object]]:
        """Which lists of some snapshots: an SQL condition and its values."""
        terms: list[str] = [COMPLETE] if self.complete_only else []
        values: list[object] = []
        for column, wanted in (
            ("l.snapshot", tuple(one.number for one in snapshots)),
            ("q.endpoint", self.endpoints),
            ("json_extract(q.params, '$.region')", self.regions),
            ("json_extract(q.params, '$.period')", tuple(map(str, self.periods))),
        ):
            if wanted:
                terms.append(f"{column} IN ({', '.join('?' * len(wanted))})")
                values += wanted
        return " AND ".join(terms) or "true", values


@frozen(kw_only=True)
class FoundList:
    """A list that is selected, and what holds for all of its items."""

    file: Path
    id: int
    query: Query[Any]
    snapshot: StoredSnapshot
    is_complete: bool


@frozen(kw_only=True)
class FoundPage(Generic[ItemsT]):
    """Items of one answer, as far as they are selected.

    Attributes:
        source: The list they belong to.
        number: The page's number.
        retrieved_at: When it came, in Unix seconds.
        request_id: The server's id of the answer.
        count: How many items there are.
        items: What was read of them.
    """

    source: FoundList
    number: int
    retrieved_at: float
    request_id: str | None
    count: int
    items: ItemsT

    def place(self, position: int) -> int | None:
        """The place within the whole list; None for a detail, which stands in no list."""
        query = self.source.query
        return (self.number - 1) * query.limit + position if isinstance(query, ListQuery) else None


def damaged(file: Path, what: str, error: object) -> StoreError:
    """Something in a file is not what a crawl stores."""
    return StoreError(f"{file}: {what} is damaged ({error}): crawl it anew, or select other items")


def find_snapshots(db: Database, choice: SnapshotChoice) -> list[StoredSnapshot]:
    """The snapshots that are meant, the oldest first.

    Raises:
        StoreError: There is none, or none of that number.
    """
    try:
        stored = read_snapshots(db)
    except (ValueError, TypeError, AttributeError, OverflowError) as error:
        raise damaged(db.path, "a row of its table snapshots", error) from None
    if not stored:
        raise no_crawl(db.path)
    if not all(_is_moment(one.started_at) for one in stored):
        raise damaged(db.path, "a row of its table snapshots", "started_at is no time")
    if choice == "all":
        return stored
    found = stored[-1:] if choice == "latest" else [one for one in stored if one.number == choice]
    if not found:
        last = stored[-1].number
        raise StoreError(f"{db.path}: has no snapshot {choice}; the newest is {last}")
    return found


def find_lists(db: Database, selection: Selection) -> Iterator[FoundList]:
    """The lists that are selected, in order.

    Raises:
        StoreError: The file can't be read, or has no such snapshot.
    """
    snapshots = {one.number: one for one in find_snapshots(db, selection.snapshot or "latest")}
    where, values = selection.lists(snapshots.values())
    sql = _LISTS.format(where=where, complete=COMPLETE)
    for number, endpoint, params, snapshot, is_complete in db.each(sql, *values):
        try:
            query = query_from(endpoint, params)
        except (ValueError, TypeError, RecursionError) as error:
            raise damaged(db.path, f"the query of its list {number}", error) from None
        yield FoundList(
            file=db.path,
            id=number,
            query=query,
            snapshot=snapshots[snapshot],
            is_complete=bool(is_complete),
        )


def find_pages(dbs: Iterable[Database], selection: Selection) -> Iterator[FoundPage[Texts]]:
    """What is selected of some files, in the order of their lists.

    Raises:
        StoreError: A file can't be read, or has no such snapshot.
    """
    for db in dbs:
        for found in find_lists(db, selection):
            yield from read_pages(db, found, selection)


def find_endpoints(dbs: Sequence[Database], selection: Selection) -> list[str]:
    """The endpoints that are selected, and in some of the files; none of empty shards.

    Raises:
        StoreError: Crawled were others only, or a file can't be read.
    """
    known = {name for db in dbs for name in read_endpoints(db)}
    wanted = selection.endpoints or ENDPOINTS
    found = [name for name in ENDPOINTS if name in known and name in wanted]
    if known and not found:
        files = ", ".join(str(db.path) for db in dbs)
        raise StoreError(f"{files}: nothing to export: there is no {' or '.join(wanted)}")
    return found


def read_endpoints(db: Database) -> list[str]:
    """The endpoints of a file's queries.

    Raises:
        StoreError: One of them is unknown here.
    """
    found = [name for (name,) in db.rows("SELECT DISTINCT endpoint FROM queries")]
    for name in found:
        if name not in ENDPOINTS:
            raise damaged(db.path, "a row of its table queries", f"no endpoint is called {name}")
    return found


def read_pages(db: Database, found: FoundList, selection: Selection) -> Iterator[FoundPage[Texts]]:
    """What is selected of one list."""
    rows = select_items(db, found, selection, "i.page, i.position, i.json", "ORDER BY i.id")
    for _, group in itertools.groupby(rows, key=itemgetter(3)):
        of_page = list(group)
        items = [(position, text) for *_, position, text in of_page]
        if not all(isinstance(at, int) and isinstance(text, str) for at, text in items):
            raise _wrong_type(found)
        yield make_page(found, of_page[0], len(items), items)


def select_items(
    db: Database, found: FoundList, selection: Selection, columns: str, order: str
) -> list[Any]:
    """Columns of what is selected of one list, in SQL, after those that `make_page` takes."""
    sql = _ITEMS.format(columns=columns, order=order)
    return db.rows(sql, found.id, selection.since, selection.until)


def make_page(found: FoundList, row: Any, count: int, items: ItemsT) -> FoundPage[ItemsT]:
    """A page of a list, of what its row begins with."""
    number, retrieved_at, request_id, *_ = row
    if not (
        isinstance(number, int) and _is_moment(retrieved_at) and isinstance(request_id, str | None)
    ):
        raise _wrong_type(found)
    return FoundPage(
        source=found,
        number=number,
        retrieved_at=retrieved_at,
        request_id=request_id,
        count=count,
        items=items,
    )


def _wrong_type(found: FoundList) -> StoreError:
    """In SQLite, a value may be of any type."""
    return damaged(found.file, f"a row of its list {found.id}", "a value of another type")


def _is_moment(value: object) -> bool:
    """Whether a value is a time that has a date."""
    return isinstance(value, float | int) and 0 <= value < _END


_END: Final = 2.5e11
"""Unix seconds of the year 9892."""
