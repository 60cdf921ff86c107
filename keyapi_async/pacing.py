"""How fast requests leave: the queue for slots, and what gives them.

A pace of our own is aiolimiter's; a limiter that was lent, or a pace shared with other processes,
takes its place.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import logging
import math
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Any, Final, Protocol

from attrs import frozen

from .guard import MIN_PAUSE, Guard, Refusal

if TYPE_CHECKING:
    from aiolimiter import AsyncLimiter

logger = logging.getLogger("keyapi_async")

LATE: Final = 0.001
"""Seconds by which asyncio's timers are late."""

STALL: Final = 25e-6
"""Seconds of a stall to make up for, for each request a second: 12 ms at 500/s, as measured."""


def catch_up(pace: float, margin: float) -> float:
    """Seconds' worth of missed slots that may be made up for, at that pace.

    A burst of what a timer is late by costs no server's limit anything. At hundreds of requests
    a second, a stall of the event loop costs many slots: there it is more, but half of what the
    margin leaves unused, so that no second ever has more than the limit; the other half is for
    the jitter of the path.
    """
    return max(LATE, min(pace * STALL, 0.5 * margin))


@frozen(eq=False, repr=False)
class Slot:
    """The permission to send one request.

    Attributes:
        at: When it was given, by the loop's clock.
        is_first: Whether it was the first after a pause.
        reservation: What names the credits reserved with it; None if none were.
    """

    at: float
    is_first: bool = False
    reservation: str | None = None


class Limit(Protocol):
    """What gives slots.

    Attributes:
        pace: Requests per second of the moment; None if nobody can tell.
        is_transferable: Whether one call may use the slot that was given to another.
    """

    @property
    def pace(self) -> float | None: ...  # noqa: D102 - see the class
    @property
    def is_transferable(self) -> bool: ...  # noqa: D102

    async def acquire(self) -> Slot | None:
        """Wait until one request may be sent; None if another process has begun a pause."""
        ...

    async def release(self, slot: Slot, *, free: bool) -> None:
        """Note that its request has ended, and whether it has cost nothing."""
        ...

    async def pause(self, refusal: Refusal) -> None:
        """Take over what the guard made of a 429."""
        ...

    async def close(self) -> None:
        """Let go of what is open."""
        ...


class OwnPace:
    """A pace of this client's own.

    Args:
        guard: Tells the pace.
        margin: Share of it left unused.
    """

    is_transferable = True

    def __init__(self, guard: Guard, margin: float) -> None:
        self._guard = guard
        self._margin = margin
        self._bucket_pace = guard.pace
        self._limiter = None if math.isinf(guard.pace) else self._bucket()
        self._last = -math.inf

    @property
    def pace(self) -> float:
        """Requests per second."""
        return self._guard.pace

    async def acquire(self) -> Slot:
        """Wait for the next slot."""
        loop = asyncio.get_running_loop()
        if self._limiter is not None:
            await self._limiter.acquire()
            if self._guard.climb(loop.time()):
                self._limiter = self._bucket()
                await self._limiter.acquire()  # the free first slot of the new one is this one
        now = loop.time()
        is_first = self._last < self._guard.paused_until <= now
        self._last = now
        return Slot(now, is_first=is_first)

    async def pause(self, refusal: Refusal) -> None:  # noqa: ARG002 - the guard knows
        """Go on at the guard's pace."""
        if self._guard.pace != self._bucket_pace:
            self._limiter = self._bucket()

    async def release(self, slot: Slot, *, free: bool) -> None:
        """Nothing is held."""

    async def close(self) -> None:
        """Nothing is open."""

    def _bucket(self) -> AsyncLimiter:
        # Not at the top: it takes a while to load, and this is the one place.
        from aiolimiter import AsyncLimiter  # noqa: PLC0415

        pace = self._bucket_pace = self._guard.pace
        rate = (1 - self._margin) * pace
        # aiolimiter's plain N per second would let up to 2N through in the first.
        burst = 1 + catch_up(pace, self._margin) * pace
        return AsyncLimiter(burst, burst / rate)


class LentLimiter:
    """A limiter of the program's own, entered for each attempt.

    Args:
        limiter: What to enter.
    """

    pace = None
    is_transferable = False
    """It may hold for the task that entered it."""

    def __init__(self, limiter: AbstractAsyncContextManager[Any]) -> None:
        self._limiter = limiter

    async def acquire(self) -> Slot:
        """Enter it."""
        await self._limiter.__aenter__()
        return Slot(asyncio.get_running_loop().time())

    async def release(self, slot: Slot, *, free: bool) -> None:  # noqa: ARG002
        """Leave it."""
        try:
            await self._limiter.__aexit__(None, None, None)
        except Exception:
            logger.exception("the limiter failed after a request; its answer is kept")

    async def pause(self, refusal: Refusal) -> None:
        """It keeps its own pace."""

    async def close(self) -> None:
        """It is the program's."""


class Pacer:
    """Gives each attempt its slot: the highest priority first, then first come, first served.

    Args:
        guard: Pauses, and the pace of the moment.
        limit: Where slots come from.
        adaptive: Whether repeated 429s lower the pace.

    Attributes:
        on_pause: Called when a pause begins.
    """

    def __init__(self, guard: Guard, limit: Limit, *, adaptive: bool) -> None:
        self.on_pause: Callable[[], None] = _nothing
        self._guard = guard
        self._limit = limit
        self._adaptive = adaptive
        # aiolimiter lets a newcomer overtake a waiter that is just waking: one at a time asks it.
        # A share is asked for one slot at a time, too: the next goes to who is first by then.
        self._is_asking = False
        self._queue: list[tuple[float, int, asyncio.Future[Slot | None]]] = []
        self._tickets = itertools.count()

    @property
    def pace(self) -> float | None:
        """Requests per second allowed at the moment; None where a limiter rules."""
        return self._limit.pace

    @property
    def paused_until(self) -> float:
        """When the last pause ended, or ends, by the loop's clock."""
        return self._guard.paused_until

    def pause_left(self) -> float:
        """Seconds until the pause is over."""
        return max(self.paused_until - asyncio.get_running_loop().time(), 0.0)

    def least_wait(self, priority: float) -> float:
        """Seconds that a call of that priority waits at least: for a pause, for those before it."""
        ahead = sum(-place >= priority and not grant.done() for place, _, grant in self._queue)
        return self.pause_left() + ahead / self._guard.ceiling

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
            while self._limit.is_transferable and self._first_priority() > priority:
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
                    await self.give_back(slot)
            raise

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
        while True:
            while (wait := self.pause_left()) > 0:  # noqa: ASYNC110 - it may grow
                await asyncio.sleep(wait)
            slot = await self._limit.acquire()
            if slot is None:
                self.on_pause()
            elif not self.pause_left():
                return slot
            else:
                await self._limit.release(slot, free=True)

    async def release(self, slot: Slot, *, free: bool) -> None:
        """Note that the request of a slot has ended, and whether it has cost nothing."""
        await self._limit.release(slot, free=free)

    async def give_back(self, slot: Slot) -> None:
        """Let somebody else have a slot that was not used, unless a pause has begun."""
        is_wanted = self._limit.is_transferable and self._first_priority() > -math.inf
        if is_wanted and not self.pause_left():
            self._give(slot)
        else:
            await self._limit.release(slot, free=True)

    async def pause(self, slot: Slot, retry_after: float | None, default: float) -> float | None:
        """Make every call wait after a 429.

        Args:
            slot: That of the refused request.
            retry_after: Seconds the server asks for.
            default: Seconds to wait if it asks for none.

        Returns:
            Seconds of the pause, or None if this 429 belongs to a pause already begun.
        """
        # 0, or a date gone by, is no reason to go on without a pause.
        wait = max(retry_after or default, min(default, MIN_PAUSE))
        refusal = Refusal(
            sent_at=slot.at, wait=wait, is_asked=retry_after is not None, is_first=slot.is_first
        )
        before, now = self._guard.pace, asyncio.get_running_loop().time()
        is_new = self._guard.pause(now, refusal, adaptive=self._adaptive)
        self.on_pause()
        await self._limit.pause(refusal)
        if self._guard.pace < before:
            logger.warning("refused again: pace cut to %.3g requests/s", self._guard.pace)
        return wait if is_new else None

    async def close(self) -> None:
        """Let go of what gives the slots."""
        await self._limit.close()


def _nothing() -> None:
    """Nobody wants to know."""
