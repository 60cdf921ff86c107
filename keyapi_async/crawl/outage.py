"""Tells a server that is down from a list that can't be had, and waits for it to come back."""

from __future__ import annotations

import asyncio
from typing import Final

from keyapi_async.errors import KeyAPIError, TransportError

from .jobs import CrawlError, Progress

FIRST_PROBE: Final = 1.0
"""Seconds from the beginning of an outage to the first probe; doubled after each that fails."""
MAX_PROBE: Final = 60.0


class OutageError(CrawlError):
    """The server was down for longer than `wait_outage`; what is missing is still pending."""


class Outage:
    """What the workers of a crawl know of the server's health.

    One list that fails alone is to blame itself. When a request never left this machine, or two
    lists fail with no success between, it is the server: then nothing is sent but a probe now
    and then, by one worker going on with its list.

    Args:
        limit: Seconds to wait for the server.
        progress: Told that, and until when, everything waits.
    """

    def __init__(self, limit: float, progress: Progress) -> None:
        self._limit = limit
        self._progress = progress
        self._since: float | None = None
        self._delay = FIRST_PROBE
        self._prober: asyncio.Task[object] | None = None
        self._successes = 0
        self._busy = 0
        self._gave_up = False
        self._waiting: dict[asyncio.Task[object] | None, asyncio.Event] = {}

    def end(self) -> None:
        """Note an answer: the server is there."""
        self._successes += 1
        self._since = self._prober = self._progress.outage = None
        self._delay = FIRST_PROBE
        self._wake()

    def settle(self, busy: int) -> None:
        """Note how many workers are busy: the last one has nobody to wait for."""
        self._busy = busy
        self._wake()

    def give_up(self) -> None:
        """Send those who wait away."""
        self._gave_up = True
        self._wake()

    async def wait(self, error: KeyAPIError, busy: int) -> bool:
        """Wait until it is clear what a failure means, and if it is the server, for it.

        Args:
            error: What the request failed with after all its retries.
            busy: How many workers have a list in hand.

        Returns:
            Whether to try again; else the list is to blame, or the crawl is being stopped.

        Raises:
            OutageError: The server was down for too long.
        """
        task = asyncio.current_task()
        self._busy = busy
        self._waiting[task] = changed = asyncio.Event()
        try:
            self._note(error, task)
            successes = self._successes
            while not self._gave_up:
                changed.clear()
                if self._since is None:
                    if successes != self._successes or self._busy <= len(self._waiting):
                        return False
                    await changed.wait()
                elif await self._until_probe(self._since, error, changed):
                    return True
            return False
        finally:
            del self._waiting[task]

    def _note(self, error: KeyAPIError, task: asyncio.Task[object] | None) -> None:
        loop = asyncio.get_running_loop()
        was_never_sent = isinstance(error, TransportError) and not error.maybe_billed
        if self._since is None and (was_never_sent or len(self._waiting) > 1):
            self._since = loop.time()
        elif task is self._prober and task is not None:
            self._prober = None
            self._delay = min(self._delay * 2, MAX_PROBE)
        else:
            return
        self._progress.outage = str(error)
        self._progress.next_probe = loop.time() + self._delay
        self._wake()

    async def _until_probe(self, since: float, error: KeyAPIError, changed: asyncio.Event) -> bool:
        """Wait for the next probe, or the end of the outage; whether to try again."""
        now, successes = asyncio.get_running_loop().time(), self._successes
        if now >= since + self._limit:
            raise OutageError(
                f"the server was down for {self._limit:.0f} s, the last time with: {error}"
            )
        if self._prober is None and now >= self._progress.next_probe:
            self._prober = asyncio.current_task()
            return True
        until = min(self._progress.next_probe, since + self._limit)
        try:
            async with asyncio.timeout_at(None if self._prober else until):
                await changed.wait()
        except TimeoutError:
            pass
        return successes != self._successes

    def _wake(self) -> None:
        for changed in self._waiting.values():
            changed.set()
