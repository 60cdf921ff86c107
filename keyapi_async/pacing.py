"""How fast requests leave: aiolimiter's pace, the pause all calls share, and the guard.

The limit of KeyAPI is not documented, so the configured rate is a guess. The guard keeps a wrong
guess from being punished over and over: it steps down after repeated 429s and climbs back.
"""

from __future__ import annotations

import asyncio
import logging
import math
from contextlib import AbstractAsyncContextManager
from typing import Any

from aiolimiter import AsyncLimiter
from attrs import define, frozen

from .retry import DEFAULT_PAUSE

logger = logging.getLogger("keyapi_async")

RELAPSE = 10.0
"""A refusal within so many seconds after a pause is more than a stray one: the pace is cut."""
QUIET = 4.0
"""Seconds without a refusal before the pace goes up; doubled when going up is punished."""
MAX_QUIET = 60.0
RAISE = 1.07
MIN_PAUSE = 0.1
MIN_PACE = 1.0
"""No cut goes below: the pauses themselves slow it down to that."""


def cut_after(seconds: float) -> float:
    """What is left of the pace when it is refused so many seconds after a pause.

    Servers allow a short burst, and then what the limit is: the sooner it is used up, the
    further is the pace above the limit.
    """
    return min(0.4 + 0.5 * seconds, 0.9)


@define(eq=False, repr=False)
class Guard:
    """Finds a pace the server tolerates. Pure: time is an argument.

    Attributes:
        ceiling: The configured rate, never passed.
        pace: The rate of the moment.
        changed_at: When the pace last changed or was last refused.
        quiet: Seconds without a refusal before the next raise.
        probing: Whether the last change was a raise.
    """

    ceiling: float
    pace: float
    changed_at: float = -math.inf
    quiet: float = QUIET
    probing: bool = False

    def refused(self, now: float, resumed_at: float, *, first: bool) -> bool:
        """Note a 429 of a request sent after the last pause. True if the pace was cut.

        Args:
            now: The time.
            resumed_at: When the last pause ended; minus infinity if there was none.
            first: Whether it was the first request after the pause: then the server is still
                refusing everything, which tells nothing about the pace.
        """
        since = now - resumed_at
        punished = self.probing and now - self.changed_at <= RELAPSE
        self.changed_at = now
        self.probing = False
        if punished:
            self.quiet = min(self.quiet * 2, MAX_QUIET)
        elif first or since > RELAPSE:
            return False
        self.pace = max(self.pace * cut_after(since), min(MIN_PACE, self.pace))
        return True

    def climb(self, now: float) -> bool:
        """Raise the pace by a step if it has been quiet long enough. True if it was raised."""
        if self.pace >= self.ceiling or now - self.changed_at < self.quiet:
            return False
        self.pace = min(self.pace * RAISE, self.ceiling)
        self.changed_at = now
        self.probing = True
        return True


@frozen(eq=False, repr=False)
class Slot:
    """The permission to send one request.

    Attributes:
        at: When it was given, by the loop's clock.
        number: Its number since the last pause, from 1.
    """

    at: float
    number: int


class Pacer:
    """Gives each attempt its slot, first come, first served.

    Args:
        qps: Most requests per second; `math.inf` for no pace at all.
        margin: Share of `qps` left unused, for the jitter of the path to the server.
        adaptive: Whether repeated 429s lower the pace.
        limiter: Takes the place of `qps`; entered for each attempt.
    """

    def __init__(
        self,
        qps: float,
        *,
        margin: float,
        adaptive: bool,
        limiter: AbstractAsyncContextManager[Any] | None = None,
    ) -> None:
        self.paused_until = -math.inf
        self._margin = margin
        self._shared = limiter
        unpaced = limiter is not None or math.isinf(qps)
        self._guard = None if unpaced else Guard(ceiling=qps, pace=qps)
        self._adaptive = adaptive
        self._limiter = self._bucket(self._guard.pace) if self._guard else None
        # aiolimiter lets a newcomer overtake a waiter that is just waking; the lock doesn't.
        self._lock = asyncio.Lock()
        self._slots = 0

    @property
    def pace(self) -> float:
        """Requests per second allowed at the moment; infinite where a limiter or nothing rules."""
        return self._guard.pace if self._guard else math.inf

    async def acquire(self) -> Slot:
        """Wait for the permission to send one request; `release` gives it back."""
        loop = asyncio.get_running_loop()
        async with self._lock:
            while True:
                while (wait := self.paused_until - loop.time()) > 0:  # noqa: ASYNC110 - it may grow
                    await asyncio.sleep(wait)
                if self._shared is not None:
                    await self._shared.__aenter__()
                elif self._limiter is not None:
                    await self._paced(self._limiter)
                now = loop.time()
                if now >= self.paused_until:
                    self._slots += 1
                    return Slot(now, self._slots)
                if self._shared is not None:  # it came in a pause: give it back
                    await self._shared.__aexit__(None, None, None)

    async def release(self) -> None:
        """Tell a shared limiter that the request has ended."""
        if self._shared is None:
            return
        try:
            await self._shared.__aexit__(None, None, None)
        except Exception:
            logger.exception("the limiter failed after a request; its answer is kept")

    def refused(self, slot: Slot, retry_after: float | None) -> float | None:
        """Make every call wait after a 429.

        Args:
            slot: That of the refused request.
            retry_after: Seconds the server asks for.

        Returns:
            Seconds of the pause, or None if this 429 belongs to a pause already begun.
        """
        now = asyncio.get_running_loop().time()
        # 0, or a date gone by on a clock that differs, is no reason to go on without a pause.
        until = now + max(retry_after or DEFAULT_PAUSE, MIN_PAUSE)
        if slot.at < self.paused_until:
            if retry_after is not None:
                self.paused_until = max(self.paused_until, until)
            return None
        resumed_at, self.paused_until = self.paused_until, until
        self._slots = 0
        if not self._guard or not self._adaptive:
            return until - now
        if self._guard.refused(now, resumed_at, first=slot.number == 1):
            self._limiter = self._bucket(self._guard.pace)
            logger.warning("refused again: pace cut to %.3g requests/s", self._guard.pace)
        return until - now

    def _bucket(self, pace: float) -> AsyncLimiter:
        rate = (1 - self._margin) * pace
        # One slot, and what wins back the millisecond by which timers are late; aiolimiter's
        # plain N per second would let up to 2N through in the first.
        burst = 1 + 0.001 * pace
        return AsyncLimiter(burst, burst / rate)

    async def _paced(self, limiter: AsyncLimiter) -> None:
        await limiter.acquire()
        now = asyncio.get_running_loop().time()
        if self._adaptive and self._guard and self._guard.climb(now):
            self._limiter = self._bucket(self._guard.pace)
            await self._limiter.acquire()  # the free first slot of the new one is this one
