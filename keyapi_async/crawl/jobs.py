"""What passes between the engine and whoever keeps its results: plain values, no I/O."""

from __future__ import annotations

from typing import Any, Protocol, TypeAlias

from attrs import define, frozen

from keyapi_async.errors import KeyAPIError
from keyapi_async.pages import Checkpoint
from keyapi_async.queries import Query, whole_number


@frozen(kw_only=True)
class Options:
    """What decides, beside the plan, which items a crawl brings home.

    Attributes:
        max_items: At most so many of each list.
        max_pages: At most so many pages of each list.
        with_details: Also the detail of each hashtag and sound, once per region and period.

    Raises:
        ValueError: A limit is no whole number.
    """

    max_items: int | None = None
    max_pages: int | None = None
    with_details: bool = False

    def __attrs_post_init__(self) -> None:
        """Refuse limits that can't be right."""
        for name, value in (("max_items", self.max_items), ("max_pages", self.max_pages)):
            if value is not None:
                whole_number(name, value, 0)


@frozen(kw_only=True)
class Job:
    """One query to answer, or what is left of it.

    Attributes:
        query: The query.
        id: Its number in the store.
        start: Where to go on; None at the start.
        pages: How many of its pages lie behind.
        items: How many items there are already.
        total: How long its list is, as the server said before.
    """

    query: Query
    id: int = 0
    start: Checkpoint | None = None
    pages: int = 0
    items: int = 0
    total: int | None = None


@frozen(kw_only=True)
class Row:
    """One item: its model, its place on its page from 1, and its identity."""

    position: int
    item_id: str
    item: Any


@frozen(kw_only=True)
class Fetched:
    """One answer: a page of a list, or a detail.

    Attributes:
        job: What it belongs to.
        page: Number of the page; 1 for a detail.
        rows: What is new on it.
        duplicates: How many of its items had come before.
        total: How many items the list has, as the server says.
        next_page: The page to go on with; None at the end of the list.
        next_offset: How many of that page's items have been taken.
        request_id: The server's id of the answer.
        retrieved_at: When it came, in Unix seconds.
    """

    job: Job
    page: int
    rows: tuple[Row, ...]
    duplicates: int = 0
    total: int | None = None
    next_page: int | None = None
    next_offset: int = 0
    request_id: str | None = None
    retrieved_at: float


@frozen(kw_only=True)
class Finished:
    """A query is answered in full; `reason` is the pager's `stop_reason`."""

    job: Job
    reason: str


@frozen(kw_only=True)
class Failed:
    """A query can't be answered.

    Attributes:
        job: What it belongs to.
        page: The page that could not be had.
        error: Why.
        final: Whether that is settled; else the next run goes on with it.
    """

    job: Job
    page: int
    error: KeyAPIError
    final: bool = True


Event: TypeAlias = Fetched | Finished | Failed


@define
class Progress:
    """Running counts of one crawl; read them at any time.

    Attributes:
        queries: Queries in all, those done before and details found so far included.
        done: Queries answered.
        failed: Queries that failed.
        pages: Answers that came in this run.
        pages_expected: Answers this run should come to, by known and usual totals.
        items: Items that came in this run.
        duplicates: Items dropped because their list had them before.
    """

    queries: int = 0
    done: int = 0
    failed: int = 0
    pages: int = 0
    pages_expected: int = 0
    items: int = 0
    duplicates: int = 0


class Keeper(Protocol):
    """Hands out jobs and takes in what comes of them."""

    async def take(self) -> Job | None:
        """The next job; None if there is none at the moment."""
        ...

    async def keep(self, event: Event) -> int:
        """Take in what happened; returns how many new jobs that made.

        Returns only when it is safe: stored, or in the hands of the caller.
        """
        ...
