"""One page of a list, and the place in a list to go on from."""

from __future__ import annotations

import enum
import json
from functools import lru_cache
from typing import Any, Generic, TypeVar

import msgspec
from attrs import evolve, field, frozen

from .converter import converter, wire_params
from .errors import shown
from .models import Pagination
from .protocol import Answer
from .queries import MAX_LIMIT, ListQuery
from .received import Received, Source, loads, set_path, set_source

T = TypeVar("T")


@frozen(kw_only=True)
class Page(Received, Generic[T]):
    """One page of a list; both shapes of `data.pagination` give the same.

    `raw` is the whole `data`, exactly as received.

    Attributes:
        items: The items, in order.
        number: Number of the page as the server says, from 1.
        size: The page size asked for, as the server echoes it.
        total: How many items the list has, as the server says. A hint: it can be wrong.
        has_more: Whether another page follows.
        request_id: The server's id of the answer.
    """

    items: tuple[T, ...]
    number: int
    has_more: bool
    size: int | None = None
    total: int | None = None
    request_id: str | None = None

    def having(self, items: tuple[T, ...]) -> Page[T]:
        """The same page with some of its items."""
        return evolve(self, items=items).made_from(*self.origin)


def page_from(answer: Answer[Any], list_key: str) -> Page[Any]:
    """Make the page of an answer.

    Args:
        answer: The answer.
        list_key: Where in its data the items are.
    """
    items = getattr(answer.data, list_key)
    place: Pagination = answer.data.pagination
    source = Source(answer.body)
    for item, path in zip(items, _paths(list_key, len(items)), strict=True):
        set_source(item, source)
        set_path(item, path)
    return Page(
        items=items,
        number=place.page,
        size=place.limit if place.size is None else place.size,
        total=place.total_count if place.total is None else place.total,
        has_more=place.has_more,
        request_id=answer.request_id,
    ).made_from(source)


@lru_cache(maxsize=64)
def _usual_paths(list_key: str, count: int) -> tuple[tuple[str, int], ...]:
    return tuple((list_key, position) for position in range(count))


def _paths(list_key: str, count: int) -> tuple[tuple[str, int], ...]:
    """Where in the data the items are: the same tuples for all pages, a kilobyte less for each."""
    make = _usual_paths if count <= MAX_LIMIT else _usual_paths.__wrapped__
    return make(list_key, count)


class StopReason(enum.StrEnum):
    """Why a pager ended."""

    EXHAUSTED = "exhausted"
    MAX_ITEMS = "max_items"
    MAX_PAGES = "max_pages"
    EMPTY_PAGE = "empty_page"


@frozen(kw_only=True)
class Checkpoint:
    """A place in a list: `str()` writes it down, `Checkpoint.parse` reads it back.

    Attributes:
        path: Path of the endpoint.
        params: The query parameters without `page`, as strings.
        page: Number of the page to fetch next; None when the list had ended.
        offset: How many items of that page have been yielded.
        seen: Ids of the items yielded so far, which dedupe must know.
    """

    path: str
    params: dict[str, str] = field(hash=False)
    page: int | None
    offset: int = 0
    seen: tuple[str, ...] = ()

    def __str__(self) -> str:
        return json.dumps(converter.unstructure(self), separators=(",", ":"))

    @classmethod
    def parse(cls, text: str) -> Checkpoint:
        """Read a checkpoint.

        Raises:
            ValueError: The text is not one.
        """
        try:
            checkpoint = msgspec.convert(loads(text.encode(errors="surrogatepass")), cls)
        except (msgspec.MsgspecError, ValueError, AttributeError):
            checkpoint = None
        if checkpoint is None or not checkpoint.plausible:
            raise ValueError(f"start must be a Checkpoint or its str(), not {shown(text)}")
        return checkpoint

    @property
    def plausible(self) -> bool:
        """Whether page and offset can be a place in a list."""
        return (self.page is None or 1 <= self.page < 2**63) and self.offset >= 0

    def check(self, query: ListQuery) -> None:
        """Make sure that this is a place in the list of `query`.

        Raises:
            ValueError: It was made with another endpoint or other filters.
        """
        if self.path != query.path:
            raise ValueError(f"start is a checkpoint of {self.path}, not of {query.path}")
        ours = filters(query)
        for wire_name in {**ours, **self.params}:
            theirs, mine = self.params.get(wire_name), ours.get(wire_name)
            if theirs != mine:
                name = "page_size" if wire_name == "limit" else wire_name
                raise ValueError(
                    f"start was made with {name}={theirs!r}, which can't go on with {mine!r}"
                )


def filters(query: ListQuery) -> dict[str, str]:
    """The wire parameters of a query but for the page."""
    return {name: value for name, value in wire_params(query).items() if name != "page"}
