"""The engine of every crawl: a few workers, each with one list at a time, under one pace.

A worker fetches the next page of its list only when the last one is safe, so a crawl that is
killed loses at most one request per worker. The client's pace is first come, first served, so
the lists in hand advance page by page, in turn. Only as many lists as there are workers are in
memory.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from contextlib import aclosing
from typing import Final

import attrs

from keyapi_async.client import KeyAPIClient
from keyapi_async.errors import ServerError, TransportError
from keyapi_async.queries import whole_number

from .fetching import fetch
from .jobs import Event, Failed, Fetched, Finished, Job, Keeper, Options, Progress
from .plan import pages_of, usual_left

UNPACED_CONCURRENCY: Final = 64
"""Lists to work on at once where no pace is set."""

MOST_CONCURRENCY: Final = 10_000
"""The most a pace makes of itself: one set sky-high is no pace."""

MAY_PASS: Final = (TransportError, ServerError)
"""Errors that say nothing of a list: the same request may be answered later."""


def concurrency_for(pace: float, wanted: int | None = None) -> int:
    """How many lists to work on at once: what is wanted, or enough for answers of two seconds.

    Raises:
        ValueError: What is wanted isn't a number of lists.
    """
    if wanted is not None:
        return whole_number("concurrency", wanted, 1)
    if math.isinf(pace):
        return UNPACED_CONCURRENCY
    return max(8, math.ceil(min(2 * pace, MOST_CONCURRENCY)))


class Engine:
    """Does the jobs a keeper hands out until there are no more.

    Args:
        client: Sends the requests.
        keeper: Has the jobs, and takes what comes of them.
        options: What is wanted of each list.
        concurrency: How many lists to work on at once; by default twice the pace, at least 8.
        keep_going: Go on when a list has failed; else stop once what is under way is safe.
        progress: Counts to keep up.
    """

    def __init__(
        self,
        client: KeyAPIClient,
        keeper: Keeper,
        options: Options,
        *,
        concurrency: int | None,
        keep_going: bool,
        progress: Progress,
    ) -> None:
        self.stopping = False
        self._client = client
        self._keeper = keeper
        self._options = options
        self._concurrency = concurrency_for(client.usage.pace, concurrency)
        self._keep_going = keep_going
        self._progress = progress
        self._error: Exception | None = None
        self._workers: list[asyncio.Task[None]] = []
        self._idle: deque[asyncio.Future[None]] = deque()
        self._busy = 0
        self._made = 0

    async def run(self) -> None:
        """Work until all is done, or `stop` is called, or something makes it pointless.

        Raises:
            KeyAPIError: What ended it early.
        """
        self._workers = [asyncio.create_task(self._work()) for _ in range(self._concurrency)]
        try:
            await asyncio.wait(self._workers)
        finally:
            self.cancel()
            await asyncio.gather(*self._workers, return_exceptions=True)
        if self._error is not None:
            raise self._error

    def stop(self) -> None:
        """Begin nothing new; the requests under way are finished and kept."""
        self.stopping = True
        self._wake(len(self._idle))

    def cancel(self) -> None:
        """Give up the requests under way; what has arrived is kept."""
        self.stop()
        for worker in self._workers:
            worker.cancel()

    # -- one worker ----------------------------------------------------------------------------

    async def _work(self) -> None:
        try:
            while (job := await self._take()) is not None:
                try:
                    await self._do(job)
                finally:
                    self._busy -= 1
        except Exception as error:  # noqa: BLE001 - whatever it is, the others end in good order
            self._error = self._error or error
            self.stop()

    async def _take(self) -> Job | None:
        """The next job. Without one a worker waits while others may come upon details."""
        while not self.stopping:
            made = self._made
            job = await self._next()
            if job is not None:
                return job
            if self._made != made:  # pragma: no cover - one came up in that very moment
                continue
            if not self._busy:
                self.stop()  # nobody is left who could make a job
            if self.stopping:
                break
            waiter = asyncio.get_running_loop().create_future()
            self._idle.append(waiter)
            await waiter
        return None

    async def _next(self) -> Job | None:
        # Busy while it asks, or the others might think that all is done.
        self._busy += 1
        job = None
        try:
            job = await self._keeper.take()
        finally:
            self._busy -= job is None
        return job

    def _wake(self, count: int) -> None:
        while count > 0 and self._idle:
            waiter = self._idle.popleft()
            if not waiter.done():  # pragma: no branch - cancelled otherwise, all of them are
                waiter.set_result(None)
                count -= 1

    async def _do(self, job: Job) -> None:
        expected = usual_left(job, self._options)
        pages = 0
        async with aclosing(fetch(self._client, job, self._options)) as events:
            async for happened in events:
                event = self._judged(happened)
                made = await self._keeper.keep(event)
                if isinstance(event, Fetched):
                    pages += 1
                    expected = self._expect(event, expected, pages)
                self._count(event, made)
                if isinstance(event, Failed) and not self._keep_going:
                    raise event.error
                if self.stopping and isinstance(event, Fetched) and event.next_page is not None:
                    break
        self._progress.pages_expected += pages - expected

    def _judged(self, event: Event) -> Event:
        """Leave a list open whose failure ends the crawl but may pass by the next time."""
        if isinstance(event, Failed) and not self._keep_going:
            return attrs.evolve(event, final=not isinstance(event.error, MAY_PASS))
        return event

    # -- counting ------------------------------------------------------------------------------

    def _expect(self, event: Fetched, expected: int, pages: int) -> int:
        """Correct what a list should come to, once it has said how long it is."""
        if pages > 1 or event.total is None:
            return expected
        options = self._options
        all_pages = pages_of(event.job.query, event.total, options.max_items, options.max_pages)
        better = max(all_pages - event.job.pages, 1)
        self._progress.pages_expected += better - expected
        return better

    def _count(self, event: Event, made: int) -> None:
        progress = self._progress
        if isinstance(event, Fetched):
            progress.pages += 1
            progress.items += len(event.rows)
            progress.duplicates += event.duplicates
        progress.done += isinstance(event, Finished)
        progress.failed += isinstance(event, Failed) and event.final
        if made:
            progress.queries += made
            progress.pages_expected += made
            self._made += made
            self._wake(made)
