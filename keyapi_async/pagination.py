"""The pager, which follows the pages of a list: loses, repeats and wastes nothing.

The state lives in the pager, not in its generators: a generator that raised is finished, but
iterating the pager again goes on where it stopped.
"""

from __future__ import annotations

import asyncio
import enum
import json
import sys
import weakref
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import aclosing
from operator import attrgetter
from typing import Any, Generic, TypeAlias, TypeVar

import attrs
import msgspec
from attrs import field, frozen

from .converter import filters, get_converter, wire_params
from .errors import PaginationError, ParameterError
from .pages import Page
from .queries import MAX_LIMIT, ItemT, ListQuery, Whole, whole_number
from .raw import attach, loads, source_of

_Y = TypeVar("_Y")
_Claim: TypeAlias = "list[weakref.ref[AsyncGenerator[Any, None]]]"

STALE_PAGES = 2
"""So many pages in a row without a new id mean that the server repeats itself."""


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
        return json.dumps(get_converter().unstructure(self), separators=(",", ":"))

    @classmethod
    def parse(cls, text: str) -> Checkpoint:
        """Read a checkpoint.

        Raises:
            ParameterError: The text is not one.
        """
        try:
            found = msgspec.convert(loads(text.encode(errors="surrogatepass")), cls)
        except (msgspec.MsgspecError, ValueError, AttributeError):
            found = None
        if found and (found.page is None or 1 <= found.page < 2**63) and found.offset >= 0:
            return found
        raise ParameterError("start", text, "a Checkpoint or its str()")


class Pager(Generic[ItemT]):
    """Streams a list: `async for item in pager`, or `async for page in pager.pages()`.

    Nothing is sent until it is iterated. It ends when the server says `has_more: false`, at an
    empty page, or at `max_items` or `max_pages`; `stop_reason` tells which. After an error, or a
    `break`, iterate again to go on with the next item. Close a generator that is left early with
    `contextlib.aclosing`, so that prefetches stop at once.

    A list can change between two of its pages. `dedupe` drops items that moved onto a later
    page; items that moved onto an earlier one can't be seen from here: compare the number of
    items with `total`.

    Attributes:
        total: How many items the list has, as the server said last; None before the first page.
        stop_reason: Why the pager ended; None while it hasn't.
        duplicates: How many items `dedupe` has dropped.

    Raises:
        ParameterError: A value can't be right, or `start` belongs to another list.
    """

    def __init__(
        self,
        fetch: Callable[[ListQuery[ItemT]], Awaitable[Page[ItemT]]],
        query: ListQuery[ItemT],
        *,
        page_size: Whole | None = None,
        start_page: Whole | None = None,
        start: Checkpoint | str | None = None,
        max_items: int | None = None,
        max_pages: int | None = None,
        dedupe: bool = True,
        prefetch: int = 0,
    ) -> None:
        limit = query.limit if page_size is None else page_size
        first = query.page if start_page is None else start_page
        if start is not None and first not in (1, "1"):
            raise ParameterError("start_page", first, "left out where start says where to begin")
        self.total: int | None = None
        self.stop_reason: StopReason | None = None
        self.duplicates = 0
        self._fetch = fetch
        self._id: Callable[[ItemT], str] = attrgetter(query.item_key)
        self._query = attrs.evolve(
            query,
            page=whole_number("start_page", first, 1),
            limit=whole_number("page_size", limit, 1, MAX_LIMIT),
        )
        self._items_left = _at_most("max_items", max_items)
        self._pages_left = _at_most("max_pages", max_pages)
        self._dedupe = dedupe
        self._prefetch = whole_number("prefetch", prefetch, 0)
        # Where it is: the page being read, how far, and what comes after it. A page is let go of
        # once it is read: waiting for the next with its objects in memory costs garbage collection.
        self._page: Page[ItemT] | None = None
        self._offset = 0
        self._next = self._query.page
        self._has_more = True
        self._is_empty = False
        self._seen: dict[str, None] = {}
        self._yielded_before = 0
        self._stale = 0
        self._ahead: dict[int, asyncio.Task[Page[ItemT]]] = {}
        self._iterator: weakref.ref[AsyncGenerator[Any, None]] | None = None
        self._collected: list[ItemT] = []
        if start is not None:
            self._resume(start if isinstance(start, Checkpoint) else Checkpoint.parse(start))

    def __repr__(self) -> str:
        state = self.stop_reason or f"at page {self._next}"
        return f"<Pager of {self._query.name}: {len(self._seen)} items, {state}>"

    def __aiter__(self) -> AsyncGenerator[ItemT, None]:
        """Iterate over the items."""
        return self._iterate(self._follow_items)

    def pages(self) -> AsyncGenerator[Page[ItemT], None]:
        """Iterate over the pages, one for each request.

        `items` of a page has what is new: without duplicates, without what was yielded before,
        cut at `max_items`; `raw` has all.
        """
        return self._iterate(self._follow_pages)

    async def collect(self) -> list[ItemT]:
        """All items that are left. If it raises, what came is kept: call it again to have all."""
        async with aclosing(self.__aiter__()) as items:
            async for item in items:
                self._collected.append(item)
        collected, self._collected = self._collected, []
        return collected

    def checkpoint(self) -> Checkpoint:
        """The place after the last item yielded, for `start` of a pager with the same filters.

        `pages()` yields whole pages: the place is then behind the page your code holds.
        """
        page, offset = self.position()
        return Checkpoint(
            path=self._query.path,
            params=filters(self._query),
            page=page,
            offset=offset,
            seen=tuple(self._seen),
        )

    def position(self) -> tuple[int | None, int]:
        """Page and offset of the checkpoint, for who keeps the ids of the items anyway."""
        if self._is_unread:
            return self._next - 1, self._offset
        done = not self._has_more or self.stop_reason is StopReason.EMPTY_PAGE
        return None if done else self._next, self._offset if self._page is None else 0

    # -- iteration -----------------------------------------------------------------------------

    def _iterate(
        self, follow: Callable[[_Claim], AsyncGenerator[_Y, None]]
    ) -> AsyncGenerator[_Y, None]:
        # A claim is a weak reference: a generator left by `break` is gone at once, and frees it.
        claim: _Claim = []
        generator = follow(claim)
        claim.append(weakref.ref(generator))
        return generator

    async def _follow_items(self, claim: _Claim) -> AsyncGenerator[ItemT, None]:
        try:
            while await self._advance(claim):
                for item in self._unread():
                    yield item
        finally:
            await self._leave(claim)

    async def _follow_pages(self, claim: _Claim) -> AsyncGenerator[Page[ItemT], None]:
        try:
            while await self._advance(claim):
                yield self._rest()
        finally:
            await self._leave(claim)

    def _rest(self) -> Page[ItemT]:
        """The page being read, with what is unread of it."""
        page = self._page
        assert page is not None  # noqa: S101 - for the type checkers
        items = tuple(self._unread())
        if not self._is_unread:
            self._let_go()
        if len(items) < len(page.items):
            source = source_of(page)
            page = attrs.evolve(page, items=items)
            attach(page, source)
        return page

    @property
    def _is_unread(self) -> bool:
        return self._page is not None and self._offset < len(self._page.items)

    def _unread(self) -> Iterator[ItemT]:
        """What of the page is to be yielded; the state moves on with each item."""
        items = self._page.items if self._page is not None else ()
        seen, id_of, dedupe = self._seen, self._id, self._dedupe
        for item in items[self._offset :]:
            if self._items_left <= 0:
                return
            self._offset += 1
            key = id_of(item)
            if dedupe and key in seen:
                self.duplicates += self._offset > self._yielded_before
                continue
            seen[key] = None
            self._items_left -= 1
            yield item

    def _let_go(self) -> None:
        if self._page is not None:
            self._page, self._offset, self._yielded_before = None, 0, 0

    async def _advance(self, claim: _Claim) -> bool:
        """Have a page with something to read, the next one if need be; False at the end."""
        self._hold(claim)
        if self._is_unread and self._items_left > 0:
            return True
        self.stop_reason = self.stop_reason or self._why_stop()
        if self.stop_reason is not None:
            return False
        self._let_go()
        page = self._checked(await self._arrival(self._next))
        self._offset = 0 if self._dedupe else self._offset
        self._page = page
        self._has_more, self._is_empty = page.has_more, not page.items
        self._next += 1
        self._pages_left -= 1
        self.total = page.total
        self._look_ahead(page)
        return True

    def _why_stop(self) -> StopReason | None:
        if not self._is_unread:
            if not self._has_more:
                return StopReason.EXHAUSTED
            if self._is_empty:
                return StopReason.EMPTY_PAGE
        if self._items_left <= 0:
            return StopReason.MAX_ITEMS
        return StopReason.MAX_PAGES if self._pages_left <= 0 else None

    def _checked(self, page: Page[ItemT]) -> Page[ItemT]:
        """Refuse a page that shows that the server doesn't page."""
        stale = page.items and all(self._id(item) in self._seen for item in page.items)
        if page.number != self._next:
            problem = f"asked for page {self._next}, got page {page.number}"
        elif stale and self._stale + 1 >= STALE_PAGES:
            problem = f"{STALE_PAGES} pages up to {page.number} brought no new item"
        else:
            self._stale = self._stale + 1 if stale else 0
            return page
        error = PaginationError(problem)
        error.endpoint = self._query.path
        error.params = wire_params(attrs.evolve(self._query, page=self._next))
        error.request_id = page.request_id
        raise error

    # -- fetching ------------------------------------------------------------------------------

    async def _arrival(self, number: int) -> Page[ItemT]:
        task = self._ahead.get(number)
        if task is None:
            return await self._get(number)
        try:
            return await task
        finally:
            if task.done():
                del self._ahead[number]

    async def _get(self, number: int) -> Page[ItemT]:
        return await self._fetch(attrs.evolve(self._query, page=number))

    def _look_ahead(self, page: Page[ItemT]) -> None:
        """Start fetching the pages that will surely be wanted, as far as `total` is right."""
        if not self._prefetch or not page.has_more or page.total is None:
            return
        limit = self._query.limit
        wanted = max(self._items_left - (len(page.items) - self._offset), 0)
        last = min(
            page.number + self._prefetch,
            page.number + self._pages_left,
            page.number - (-wanted // limit),
            -(-page.total // limit),
        )
        for number in range(page.number + 1, last + 1):
            if number not in self._ahead:
                self._ahead[number] = asyncio.create_task(self._get(number))

    # -- one iterator at a time ----------------------------------------------------------------

    def _hold(self, claim: _Claim) -> None:
        holder = self._iterator() if self._iterator else None
        if holder is None:
            self._iterator = claim[0]
        elif self._iterator is not claim[0]:
            raise RuntimeError("this pager is being iterated already: close the other iterator")

    async def _leave(self, claim: _Claim) -> None:
        if self._iterator is not claim[0]:
            return  # another iteration has begun: what is ahead is its own now
        self._iterator = None
        # Detached before the first await: from here on another iteration may begin, and a second
        # cancellation may cut the wait short; neither may find a cancelled task in `_ahead`.
        ahead, self._ahead = self._ahead, {}
        pending = {n: task for n, task in ahead.items() if not task.done()}
        self._keep(ahead)
        for task in pending.values():
            task.cancel()
        if pending:
            await asyncio.wait(pending.values())
            self._keep(pending)  # what arrived in the very moment has been paid for

    def _keep(self, tasks: dict[int, asyncio.Task[Page[ItemT]]]) -> None:
        for number, task in tasks.items():
            if task.done() and not task.cancelled() and task.exception() is None:
                self._ahead.setdefault(number, task)

    def _resume(self, start: Checkpoint) -> None:
        mine = {"path": self._query.path, **filters(self._query)}
        theirs = {"path": start.path, **start.params}
        for name in {**mine, **theirs}:
            if mine.get(name) != theirs.get(name):
                called = "page_size" if name == "limit" else name
                made = f"it was made with {called}={theirs.get(name)!r}, not {mine.get(name)!r}"
                raise ParameterError("start", str(start), f"of the same list ({made})")
        self._seen = dict.fromkeys(start.seen)
        self._offset = self._yielded_before = start.offset
        if start.page is None:
            self.stop_reason, self._has_more = StopReason.EXHAUSTED, False
        else:
            self._next = start.page


def _at_most(name: str, value: int | None) -> int:
    return sys.maxsize if value is None else whole_number(name, value, 0)
