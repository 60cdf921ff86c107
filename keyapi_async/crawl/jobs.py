"""What passes between a crawl's workers and where its items go: plain values, no I/O."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator
from operator import attrgetter
from typing import Any, Final, Generic, Protocol, TypeAlias

from attrs import define, field, frozen

from keyapi_async.budget import CREDITS_PER_REQUEST
from keyapi_async.errors import KeyAPIError, ParameterError
from keyapi_async.pagination import Checkpoint, StopReason
from keyapi_async.queries import DetailQuery, ItemT, ListQuery, Query, whole_number
from keyapi_async.raw import position_of

Clock: TypeAlias = Callable[[], float]
"""Tells the time, in Unix seconds."""

NEW_DETAILS: Final = "new"


def _max_items(value: int | None) -> int | None:
    return None if value is None else whole_number("max_items", value, 0)


def _max_pages(value: int | None) -> int | None:
    return None if value is None else whole_number("max_pages", value, 0)


def _details(value: str | int | None) -> str | int | None:
    if value is None or value in ("all", NEW_DETAILS):
        return value
    try:
        return whole_number("details", value, 1)
    except ParameterError:
        allowed = "'all', 'new', or how many of the top of each list"
        raise ParameterError("details", value, allowed) from None


@frozen(kw_only=True)
class Options:
    """Which items a crawl fetches of the lists of its plan.

    Attributes:
        max_items: The most items to fetch of each list.
        max_pages: The most pages to fetch of each list.
        details: Also the detail of hashtags and sounds, once per region and period: `"all"`,
            `"new"` (those whose detail the file doesn't have yet), or a number: of that many at
            the top of each list.

    Raises:
        ParameterError: A value can't be right.
    """

    max_items: int | None = field(default=None, converter=_max_items)
    max_pages: int | None = field(default=None, converter=_max_pages)
    details: str | int | None = field(default=None, converter=_details)

    def wants_detail(self, place: int) -> bool:
        """Whether the detail is wanted of the item at that place of its list."""
        return not isinstance(self.details, int) or place <= self.details


@frozen(kw_only=True)
class Job:
    """One query to answer, or what is left of it.

    Attributes:
        query: The query.
        id: Its number in the file.
        start: Where to go on; None at the start.
        pages: How many of its pages are stored.
        items: How many of its items are stored.
        total: The last known length of its list, by the server.
    """

    query: Query[Any]
    id: int = 0
    start: Checkpoint | None = None
    pages: int = 0
    items: int = 0
    total: int | None = None


@frozen  # by keywords, it would take half as long again to make
class Record(Generic[ItemT]):
    """One item of a crawl.

    Attributes:
        query: The query it answers.
        page: Number of its page; 1 for a detail.
        position: Its place on that page, from 1.
        item: The item.
        request_id: The server's id of the answer.
        retrieved_at: When it came, in Unix seconds.
    """

    query: Query[ItemT]
    page: int
    position: int
    item: ItemT
    request_id: str | None
    retrieved_at: float

    @property
    def endpoint(self) -> str:
        """Name of the endpoint, such as `hashtags`."""
        return self.query.name


@frozen(kw_only=True)
class Batch:
    """What one answer brought.

    Attributes:
        job: What it belongs to.
        page: Number of the page; 1 for a detail.
        items: What is new on it.
        duplicates: How many of its items the list had before.
        total: How many items the list has, as the server says.
        next_page: The page to go on with; None at the end of the list.
        next_offset: How many of that page's items have been taken.
        request_id: The server's id of the answer.
        retrieved_at: When it came, in Unix seconds.
    """

    job: Job
    page: int
    items: tuple[Any, ...]
    duplicates: int = 0
    total: int | None = None
    next_page: int | None = None
    next_offset: int = 0
    request_id: str | None = None
    retrieved_at: float

    def records(self) -> Iterator[Record[Any]]:
        """Its items, each with its place."""
        query, page, request_id, at = self.job.query, self.page, self.request_id, self.retrieved_at
        for item in self.items:
            yield Record(query, page, position_of(item), item, request_id, at)

    def details(self) -> Iterator[tuple[int, DetailQuery[Any]]]:
        """The queries for the details of its items, each with its item's place in the list."""
        places = ((self.page, position_of(item), item) for item in self.items)
        return find_details(self.job.query, places)


def find_details(
    query: Query[Any], items: Iterable[tuple[int, int, Any]]
) -> Iterator[tuple[int, DetailQuery[Any]]]:
    """The queries for the details of items, each with its item's place in the list.

    Args:
        query: The list.
        items: Items, each with its page and its position there; left alone if it has no details.
    """
    if not isinstance(query, ListQuery) or query.detail_query is None:
        return
    for page, position, item in items:
        detail = query.detail(item)
        if detail is not None:
            yield (page - 1) * query.limit + position, detail


@frozen(kw_only=True)
class Completion:
    """The end of a job; `reason` is the pager's `stop_reason`."""

    job: Job
    reason: StopReason


@frozen(kw_only=True)
class Failure:
    """The end of a job that failed.

    Attributes:
        job: The job.
        page: The page that could not be fetched.
        error: Why.
        is_final: Whether that is settled; else the next run goes on with it.
    """

    job: Job
    page: int
    error: KeyAPIError
    is_final: bool


Outcome: TypeAlias = Batch | Completion | Failure


@frozen(kw_only=True)
class Rows:
    """What is to be written of a batch: its items as text, for their objects are many.

    Attributes:
        number: The list's number.
        page: What is known of the answer, for `pages`.
        items: Position, identity and JSON of each item.
        progress: Where the list stands now, for `lists`.
        details: The details that its items have, each with the place of its item in the list.
    """

    number: int
    page: tuple[object, ...]
    items: list[tuple[int, str, str]]
    progress: tuple[object, ...]
    details: tuple[tuple[int, DetailQuery[Any]], ...]


Entry: TypeAlias = Rows | Completion | Failure


def make_entry(outcome: Outcome, options: Options) -> Entry:
    """What is to be written of an outcome.

    Args:
        outcome: The outcome.
        options: What is wanted of each list.
    """
    if not isinstance(outcome, Batch):
        return outcome
    items = outcome.items
    number, id_of = outcome.job.id, attrgetter(outcome.job.query.item_key)
    counts = (len(items), outcome.duplicates, outcome.total)
    answer = (outcome.request_id, outcome.retrieved_at, CREDITS_PER_REQUEST, "ok")
    return Rows(
        number=number,
        page=(number, outcome.page, *answer),
        items=[(position_of(item), id_of(item), item.raw_json) for item in items],
        progress=(outcome.next_page or 0, outcome.next_offset, *counts, number),
        details=() if options.details is None else tuple(outcome.details()),
    )


class Sink(Protocol):
    """Where the items of a crawl go, and where its jobs come from."""

    async def take(self) -> Job | None:
        """The next job; None if there is none at the moment."""
        ...

    def put(self, outcome: Outcome) -> Awaitable[int]:
        """Take an outcome of a job; awaiting tells how many new jobs it added.

        That ends only when the outcome is safe: stored, or handed to the caller.
        """
        ...


@define
class Progress:
    """Running counts of one crawl; read them at any time.

    Attributes:
        queries: Queries in all, those done before and details found so far included.
        done: Queries answered.
        failed: Queries that failed.
        pages: Answers that came in this run.
        pages_expected: Answers this run should come to, by known and usual lengths.
        items: Items that came in this run.
        duplicates: Items dropped because their list had them before.
        snapshot: Number of the snapshot; 0 where nothing is stored.
        is_new: Whether this run began it.
        pages_before: Pages of the snapshot that earlier runs stored.
        outage: Why nothing is sent while the server is down; None while it isn't.
        next_probe: When the server is tried again, by the event loop's clock.
        ignored: Numbers of snapshots that were begun in the future, by a clock that was wrong.
    """

    queries: int = 0
    done: int = 0
    failed: int = 0
    pages: int = 0
    pages_expected: int = 0
    items: int = 0
    duplicates: int = 0
    snapshot: int = 0
    is_new: bool = False
    pages_before: int = 0
    outage: str | None = None
    next_probe: float = 0.0
    ignored: tuple[int, ...] = ()

    @property
    def pending(self) -> int:
        """Queries still to be answered."""
        return self.queries - self.done - self.failed


@frozen
class FailedQuery:
    """A query that could not be answered in full, and why."""

    query: Query[Any]
    error: str


class CrawlError(KeyAPIError):
    """A crawl ended, but not with all that was asked for.

    Attributes:
        failures: What failed.
    """

    def __init__(self, message: str = "", failures: tuple[FailedQuery, ...] = ()) -> None:
        super().__init__(message)
        self.failures = failures
