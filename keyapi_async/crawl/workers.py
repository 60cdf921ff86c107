"""The workers of every crawl: each has one list at a time, all are under the client's pace.

A worker fetches the next page of its list only when the last one is safe, so a crawl that is
killed loses at most one request per worker. The client's pace is first come, first served, so
the lists advance side by side. Only as many of them as there are workers are in memory.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import AsyncGenerator, Awaitable
from contextlib import aclosing
from typing import Any, Final

import attrs

from keyapi_async.client import KeyAPIClient
from keyapi_async.errors import (
    AuthenticationError,
    ClientClosedError,
    CreditBudgetError,
    InsufficientCreditsError,
    KeyAPIError,
    RateLimitError,
    ServerError,
    ShareError,
    TransportError,
)
from keyapi_async.pagination import Pager, StopReason
from keyapi_async.queries import DetailQuery, ListQuery, Query, whole_number

from .database import StoreError
from .jobs import Batch, Clock, Completion, Failure, Job, Options, Outcome, Progress, Sink
from .outage import Outage
from .plan import pages_left

HOPELESS: Final = (
    AuthenticationError,
    InsufficientCreditsError,
    CreditBudgetError,
    RateLimitError,
    ClientClosedError,
    StoreError,
)
"""Errors that every list would meet: they end the crawl."""

PASSING: Final = (TransportError, ServerError)
"""Errors that may pass: the same request may be answered later."""

UNPACED_CONCURRENCY: Final = 64
"""Lists to work on at once where no pace is set."""

MAX_CONCURRENCY: Final = 10_000
"""The most that follows from a pace, however high that is set."""


def choose_concurrency(pace: float | None, wanted: int | None = None) -> int:
    """How many lists to work on at once: as wanted, or enough for answers that take two seconds.

    Raises:
        ParameterError: `wanted` isn't a number of lists.
    """
    if wanted is not None:
        return whole_number("concurrency", wanted, 1)
    if pace is None or math.isinf(pace):
        return UNPACED_CONCURRENCY
    return max(8, math.ceil(min(2 * pace, MAX_CONCURRENCY)))


class Workers:
    """Do the jobs a sink hands out until there are no more.

    Args:
        client: Sends the requests.
        sink: Hands out the jobs, and takes their outcomes.
        options: What is wanted of each list.
        concurrency: How many lists to work on at once.
        keep_going: Go on when a list has failed; else stop once what is under way is safe.
        wait_outage: Seconds to wait for a server that is down.
        progress: Counts to update.
        clock: Tells the time, in Unix seconds.
    """

    def __init__(
        self,
        client: KeyAPIClient,
        sink: Sink,
        options: Options,
        *,
        concurrency: int,
        keep_going: bool,
        wait_outage: float,
        progress: Progress,
        clock: Clock,
    ) -> None:
        self.stopping = False
        self._client = client
        self._sink = sink
        self._options = options
        self._keep_going = keep_going
        self._progress = progress
        self._clock = clock
        self._outage = Outage(wait_outage, progress, lambda: len(self._tasks) - len(self._idle))
        self._error: Exception | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._idle: deque[asyncio.Future[None]] = deque()
        self._made = 0
        self._postponed: deque[Job] = deque()
        self._failed_at: dict[Query[Any], float] = {}  # by the loop's clock
        # A worker that waits for a verdict gives up its permit: so even where there is only one,
        # another list shows whether the list or the server is to blame.
        self._permits = asyncio.Semaphore(concurrency)
        self._count = max(concurrency, 2)

    async def run(self) -> None:
        """Work until all is done, `stop` is called, or an error ends the crawl.

        Raises:
            KeyAPIError: What ended it early.
        """
        self._tasks = [asyncio.create_task(self._work()) for _ in range(self._count)]
        try:
            await asyncio.wait(self._tasks)
        finally:
            self.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._error is not None:
            raise self._error

    def stop(self) -> None:
        """Start nothing new; the requests under way are finished and stored."""
        self.stopping = True
        self._outage.give_up()
        self._wake(len(self._idle))

    def cancel(self) -> None:
        """Cancel the requests under way; what has arrived is stored."""
        self.stop()
        for task in self._tasks:
            task.cancel()

    # -- one worker ----------------------------------------------------------------------------

    async def _work(self) -> None:
        try:
            while not self.stopping:
                made = self._made
                async with self._permits:
                    job = None if self.stopping else await self._take()
                    if job is not None:
                        await self._do(job)
                if job is None and made == self._made and not self.stopping:
                    await self._rest()
        except Exception as error:  # noqa: BLE001 - whatever it is, the others end in good order
            self._error = self._error or error
            self.stop()

    async def _take(self) -> Job | None:
        job = await self._sink.take()
        return job or (self._postponed.popleft() if self._postponed else None)

    async def _rest(self) -> None:
        """Wait while other workers may find details to fetch."""
        if len(self._idle) == len(self._tasks) - 1:
            self.stop()  # no worker is left that could find a job
            return
        waiter = asyncio.get_running_loop().create_future()
        self._idle.append(waiter)
        self._outage.settle()
        await waiter

    def _wake(self, count: int) -> None:
        for _ in range(min(count, len(self._idle))):
            waiter = self._idle.popleft()
            if not waiter.done():  # pragma: no branch - cancelled otherwise, as all of them are
                waiter.set_result(None)

    async def _do(self, job: Job) -> None:
        fetch = _Fetch(self._client, job, self._options, self._clock)
        while True:
            try:
                await self._follow(fetch)
            except HOPELESS:
                raise
            except PASSING as error:
                if isinstance(error, ShareError) and error.permanent:
                    raise
                if await self._try_again(job, error):
                    if fetch.pages or not self._outage.is_probe():
                        continue
                    # Until an answer comes, each probe tries another list.
                    self._postponed.append(job)
                    return
                if not self.stopping:
                    await self._fail(job, fetch.page, error)
            except KeyAPIError as error:
                self._outage.end(fetch.began)  # whatever it says, the server is there
                await self._fail(job, fetch.page, error)
            break
        self._progress.pages_expected += fetch.pages - fetch.expected

    async def _follow(self, fetch: _Fetch) -> None:
        """Hand a job's outcomes to the sink, until the job or the crawl ends."""
        now = asyncio.get_running_loop().time
        async with aclosing(fetch.answers()) as answers:
            fetch.began = now()
            async for answer in answers:
                putting = self._receive(fetch, answer)
                del answer  # where many wait with all their items, garbage collection is dear
                await putting
                if self.stopping and fetch.has_more:
                    return
                fetch.began = now()
        await self._put(fetch.completion())

    def _receive(self, fetch: _Fetch, answer: Any) -> Awaitable[None]:
        batch = fetch.batch(answer)
        self._outage.end(fetch.began)
        self._failed_at.pop(batch.job.query, None)
        self._progress.pages_expected += fetch.count(batch)
        return self._put(batch)

    async def _try_again(self, job: Job, error: KeyAPIError) -> bool:
        failed_before = self._failed_at.get(job.query)
        self._failed_at[job.query] = asyncio.get_running_loop().time()
        self._permits.release()
        try:
            return await self._outage.wait(error, failed_before)
        finally:
            await self._permits.acquire()

    async def _fail(self, job: Job, page: int, error: KeyAPIError) -> None:
        # An error that ends the crawl, but may pass, leaves the list pending.
        is_final = self._keep_going or not isinstance(error, PASSING)
        await self._put(Failure(job=job, page=page, error=error, is_final=is_final))
        if not self._keep_going:
            raise error

    def _put(self, outcome: Outcome) -> Awaitable[None]:
        """Hand on an outcome; awaiting that ends when it is safe."""
        progress = self._progress
        if isinstance(outcome, Batch):
            progress.pages += 1
            progress.items += len(outcome.items)
            progress.duplicates += outcome.duplicates
        progress.done += isinstance(outcome, Completion)
        progress.failed += isinstance(outcome, Failure) and outcome.is_final
        return self._settle(self._sink.put(outcome))

    async def _settle(self, putting: Awaitable[int]) -> None:
        made = await putting
        if made:
            self._progress.queries += made
            self._progress.pages_expected += made
            self._made += made
            self._wake(made)


class _Fetch:
    """One job: the pages of a list by its pager, or one detail.

    After an error, `answers` goes on where they stopped.

    Attributes:
        pages: Answers so far.
        expected: Answers it should come to.
        began: When the request began that is under way, by the loop's clock.
    """

    def __init__(self, client: KeyAPIClient, job: Job, options: Options, clock: Clock) -> None:
        self._trending = client.trending
        self._job = job
        self._options = options
        self._clock = clock
        self.pages = 0
        self.expected = pages_left(job, options)
        self.began = 0.0
        self._duplicates = 0
        self._pager: Pager[Any] | None = None
        if isinstance(job.query, ListQuery):
            self._pager = self._trending.iterate(
                job.query,
                start_page=1 if job.start else job.query.page,
                start=job.start,
                max_items=_subtract(options.max_items, job.items),
                max_pages=_subtract(options.max_pages, job.pages),
            )

    @property
    def page(self) -> int:
        """Number of the page that is being fetched."""
        return (self._pager and self._pager.position()[0]) or 1

    @property
    def has_more(self) -> bool:
        """Whether pages of the list are left."""
        return self._pager is not None and self._pager.position()[0] is not None

    def count(self, batch: Batch) -> int:
        """Count an answer; returns by how much that changes what the job is expected to take."""
        self.pages += 1
        if self.pages > 1 or batch.total is None:
            return 0
        before, job = self.expected, attrs.evolve(batch.job, total=batch.total)
        self.expected = max(pages_left(job, self._options), 1)
        return self.expected - before

    def answers(self) -> AsyncGenerator[Any, None]:
        """The pages that are left of the list, or the detail."""
        return self._detail() if self._pager is None else self._pager.pages()

    def batch(self, answer: Any) -> Batch:
        """What an answer brought."""
        if self._pager is None:
            return Batch(
                job=self._job,
                page=1,
                items=(answer,),
                request_id=answer.request_id,
                retrieved_at=self._clock(),
            )
        next_page, next_offset = self._pager.position()
        before, self._duplicates = self._duplicates, self._pager.duplicates
        return Batch(
            job=self._job,
            page=answer.number,
            items=answer.items,
            duplicates=self._duplicates - before,
            total=answer.total,
            next_page=next_page,
            next_offset=next_offset,
            request_id=answer.request_id,
            retrieved_at=self._clock(),
        )

    def completion(self) -> Completion:
        """What is to be told once there are no more answers."""
        reason = self._pager and self._pager.stop_reason
        return Completion(job=self._job, reason=reason or StopReason.EXHAUSTED)

    async def _detail(self) -> AsyncGenerator[Any, None]:
        query = self._job.query
        assert isinstance(query, DetailQuery)  # noqa: S101 - for the type checkers
        if not self._job.pages:  # else it is stored, and the process was killed just after
            yield await self._trending.detail(query)


def _subtract(limit: int | None, have: int) -> int | None:
    return None if limit is None else max(limit - have, 0)
