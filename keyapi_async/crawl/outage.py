"""Tells a server that is down from a list that fails by itself, and waits for the server."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from typing import Final

from attrs import frozen

from keyapi_async.errors import KeyAPIError, ShareError, TransportError

from .jobs import CrawlError, Progress

FIRST_PROBE: Final = 1.0
"""Seconds from the beginning of an outage to the first probe; doubled after each that fails."""
MAX_PROBE: Final = 60.0


class OutageError(CrawlError):
    """The server was down for longer than `wait_outage`; what is missing is still pending."""


@frozen(eq=False)
class _Waiter:
    """A worker whose list failed.

    Attributes:
        verdict: Whether it is to try again.
        since: When its list failed, by the loop's clock.
        is_repeat: Whether the server answered others since the list failed at the same place.
    """

    verdict: asyncio.Future[bool]
    since: float
    is_repeat: bool


class Outage:
    """What the workers of a crawl know of the server's health.

    A list that fails alone is itself to blame. When a request never left this machine, or two
    lists fail with no answer between, it is the server: then nothing is sent but a probe now and
    then, by one worker after another. A list that fails again although the server answered others
    meanwhile says nothing about the server; nor does an answer to what was asked before.

    Args:
        limit: Seconds to wait for the server.
        progress: Told that, and until when, everything waits.
        count_busy: How many workers are not idle; those that wait here are among them.

    Attributes:
        answered: When the latest of the requests began that were answered, by the loop's clock.
    """

    def __init__(self, limit: float, progress: Progress, count_busy: Callable[[], int]) -> None:
        self.answered = -math.inf
        self._limit = limit
        self._progress = progress
        self._count_busy = count_busy
        self._since: float | None = None
        self._delay = FIRST_PROBE
        self._timer: asyncio.TimerHandle | None = None
        self._prober: asyncio.Task[object] | None = None
        self._gave_up = False
        self._waiters: dict[asyncio.Task[object] | None, _Waiter] = {}  # first come first

    def end(self, began: float) -> None:
        """Note an answer to a request that began then: the server has been there since."""
        self.answered = max(self.answered, began)
        if self._since is None:
            self._tell(began, try_again=False)
        elif self._since <= began:
            self._release(try_again=True)

    def is_probe(self) -> bool:
        """Whether the calling worker is to find out if the server is back."""
        return self._prober is not None and self._prober is asyncio.current_task()

    def settle(self) -> None:
        """Blame the lists of those who wait once no busy worker is left to prove otherwise."""
        if self._since is None and self._count_busy() <= len(self._waiters):
            self._release(try_again=False)

    def give_up(self) -> None:
        """Release the waiting workers; none is to try again."""
        self._gave_up = True
        self._release(try_again=False)

    async def wait(self, error: KeyAPIError, failed_before: float | None) -> bool:
        """Wait until it is clear what a failure means, and if it is the server, for it.

        Args:
            error: What the request failed with after all its retries.
            failed_before: When the list failed at this place before, if it did.

        Returns:
            Whether to try again; else the list is to blame, or the crawl is being stopped.

        Raises:
            OutageError: The server was down for too long.
        """
        if self._gave_up:
            return False
        task = asyncio.current_task()
        loop = asyncio.get_running_loop()
        verdict: asyncio.Future[bool] = loop.create_future()
        is_repeat = failed_before is not None and failed_before <= self.answered
        self._waiters[task] = _Waiter(verdict, loop.time(), is_repeat)
        try:
            self._note(error)
            return await verdict
        finally:
            self._waiters.pop(task, None)

    def _note(self, error: KeyAPIError) -> None:
        was_never_sent = isinstance(error, TransportError) and not error.maybe_billed
        if self._since is not None:
            if self.is_probe():
                self._delay = min(self._delay * 2, MAX_PROBE)
                self._schedule(error, self._since)
        elif was_never_sent or sum(not one.is_repeat for one in self._waiters.values()) > 1:
            self._since = asyncio.get_running_loop().time()
            self._schedule(error, self._since)
        else:
            self.settle()

    def _schedule(self, error: KeyAPIError, since: float) -> None:
        """Have the next probe sent; the last one when the time is up."""
        loop = asyncio.get_running_loop()
        if loop.time() >= since + self._limit:
            what = "what is shared" if isinstance(error, ShareError) else "the server"
            lasted = f"{self._limit:.0f} s"
            raise OutageError(f"{what} was down for {lasted}, the last time with: {error}")
        self._prober = None
        self._progress.outage = str(error)
        self._progress.next_probe = min(loop.time() + self._delay, since + self._limit)
        self._timer = loop.call_at(self._progress.next_probe, self._probe)

    def _probe(self) -> None:
        task, waiter = next(iter(self._waiters.items()))
        del self._waiters[task]
        self._prober = task
        waiter.verdict.set_result(True)

    def _release(self, *, try_again: bool) -> None:
        """End the outage, if there is one, and the wait of all."""
        if self._timer is not None:
            self._timer.cancel()
        self._since = self._timer = self._prober = self._progress.outage = None
        self._delay = FIRST_PROBE
        self._tell(math.inf, try_again=try_again)

    def _tell(self, until: float, *, try_again: bool) -> None:
        """Release those whose lists had failed by then."""
        for task, waiter in [*self._waiters.items()]:
            if waiter.since <= until:
                del self._waiters[task]
                if not waiter.verdict.done():
                    waiter.verdict.set_result(try_again)
