"""How fast requests leave: aiolimiter's pace, the pause all calls share, and the guard.

The limit of KeyAPI is not documented, so the configured rate is a guess. The guard keeps a wrong
guess from being punished over and over: it steps down after repeated 429s and climbs back.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import logging
import math
from contextlib import AbstractAsyncContextManager
from typing import Any

from aiolimiter import AsyncLimiter
from attrs import define, frozen

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
    """Gives each attempt its slot: the highest priority first, then first come, first served.

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
        self._slots = 0
        # aiolimiter lets a newcomer overtake a waiter that is just waking: one at a time asks it.
        self._is_asking = False
        self._queue: list[tuple[float, int, asyncio.Future[Slot | None]]] = []
        self._tickets = itertools.count()

    @property
    def pace(self) -> float | None:
        """Requests per second allowed at the moment; None where a limiter rules."""
        if self._shared is not None:
            return None
        return self._guard.pace if self._guard else math.inf

    def pause_left(self) -> float:
        """Seconds until the pause is over."""
        return max(self.paused_until - asyncio.get_running_loop().time(), 0.0)

    def least_wait(self, priority: float) -> float:
        """Seconds that a call of that priority waits at least: for a pause, for those before it."""
        pause = self.pause_left()
        if self._guard is None:
            return pause
        ahead = sum(-place >= priority and not grant.done() for place, _, grant in self._queue)
        return pause + ahead / self._guard.ceiling

    async def acquire(self, priority: float = 0.0) -> Slot:
        """Wait for the permission to send one request; `release` gives it back."""
        if self._is_asking:
            slot = await self._line_up(priority)
            if slot is not None:
                return slot
        self._is_asking = True
        try:
            slot = await self._next_slot()
            # Whoever came meanwhile and goes first takes it, and we ask for another.
            while self._shared is None and self._first_priority() > priority:
                self._give(slot)
                slot = await self._next_slot()
            return slot
        finally:
            self._stop_asking()

    async def _line_up(self, priority: float) -> Slot | None:
        """Wait to be given a slot, or (None) to be the one who asks for the next."""
        grant: asyncio.Future[Slot | None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._queue, (-priority, next(self._tickets), grant))
        try:
            return await grant
        except asyncio.CancelledError:
            if not grant.cancelled():  # it came in the very moment
                slot = grant.result()
                if slot is None:
                    self._stop_asking()
                else:
                    self._pass_on(slot)
            raise

    def _pass_on(self, slot: Slot) -> None:
        """Give the first in the queue a slot that nobody used, unless a pause has begun."""
        if self._first_priority() > -math.inf and not self.pause_left():
            self._give(slot)

    def _first_priority(self) -> float:
        """That of the first in the queue; those who left it are dropped."""
        while self._queue and self._queue[0][2].done():
            heapq.heappop(self._queue)
        return -self._queue[0][0] if self._queue else -math.inf

    def _give(self, slot: Slot | None) -> None:
        """Give the first in the queue a slot, or the right to ask for the next one."""
        heapq.heappop(self._queue)[2].set_result(slot)

    def _stop_asking(self) -> None:
        if self._first_priority() > -math.inf:
            self._give(None)
        else:
            self._is_asking = False

    async def _next_slot(self) -> Slot:
        loop = asyncio.get_running_loop()
        while True:
            while (wait := self.pause_left()) > 0:  # noqa: ASYNC110 - it may grow
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

    async def give_back(self, slot: Slot) -> None:
        """Let somebody else have a slot that was not used."""
        if self._shared is None:
            self._pass_on(slot)
        else:
            await self.release()

    def refused(self, slot: Slot, retry_after: float | None, pause: float) -> float | None:
        """Make every call wait after a 429.

        Args:
            slot: That of the refused request.
            retry_after: Seconds the server asks for.
            pause: Seconds to wait if it asks for none.

        Returns:
            Seconds of the pause, or None if this 429 belongs to a pause already begun.
        """
        now = asyncio.get_running_loop().time()
        # 0, or a date gone by, is no reason to go on without a pause.
        until = now + max(retry_after or pause, min(pause, MIN_PAUSE))
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
