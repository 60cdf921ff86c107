"""Where the items of a crawl go: into a file, or to the caller who iterates."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Final, TypeVar

import attrs

from keyapi_async.queries import ListQuery
from keyapi_async.usage import Usage

from .jobs import Batch, Entry, FailedQuery, Failure, Job, Options, Outcome, make_entry
from .plan import Plan
from .store import Store

GATHER: Final = 0.05
"""Seconds a page waits for others at most: a transaction costs a commit and two thread switches.

The pace doesn't suffer: there are enough lists for answers that take much longer.
"""

FEW: Final = 2
"""A transaction begins when, but for so many, half of the lists in hand wait for it."""

HEARTBEAT: Final = 0.1
"""Seconds between two checks for usage to store though no answer came."""

CHUNK: Final = 64
"""Pending lists read from the store at once."""

_T = TypeVar("_T")


class FileSink:
    """Stores outcomes in the file, and reads the jobs from it.

    SQLite works in a thread of its own. Outcomes share a transaction: those that arrive while it
    commits the last ones, or close together. Some lists fetch while others are being stored, so
    that neither the network nor the core waits.

    Args:
        store: The store of this run.
        usage: The client's counts, stored with the outcomes.
    """

    def __init__(self, store: Store, usage: Usage) -> None:
        self._store = store
        self._usage = usage
        self._written = attrs.evolve(usage)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="keyapi-store")
        self._waiting: list[tuple[Entry, asyncio.Future[int]]] = []
        self._enough = asyncio.Event()
        self._writer: asyncio.Task[None] | None = None
        self._heartbeat = asyncio.create_task(self._beat())
        self._jobs: deque[Job] = deque()
        self._asking = asyncio.Lock()
        self._after = 0
        self._more = True
        self._in_hand = 0

    async def take(self) -> Job | None:
        """The next pending list of the store."""
        async with self._asking:
            if not self._jobs and self._more:
                # What is added from here on sets it again.
                self._more = False
                found = await self._call(self._store.jobs, self._after, CHUNK)
                self._jobs.extend(found)
                self._after = found[-1].id if found else self._after
                self._more = self._more or len(found) == CHUNK
            self._in_hand += bool(self._jobs)
            return self._jobs.popleft() if self._jobs else None

    def put(self, outcome: Outcome) -> asyncio.Future[int]:
        """Store an outcome; it is done when that is durable."""
        stored: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._waiting.append((make_entry(outcome, self._store.options), stored))
        self._in_hand -= not isinstance(outcome, Batch)
        self._wake()
        return stored

    async def close(self) -> None:
        """Finish what is being written."""
        self._heartbeat.cancel()
        try:
            if self._writer is not None:
                await asyncio.shield(self._writer)
        finally:
            self._thread.shutdown()

    async def _call(self, function: Callable[..., _T], *args: object) -> _T:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, function, *args)

    def _wake(self) -> None:
        if len(self._waiting) + FEW >= self._in_hand / 2:
            self._enough.set()
        if self._writer is None:
            self._writer = asyncio.create_task(self._write())

    async def _beat(self) -> None:
        """Store what was spent without an answer, in case the process is killed."""
        while True:
            await asyncio.sleep(HEARTBEAT)
            if self._written != self._usage:
                self._wake()

    async def _write(self) -> None:
        while self._waiting or self._written != self._usage:
            with suppress(TimeoutError):
                async with asyncio.timeout(GATHER):
                    await self._enough.wait()
            self._enough.clear()
            batch, self._waiting = self._waiting, []
            entries = [entry for entry, _ in batch]
            self._written = attrs.evolve(self._usage)
            try:
                made = await self._call(self._store.write, entries, self._written)
            except Exception as error:  # noqa: BLE001 - raised where it is awaited
                for _, stored in batch:
                    if not stored.done():  # its worker was cancelled
                        stored.set_exception(error)
            else:
                self._more = self._more or any(made)
                for (_, stored), count in zip(batch, made, strict=True):
                    if not stored.done():
                        stored.set_result(count)
        self._writer = None


class StreamSink:
    """Hands batches to the caller who iterates over `batches`.

    Args:
        plan: The queries, each once.
        options: What is wanted of each list.
    """

    def __init__(self, plan: Plan, options: Options) -> None:
        self.failures: list[FailedQuery] = []
        self._plan = iter(plan)
        self._options = options
        self._details: deque[Job] = deque()
        # Details fetched, or in the plan anyway; hashes, as with details this grows and grows.
        self._seen = {hash(query) for query in plan if not isinstance(query, ListQuery)}
        self._ready: asyncio.Queue[tuple[Batch, asyncio.Future[int]] | None] = asyncio.Queue()

    async def take(self) -> Job | None:
        """The next query: details first, so that few of them wait at any time."""
        if self._details:
            return self._details.popleft()
        query = next(self._plan, None)
        return None if query is None else Job(query=query)

    def put(self, outcome: Outcome) -> asyncio.Future[int]:
        """Hand a batch on; it is done when that has been taken."""
        taken: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        if isinstance(outcome, Batch):
            self._ready.put_nowait((outcome, taken))
            return taken
        if isinstance(outcome, Failure):
            self.failures.append(FailedQuery(outcome.job.query, str(outcome.error)))
        taken.set_result(0)
        return taken

    def end(self, _: object = None) -> None:
        """Nothing more will come."""
        self._ready.put_nowait(None)

    async def batches(self) -> AsyncGenerator[Batch, None]:
        """Each batch, as it arrives."""
        while (ready := await self._ready.get()) is not None:
            batch, taken = ready
            if not taken.done():  # pragma: no branch - cancelled otherwise
                taken.set_result(self._add_details(batch))
            yield batch

    def _add_details(self, batch: Batch) -> int:
        if self._options.details is None:
            return 0
        made = 0
        for place, query in batch.details():
            if self._options.wants_detail(place) and hash(query) not in self._seen:
                self._seen.add(hash(query))
                self._details.append(Job(query=query))
                made += 1
        return made
