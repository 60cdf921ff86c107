"""Pages of a list: both shapes of `data.pagination` give the same."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, Generic

from attrs import field, frozen

from .models import Pagination
from .queries import ItemT, ListQuery
from .raw import Received, Source, attach, attach_items, moment

if TYPE_CHECKING:
    from .protocol import Answer


@frozen(kw_only=True, repr=False)
class Page(Received, Generic[ItemT]):
    """One page of a list; both shapes of `data.pagination` give the same.

    `raw` is the whole `data`.

    Attributes:
        items: The items, in order.
        number: Number of the page as the server says, from 1.
        size: The page size asked for, as the server echoes it.
        total: How many items the list has, as the server says. A hint: it can be wrong.
        has_more: Whether another page follows.
        request_id: The server's id of the answer.
        retrieved_at: When it came, in UTC.
        from_cache: Whether it took no request of its own.
    """

    items: tuple[ItemT, ...]
    number: int
    has_more: bool
    size: int | None = None
    total: int | None = None
    request_id: str | None = None
    retrieved_at: datetime | None = field(default=None, eq=False)
    from_cache: bool = field(default=False, eq=False)

    def __repr__(self) -> str:
        of = "" if self.total is None else f" of {self.total}"
        more = ", more to come" if self.has_more else ""
        return f"<Page {self.number}: {len(self.items)} items{of}{more}>"


def page_from(answer: Answer[Any], query: ListQuery[ItemT]) -> Page[ItemT]:
    """Make the page of an answer."""
    items: tuple[ItemT, ...] = getattr(answer.data, query.data_key)
    place: Pagination = answer.data.pagination
    source = Source(answer.body, query.data_key)
    attach_items(items, source)
    page = Page(
        items=items,
        number=place.page,
        size=place.limit if place.size is None else place.size,
        total=place.total_count if place.total is None else place.total,
        has_more=place.has_more,
        request_id=answer.request_id,
        retrieved_at=moment(answer.retrieved_at),
        from_cache=answer.from_cache,
    )
    attach(page, source)
    return page
