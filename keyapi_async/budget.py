"""Credits: what a request costs, and hard limits on what is spent."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from contextlib import suppress
from typing import Final

from .errors import CreditBudgetError, ParameterError
from .retry import to_float

CREDITS_PER_REQUEST: Final = 2
"""What KeyAPI documents: every successful request costs two credits."""


class CreditBudget:
    """A hard limit on credits, for one client or shared by several of a process.

    What may have been billed counts as spent. What is only queued counts nothing: credits are
    reserved when an attempt is about to be sent.

    Given to a client with `share=`, one with `per` is one budget for all processes that share.

    Args:
        credits: Never spend more.
        per: Seconds of a rolling window that `credits` are for; by default, for good.

    Raises:
        ParameterError: A value can't be right.
    """

    def __init__(self, credits: int, per: float | None = None) -> None:  # noqa: A002 - its name
        if isinstance(credits, bool) or not isinstance(credits, int) or credits < 0:
            raise ParameterError("credits", credits, "a whole number of at least 0")
        if per is not None and not to_float(per) > 0:
            raise ParameterError("per", per, "a number of seconds above 0")
        self.credits = credits
        self.per = per
        self._reserved = 0
        self._committed = 0
        self._shared_remaining = credits
        self._entries: deque[tuple[float, int]] = deque()
        self._waiters: dict[asyncio.Future[None], asyncio.AbstractEventLoop] = {}
        self._lock = threading.Lock()

    @property
    def remaining(self) -> int:
        """Credits that may be spent now; those of requests under way are not among them.

        Of a budget that processes share, as it was when this one last sent a request.
        """
        with self._lock:
            self._roll()
            left = max(self.credits - self._committed - self._reserved, 0)
            return min(left, self._shared_remaining)

    def note(self, remaining: int) -> None:
        """Note what the processes that share it have left."""
        self._shared_remaining = remaining

    def reset(self) -> None:
        """Begin anew: forget what was spent (what other processes know of it, they still count)."""
        with self._lock:
            self._entries.clear()
            self._committed = 0
            self._shared_remaining = self.credits
        self._wake()

    def __repr__(self) -> str:
        per = "" if self.per is None else f" per {self.per:g} s"
        return f"<CreditBudget {self.remaining} of {self.credits}{per} remaining>"

    async def wait(self) -> None:
        """Wait until there is room for a request, while that depends on those under way.

        Raises:
            CreditBudgetError: It would pass the budget whatever becomes of them.
        """
        loop = asyncio.get_running_loop()
        while True:
            with self._lock:
                if self._has_room():
                    return
                if (error := self._excess()) is not None:
                    raise error
                waiter = loop.create_future()
                self._waiters[waiter] = loop
                room_in = self._room_in()
            try:
                await asyncio.wait([waiter], timeout=room_in)
            finally:
                self._waiters.pop(waiter, None)

    def reserve(self) -> bool:
        """Reserve the price of one request, if there is room for it."""
        with self._lock:
            if not self._has_room():
                return False
            self._reserved += CREDITS_PER_REQUEST
            return True

    def settle(self, *, free: bool) -> None:
        """Take the price of a request that has ended for spent, or give it back."""
        with self._lock:
            self._reserved -= CREDITS_PER_REQUEST
            if not free:
                self._committed += CREDITS_PER_REQUEST
                if self.per is not None:
                    self._entries.append((_now(), CREDITS_PER_REQUEST))
        self._wake()

    def _wake(self) -> None:
        """Let all that wait look again; they may be of other threads and loops."""
        for waiter, loop in [*self._waiters.items()]:
            with suppress(RuntimeError):  # that loop is closed
                loop.call_soon_threadsafe(_finish, waiter)

    def _excess(self) -> CreditBudgetError | None:
        """What to raise where one more request would pass the budget whatever happens."""
        if self._committed + CREDITS_PER_REQUEST <= self.credits:
            return None
        per = "" if self.per is None else f" per {self.per:g} s"
        error = CreditBudgetError(
            f"one more request could pass max_credits={self.credits}{per}: "
            f"{self._committed} are spent or at risk"
        )
        error.retry_after = self._room_in()
        return error

    def _has_room(self) -> bool:
        self._roll()
        return self._committed + self._reserved + CREDITS_PER_REQUEST <= self.credits

    def _roll(self) -> None:
        """Forget what has left the window."""
        if self.per is None:
            return
        now = _now()
        while self._entries and self._entries[0][0] + self.per <= now:
            self._committed -= self._entries.popleft()[1]

    def _room_in(self) -> float | None:
        """Seconds until the oldest request leaves the window: one takes its place; None without."""
        oldest = next(iter(self._entries), None)
        return None if oldest is None else oldest[0] + (self.per or 0.0) - _now()


def _finish(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)


def _now() -> float:
    """The loop's clock; it is `time.monotonic` but for a test's."""
    try:
        return asyncio.get_running_loop().time()
    except RuntimeError:
        return time.monotonic()
