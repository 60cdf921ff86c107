"""The workers of every crawl: each has one list at a time, all are under the client's pace.

A worker fetches the next page of its list only when the last one is safe, so a crawl that is
killed loses at most one request per worker. The client's pace is first come, first served, so
the lists advance side by side. Only as many of them as there are workers are in memory.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import AsyncGenerator
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
    TransportError,
)
from keyapi_async.pagination import Page, Pager, StopReason
from keyapi_async.queries import DetailQuery, ListQuery, whole_number

from .jobs import Batch, Completion, Failure, Job, Options, Outcome, Progress, Sink
from .outage import Outage
from .plan import pages_left

HOPELESS: Final = (
    AuthenticationError,
    InsufficientCreditsError,
    CreditBudgetError,
    RateLimitError,
    ClientClosedError,
)
"""Errors that no list is to blame for, and that every list would meet: they end the crawl."""

PASSING: Final = (TransportError, ServerError)
"""Errors that say nothing of a list: the same request may be answered later."""

UNPACED_CONCURRENCY: Final = 64
"""Lists to work on at once where no pace is set."""

MAX_CONCURRENCY: Final = 10_000
"""The most a pace makes of itself: one set sky-high is no pace."""


def concurrency_for(pace: float, wanted: int | None = None) -> int:
    """How many lists to work on at once: what is wanted, or enough for answers of two seconds.

    Raises:
        ParameterError: What is wanted isn't a number of lists.
    """
    if wanted is not None:
        return whole_number("concurrency", wanted, 1)
    if math.isinf(pace):
        return UNPACED_CONCURRENCY
    return max(8, math.ceil(min(2 * pace, MAX_CONCURRENCY)))


class Workers:
    """Do the jobs a sink hands out until there are no more.

    Args:
        client: Sends the requests.
        sink: Has the jobs, and takes what comes of them.
        options: What is wanted of each list.
        concurrency: How many lists to work on at once; by default twice the pace, at least 8.
        keep_going: Go on when a list has failed; else stop once what is under way is safe.
        wait_outage: Seconds to wait for a server that is down.
        progress: Counts to keep up.
    """

    def __init__(
        self,
        client: KeyAPIClient,
        sink: Sink,
        options: Options,
        *,
        concurrency: int | None,
        keep_going: bool,
        wait_outage: float,
        progress: Progress,
    ) -> None:
        self.stopping = False
        self._client = client
        self._sink = sink
        self._options = options
        self._concurrency = concurrency_for(client.usage.pace, concurrency)
        self._keep_going = keep_going
        self._progress = progress
        self._outage = Outage(wait_outage, progress)
        self._error: Exception | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._idle: deque[asyncio.Future[None]] = deque()
        self._busy = 0
        self._made = 0

    async def run(self) -> None:
        """Work until all is done, or `stop` is called, or something makes it pointless.

        Raises:
            KeyAPIError: What ended it early.
        """
        self._tasks = [asyncio.create_task(self._work()) for _ in range(self._concurrency)]
        try:
            await asyncio.wait(self._tasks)
        finally:
            self.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._error is not None:
            raise self._error

    def stop(self) -> None:
        """Begin nothing new; the requests under way are finished and kept."""
        self.stopping = True
        self._outage.give_up()
        self._wake(len(self._idle))

    def cancel(self) -> None:
        """Give up the requests under way; what has arrived is kept."""
        self.stop()
        for task in self._tasks:
            task.cancel()

    # -- one worker ----------------------------------------------------------------------------

    async def _work(self) -> None:
        try:
            while (job := await self._take()) is not None:
                try:
                    await self._do(job)
                finally:
                    self._busy -= 1
                    self._outage.settle(self._busy)
        except Exception as error:  # noqa: BLE001 - whatever it is, the others end in good order
            self._error = self._error or error
            self.stop()

    async def _take(self) -> Job | None:
        """The next job. Without one a worker waits while others may come upon details."""
        while not self.stopping:
            made = self._made
            # Busy while it asks, or the others might think that all is done.
            self._busy += 1
            job = None
            try:
                job = await self._sink.take()
            finally:
                self._busy -= job is None
            if job is not None:
                return job
            if self._made != made:  # pragma: no cover - one came up in that very moment
                continue
            if not self._busy:
                self.stop()  # nobody is left who could make a job
            if self.stopping:
                break
            self._outage.settle(self._busy)
            waiter = asyncio.get_running_loop().create_future()
            self._idle.append(waiter)
            await waiter
        return None

    def _wake(self, count: int) -> None:
        while count > 0 and self._idle:
            waiter = self._idle.popleft()
            if not waiter.done():  # pragma: no branch - cancelled otherwise, all of them are
                waiter.set_result(None)
                count -= 1

    async def _do(self, job: Job) -> None:
        expected = pages_left(job, self._options)
        pages = 0
        fetch = _Fetch(self._client, job, self._options)
        while True:
            try:
                async with aclosing(fetch.outcomes()) as outcomes:
                    async for outcome in outcomes:
                        if isinstance(outcome, Batch):
                            self._outage.end()
                            pages += 1
                            expected = self._expect(outcome, expected, pages)
                        await self._put(outcome)
                        if self.stopping and isinstance(outcome, Batch) and outcome.next_page:
                            break
            except HOPELESS:
                raise
            except KeyAPIError as error:
                may_pass = isinstance(error, PASSING)
                if may_pass and await self._outage.wait(error, self._busy):
                    continue
                if not may_pass:
                    self._outage.end()  # whatever it says, the server is there
                if not (may_pass and self.stopping):
                    await self._fail(job, fetch.page, error)
            break
        self._progress.pages_expected += pages - expected

    async def _fail(self, job: Job, page: int, error: KeyAPIError) -> None:
        # One that ends the crawl but may pass by the next time is left open.
        is_final = self._keep_going or not isinstance(error, PASSING)
        await self._put(Failure(job=job, page=page, error=error, is_final=is_final))
        if not self._keep_going:
            raise error

    # -- counting ------------------------------------------------------------------------------

    def _expect(self, batch: Batch, expected: int, pages: int) -> int:
        """Correct what a list should come to, once it has said how long it is."""
        if pages > 1 or batch.total is None:
            return expected
        job = attrs.evolve(batch.job, total=batch.total)
        better = max(pages_left(job, self._options), 1)
        self._progress.pages_expected += better - expected
        return better

    async def _put(self, outcome: Outcome) -> None:
        made = await self._sink.put(outcome)
        progress = self._progress
        if isinstance(outcome, Batch):
            progress.pages += 1
            progress.items += len(outcome.items)
            progress.duplicates += outcome.duplicates
        progress.done += isinstance(outcome, Completion)
        progress.failed += isinstance(outcome, Failure) and outcome.is_final
        if made:
            progress.queries += made
            progress.pages_expected += made
            self._made += made
            self._wake(made)


class _Fetch:
    """One job being done: the pages of a list by its pager, or one detail.

    After an error, `outcomes` goes on where it was.

    Attributes:
        page: Number of the page that is being fetched.
    """

    def __init__(self, client: KeyAPIClient, job: Job, options: Options) -> None:
        self._trending = client.trending
        self._job = job
        self._pager: Pager[Any] | None = None
        self.page = 1
        if isinstance(job.query, ListQuery):
            self.page = (job.start and job.start.page) or job.query.page
            self._pager = self._trending.iterate(
                job.query,
                start_page=1 if job.start else job.query.page,
                start=job.start,
                max_items=_left(options.max_items, job.items),
                max_pages=_left(options.max_pages, job.pages),
            )

    def outcomes(self) -> AsyncGenerator[Outcome, None]:
        """A batch for each answer, then the completion."""
        if self._pager is not None:
            return self._list(self._pager)
        assert isinstance(self._job.query, DetailQuery)  # noqa: S101 - for the type checkers
        return self._detail(self._job.query)

    async def _list(self, pager: Pager[Any]) -> AsyncGenerator[Outcome, None]:
        async with aclosing(pager.pages()) as pages:
            duplicates = pager.duplicates
            async for page in pages:
                batch = self._batch(page, pager, pager.duplicates - duplicates)
                duplicates = pager.duplicates
                self.page = batch.next_page or self.page
                yield batch
        yield Completion(job=self._job, reason=pager.stop_reason or StopReason.EXHAUSTED)

    def _batch(self, page: Page[Any], pager: Pager[Any], duplicates: int) -> Batch:
        next_page, next_offset = pager.position()
        return Batch(
            job=self._job,
            page=page.number,
            items=page.items,
            duplicates=duplicates,
            total=page.total,
            next_page=next_page,
            next_offset=next_offset,
            request_id=page.request_id,
            retrieved_at=time.time(),
        )

    async def _detail(self, query: DetailQuery[Any]) -> AsyncGenerator[Outcome, None]:
        if not self._job.pages:  # else it was stored, and the process killed before it said so
            detail = await self._trending.detail(query)
            yield Batch(
                job=self._job,
                page=1,
                items=(detail,),
                request_id=detail.request_id,
                retrieved_at=time.time(),
            )
        yield Completion(job=self._job, reason=StopReason.EXHAUSTED)


def _left(most: int | None, have: int) -> int | None:
    return None if most is None else max(most - have, 0)
