"""Who keeps what a crawl fetches: a store, or the caller of a stream."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

from keyapi_async.queries import ListQuery, Query
from keyapi_async.usage import Usage

from .errors import FailedQuery
from .jobs import Event, Failed, Fetched, Job
from .plan import Plan, details_of
from .store import Store

GATHER: Final = 0.05
"""Seconds to gather pages for one transaction, as each costs a commit and two turns of threads.

No worker is short of time: there are enough of them for answers that take much longer.
"""

_T = TypeVar("_T")

CHUNK: Final = 64
"""So many pending lists are read from the store at once."""


class StoreKeeper:
    """Keeps what comes in a store, and takes the jobs from it.

    SQLite works in a thread of its own. What comes within a moment, and while it commits, goes
    into one transaction: at a high pace that saves most of its work.

    Args:
        store: The store, with its run begun.
        usage: The client's counts, to be stored along.
    """

    def __init__(self, store: Store, usage: Usage) -> None:
        self._store = store
        self._usage = usage
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="keyapi-store")
        self._waiting: list[tuple[Event, asyncio.Future[int]]] = []
        self._writer: asyncio.Task[None] | None = None
        self._jobs: deque[Job] = deque()
        self._asking = asyncio.Lock()
        self._after = 0
        self._more = True
        self._in_hand = 0

    async def take(self) -> Job | None:
        """The next pending list of the store."""
        async with self._asking:
            if not self._jobs and self._more:
                # Whatever is added from here on will set it again.
                self._more = False
                found = await self.call(self._store.jobs, self._after, CHUNK)
                self._jobs.extend(found)
                self._after = found[-1].id if found else self._after
                self._more = self._more or len(found) == CHUNK
            self._in_hand += bool(self._jobs)
            return self._jobs.popleft() if self._jobs else None

    async def keep(self, event: Event) -> int:
        """Store what happened; returns when it is durable."""
        stored: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._waiting.append((event, stored))
        if self._writer is None:
            self._writer = asyncio.create_task(self._write())
        made = await asyncio.shield(stored)
        self._in_hand -= not isinstance(event, Fetched)
        self._more = self._more or made > 0
        return made

    async def close(self) -> None:
        """Finish what is being written."""
        try:
            if self._writer is not None:
                await asyncio.shield(self._writer)
        finally:
            self._thread.shutdown()

    async def call(self, function: Callable[..., _T], *args: object) -> _T:
        """Call a method of the store in its thread."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, function, *args)

    async def _write(self) -> None:
        while self._waiting:
            if len(self._waiting) < self._in_hand:  # else nobody is left to wait for
                await asyncio.sleep(GATHER)
            batch, self._waiting = self._waiting, []
            events = [event for event, _ in batch]
            try:
                made = await self.call(self._store.write, events, self._usage)
            except Exception as error:  # noqa: BLE001 - whoever waits for it is told
                for _, stored in batch:
                    stored.set_exception(error)
                    stored.exception()  # a cancelled worker doesn't ask
            else:
                for (_, stored), count in zip(batch, made, strict=True):
                    stored.set_result(count)
        self._writer = None


class StreamKeeper:
    """Hands what comes to whoever iterates.

    Args:
        plan: The queries, each once.
        with_details: Whether to add the detail of each hashtag and sound.
    """

    def __init__(self, plan: Plan, *, with_details: bool) -> None:
        self.failures: list[FailedQuery] = []
        self._plan = iter(plan)
        self._with_details = with_details
        self._details: deque[Query] = deque()
        # With details, this grows with what is found: a hash is all that is kept of each. Those
        # of the plan come anyway.
        self._met = {hash(query) for query in plan if not isinstance(query, ListQuery)}
        self._ready: asyncio.Queue[tuple[Fetched, asyncio.Future[None]] | None] = asyncio.Queue()

    async def take(self) -> Job | None:
        """The next query: details first, so that few are waiting at any time."""
        if self._details:
            return Job(query=self._details.popleft())
        query = next(self._plan, None)
        return None if query is None else Job(query=query)

    async def keep(self, event: Event) -> int:
        """Hand a page on; returns when it has been taken."""
        if isinstance(event, Failed):
            self.failures.append(FailedQuery(event.job.query, str(event.error)))
        if not isinstance(event, Fetched):
            return 0
        taken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._ready.put_nowait((event, taken))
        await taken
        return self._add_details(event) if self._with_details else 0

    def end(self, _: object = None) -> None:
        """Nothing more will come."""
        self._ready.put_nowait(None)

    async def pages(self) -> AsyncGenerator[Fetched, None]:
        """What comes, as it comes."""
        while (ready := await self._ready.get()) is not None:
            page, taken = ready
            if not taken.done():  # pragma: no branch - cancelled otherwise
                taken.set_result(None)
            yield page

    def _add_details(self, page: Fetched) -> int:
        made = 0
        for query in details_of(page.job.query, (row.item.raw for row in page.rows)):
            if hash(query) not in self._met:
                self._met.add(hash(query))
                self._details.append(query)
                made += 1
        return made
