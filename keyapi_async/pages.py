"""One page of a list, and the place in a list to go on from."""

from __future__ import annotations

import enum
import json
from typing import Any, Generic, TypeVar

import msgspec
from attrs import field, frozen

from .converter import converter, structure, wire_params
from .errors import InvalidResponseError, shown
from .protocol import Answer, loads
from .queries import ListQuery

T = TypeVar("T")


@frozen(kw_only=True)
class Page(Generic[T]):
    """One page of a list; both shapes of `data.pagination` give the same.

    Attributes:
        items: The items, in order.
        number: Number of the page as the server says, from 1.
        size: The page size asked for, as the server echoes it.
        total: How many items the list has, as the server says. A hint: it can be wrong.
        has_more: Whether another page follows.
        request_id: The server's id of the answer.
        raw: The whole `data`, exactly as received. Not in eq, hash or repr.
    """

    items: tuple[T, ...]
    number: int
    has_more: bool
    size: int | None = None
    total: int | None = None
    request_id: str | None = None
    raw: dict[str, Any] = field(factory=dict, eq=False, repr=False)


@frozen
class _Pagination:
    page: int
    has_more: bool
    size: int | None = None
    limit: int | None = None
    total: int | None = None
    total_count: int | None = None


def object_in(data: object, path: str = "data") -> dict[str, Any]:
    """The JSON object that must be there.

    Raises:
        InvalidResponseError: It is null, empty or something else.
    """
    if not isinstance(data, dict) or not data:
        found = "empty" if data == {} else "null" if data is None else type(data).__name__
        msg = f"{path}: expected an object with content, it is {found}"
        raise InvalidResponseError(msg, path=path)
    return data


def page_from(answer: Answer, query: type[ListQuery], model: type[T]) -> Page[T]:
    """Make the page of an answer.

    Raises:
        InvalidResponseError: The list or its pagination is missing, or a field is wrong.
    """
    data = object_in(answer.data)
    path = f"data.{query.list_key}"
    items = data.get(query.list_key)
    if not isinstance(items, list):
        msg = f"{path}: expected a list, it is {'null' if items is None else type(items).__name__}"
        raise InvalidResponseError(msg, path=path)
    place = structure(
        object_in(data.get("pagination"), "data.pagination"), _Pagination, "data.pagination"
    )
    return Page(
        items=structure(items, tuple[model, ...], path),  # type: ignore[valid-type]
        number=place.page,
        size=place.limit if place.size is None else place.size,
        total=place.total_count if place.total is None else place.total,
        has_more=place.has_more,
        request_id=answer.request_id,
        raw=data,
    )


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
        except (msgspec.MsgspecError, UnicodeEncodeError, AttributeError):
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
