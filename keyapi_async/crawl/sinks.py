"""Where the items of a crawl go: into a file, or to the caller who iterates."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

import attrs

from keyapi_async.queries import ListQuery
from keyapi_async.usage import Usage

from .jobs import Batch, FailedQuery, Failure, Job, Options, Outcome
from .plan import Plan
from .store import Store

GATHER: Final = 0.05
"""Seconds to gather pages for one transaction: each costs a commit and two thread switches.

The pace doesn't suffer: there are enough workers for answers that take much longer.
"""

HEARTBEAT: Final = 0.1
"""Seconds between two checks for usage to store though no answer came."""

CHUNK: Final = 64
"""Pending lists read from the store at once."""

_T = TypeVar("_T")


class FileSink:
    """Stores outcomes in the file, and reads the jobs from it.

    SQLite works in a thread of its own. Outcomes that arrive close together, or while it commits,
    share a transaction: at a high pace that saves most of the work.

    Args:
        store: The store of this run.
        usage: The client's counts, stored with the outcomes.
    """

    def __init__(self, store: Store, usage: Usage) -> None:
        self._store = store
        self._usage = usage
        self._written = attrs.evolve(usage)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="keyapi-store")
        self._waiting: list[tuple[Outcome, asyncio.Future[int]]] = []
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

    async def put(self, outcome: Outcome) -> int:
        """Store an outcome; returns when it is durable."""
        stored: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._waiting.append((outcome, stored))
        self._wake()
        made = await asyncio.shield(stored)
        self._in_hand -= not isinstance(outcome, Batch)
        self._more = self._more or made > 0
        return made

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
            if len(self._waiting) < self._in_hand:  # else no more outcomes can come
                await asyncio.sleep(GATHER)
            batch, self._waiting = self._waiting, []
            outcomes = [outcome for outcome, _ in batch]
            self._written = attrs.evolve(self._usage)
            try:
                made = await self._call(self._store.write, outcomes, self._written)
            except Exception as error:  # noqa: BLE001 - raised where it is awaited
                for _, stored in batch:
                    stored.set_exception(error)
                    stored.exception()  # a cancelled worker doesn't ask
            else:
                for (_, stored), count in zip(batch, made, strict=True):
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
        self._ready: asyncio.Queue[tuple[Batch, asyncio.Future[None]] | None] = asyncio.Queue()

    async def take(self) -> Job | None:
        """The next query: details first, so that few of them wait at any time."""
        if self._details:
            return self._details.popleft()
        query = next(self._plan, None)
        return None if query is None else Job(query=query)

    async def put(self, outcome: Outcome) -> int:
        """Hand a batch on; returns when it has been taken."""
        if isinstance(outcome, Failure):
            self.failures.append(FailedQuery(outcome.job.query, str(outcome.error)))
        if not isinstance(outcome, Batch):
            return 0
        taken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._ready.put_nowait((outcome, taken))
        await taken
        return self._add_details(outcome) if self._options.details is not None else 0

    def end(self, _: object = None) -> None:
        """Nothing more will come."""
        self._ready.put_nowait(None)

    async def batches(self) -> AsyncGenerator[Batch, None]:
        """Each batch, as it arrives."""
        while (ready := await self._ready.get()) is not None:
            batch, taken = ready
            if not taken.done():  # pragma: no branch - cancelled otherwise
                taken.set_result(None)
            yield batch

    def _add_details(self, batch: Batch) -> int:
        made = 0
        for place, query in batch.details():
            if self._options.wants_detail(place) and hash(query) not in self._seen:
                self._seen.add(hash(query))
                self._details.append(Job(query=query))
                made += 1
        return made
