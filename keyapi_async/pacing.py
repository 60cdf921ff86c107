"""How fast requests leave: aiolimiter's pace, the pause all calls share, and the guard.

The limit of KeyAPI is not documented, so the configured rate is a guess. The guard keeps a wrong
guess from being punished over and over: it steps down after repeated 429s and climbs back.
"""

from __future__ import annotations

import asyncio
import logging
import math
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Any, Self

from aiolimiter import AsyncLimiter
from attrs import define

from .retry import DEFAULT_PAUSE

logger = logging.getLogger("keyapi_async")

CUTS = (0.9, 0.7, 0.5)
"""What is left of the pace after the first, second and any further cut in a row."""
RELAPSE = 10.0
"""Seconds within which a second refusal is more than a stray one, and cuts the pace."""
QUIET = 5.0
"""Seconds without a refusal before the pace goes up again; doubled when a raise is punished."""
MAX_QUIET = 60.0
RAISE = 1.05


@define
class Guard:
    """Finds a pace the server tolerates. Pure: time is an argument.

    Attributes:
        ceiling: The configured rate, never passed.
        pace: The rate of the moment.
        cuts: Cuts since the last raise.
        refused_at: When the last refusal was, if any.
        changed_at: When the pace last changed or was last refused.
        quiet: Seconds without a refusal before the next raise.
        probing: Whether the last change was a raise.
    """

    ceiling: float
    pace: float
    cuts: int = 0
    refused_at: float = -math.inf
    changed_at: float = -math.inf
    quiet: float = QUIET
    probing: bool = False

    def refused(self, now: float) -> bool:
        """Note a 429 of a request sent after the last pause. True if the pace was cut."""
        relapse = now - self.refused_at < RELAPSE
        self.refused_at = self.changed_at = now
        if self.probing:
            self.quiet = min(self.quiet * 2, MAX_QUIET)
        if not relapse and not self.probing:
            return False
        self.pace *= CUTS[min(self.cuts, len(CUTS) - 1)]
        self.cuts += 1
        self.probing = False
        return True

    def climb(self, now: float) -> bool:
        """Raise the pace by a step if it has been quiet long enough. True if it was raised."""
        if self.pace >= self.ceiling or now - self.changed_at < self.quiet:
            return False
        self.pace = min(self.pace * RAISE, self.ceiling)
        self.changed_at = now
        self.cuts = 0
        self.probing = True
        return True


class Pacer(AbstractAsyncContextManager["Pacer"]):
    """Gives each attempt its turn, first come, first served: `async with pacer: send`.

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
        self._guard = Guard(ceiling=qps, pace=qps) if limiter is None else None
        self._adaptive = adaptive
        self._limiter = self._bucket()
        # aiolimiter lets a newcomer overtake a waiter that is just waking; the lock doesn't.
        self._turn = asyncio.Lock()

    @property
    def pace(self) -> float:
        """Requests per second allowed at the moment; infinite where a shared limiter rules."""
        return self._guard.pace if self._guard else math.inf

    async def __aenter__(self) -> Self:
        async with self._turn:
            await self._pause()
            while True:
                if self._shared is not None:
                    await self._shared.__aenter__()
                elif self._limiter is not None:
                    await self._paced(self._limiter)
                if not await self._pause():
                    return self
                if self._shared is not None:  # its turn came in a pause: give it back
                    await self._shared.__aexit__(None, None, None)

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        if self._shared is not None:
            await self._shared.__aexit__(None, None, None)

    def refused(self, sent_at: float, retry_after: float | None) -> float | None:
        """Make every call wait after a 429.

        Args:
            sent_at: When the refused request was sent, by the loop's clock.
            retry_after: Seconds the server asks for.

        Returns:
            Seconds of the pause, or None if this 429 belongs to a pause already begun.
        """
        now = asyncio.get_running_loop().time()
        until = now + (DEFAULT_PAUSE if retry_after is None else retry_after)
        if sent_at < self.paused_until:
            if retry_after is not None:
                self.paused_until = max(self.paused_until, until)
            return None
        self.paused_until = until
        if self._guard and self._adaptive and self._guard.refused(now):
            self._limiter = self._bucket()
            logger.warning("refused again: pace cut to %.3g requests/s", self._guard.pace)
        return until - now

    def _bucket(self) -> AsyncLimiter | None:
        if self._guard is None or math.isinf(self._guard.pace):
            return None
        rate = (1 - self._margin) * self._guard.pace
        # A little over one slot wins back what timers, about 1 ms late, would lose; with much
        # more (or aiolimiter's plain N per second) the first second would hold up to 2N.
        burst = max(1.05, 1 + 0.001 * self._guard.pace)
        return AsyncLimiter(burst, burst / rate)

    async def _paced(self, limiter: AsyncLimiter) -> None:
        await limiter.acquire()
        now = asyncio.get_running_loop().time()
        if self._adaptive and self._guard and self._guard.climb(now):
            self._limiter = self._bucket()
            if self._limiter is not None:
                await self._limiter.acquire()  # the free first slot of the new one is this one

    async def _pause(self) -> bool:
        """Wait while a pause lasts; True if there was one."""
        loop = asyncio.get_running_loop()
        paused = False
        while (wait := self.paused_until - loop.time()) > 0:
            paused = True
            await asyncio.sleep(wait)
        return paused
