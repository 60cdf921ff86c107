"""What a client and those made of it by `with_options` share: connections, pace, life."""

from __future__ import annotations

import asyncio
import copy
import logging
import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from attrs import define, field

from .budget import CreditBudget
from .cache import ResponseCache
from .errors import (
    ClientClosedError,
    DeadlineError,
    InvalidResponseError,
    KeyAPIError,
    RateLimitError,
)
from .pacing import Pacer, Slot
from .protocol import Answer, redact
from .queries import Query
from .retry import Failure, RetryBudget, RetryPolicy
from .usage import RequestEvent

if TYPE_CHECKING:
    from .transport import Transport

logger = logging.getLogger("keyapi_async")
logger.addHandler(logging.NullHandler())  # silent, unless the program configures logging


@define(eq=False, repr=False)
class Call:
    """One call in progress: what its attempts share.

    Attributes:
        query: What is asked.
        params: The same as the wire has it.
        policy: When to try again.
        began: When it began, by the loop's clock.
        deadline: Seconds it may take; None for no limit.
        attempts: How many attempts were made.
        retries: How many of them after each kind of failure.
        refused_since: When it was first refused with 429.
        verdict: What ended it while it waited.
        last_error: What its last attempt failed with.
        maybe_billed: Whether an attempt may have cost credits.
        answer: What came of it.
    """

    query: Query[Any]
    params: dict[str, str]
    policy: RetryPolicy
    began: float
    deadline: float | None = None
    attempts: int = 0
    retries: dict[Failure, int] = field(factory=dict)
    refused_since: float | None = None
    verdict: KeyAPIError | None = None
    last_error: KeyAPIError | None = None
    maybe_billed: bool = False
    answer: Answer[Any] | None = None

    @property
    def expires(self) -> float:
        """When its time is up, by the loop's clock."""
        return math.inf if self.deadline is None else self.began + self.deadline

    def too_late(self, wait: float | None) -> DeadlineError:
        """What to raise when its time is up, or will be before what must be waited is over."""
        last = self.last_error
        why = "" if wait is None else f"; it would have to wait for {wait:.3g} s"
        why += "" if last is None else f"; the last attempt: {last}"
        error = DeadlineError(f"no answer within the deadline of {self.deadline:g} s{why}")
        error.last_error = last
        error.retry_after = getattr(last, "retry_after", None) if wait is None else wait
        return error

    def describe(self, error: KeyAPIError, secret: str) -> None:
        """Tell an error which call it ended."""
        error.endpoint = self.query.path
        error.params = self.params
        error.attempts = error.attempts or self.attempts
        error.maybe_billed = error.maybe_billed or self.maybe_billed
        if self.answer is not None and isinstance(error, InvalidResponseError):
            error.status = self.answer.status
            error.request_id = self.answer.request_id
            error.body = redact(self.answer.body, secret)


class Pool:
    """One pool of connections to one API with one key, under one pace.

    Args:
        transport: Does the HTTP.
        pacer: Gives each attempt its slot.
        on_event: Told of attempts, retries, pauses and changes of pace.
    """

    def __init__(
        self,
        transport: Transport,
        pacer: Pacer,
        on_event: Callable[[RequestEvent], None] | None = None,
    ) -> None:
        self.transport = transport
        self.pacer = pacer
        self.retry_budget = RetryBudget()
        self.closed = False
        self.last_pace = pacer.pace
        self.caches: set[ResponseCache] = set()
        pacer.on_pause = self._end_hopeless
        self._on_event = on_event
        self._loop: asyncio.AbstractEventLoop | None = None
        self._waiting: dict[asyncio.Timeout, Call] = {}
        # Until one of our own is refused, a pause is one that another process had to begin.
        self._refusal = RateLimitError("refused in a process that shares the pace", status=429)
        self._is_draining = False
        self._calls = 0
        self._idle = asyncio.Event()

    # -- life ----------------------------------------------------------------------------------

    def enter(self) -> None:
        """Count a call that begins.

        Raises:
            ClientClosedError: None may begin any more, or not in this event loop.
        """
        if self._is_draining:
            raise ClientClosedError("the client is closed; make a new one")
        self.check_open()
        self._calls += 1

    def leave(self) -> None:
        """Count a call that has ended."""
        self._calls -= 1
        if not self._calls:
            self._idle.set()

    def check_open(self) -> None:
        """Refuse to go on when closed, or in another event loop.

        Raises:
            ClientClosedError: That is so.
        """
        loop = asyncio.get_running_loop()
        self._loop = self._loop or loop
        if self.closed:
            raise ClientClosedError("the client is closed; make a new one")
        if loop is not self._loop:
            raise ClientClosedError(
                "the client belongs to another event loop; make one client per loop"
            )

    async def close(self, drain: float) -> None:
        """Close what is ours; calls still waiting or under way fail with ClientClosedError.

        Args:
            drain: Seconds that they are given to end before.
        """
        loop = self._loop
        if loop is not None and loop is not asyncio.get_running_loop() and not loop.is_closed():
            raise ClientClosedError("close the client in the event loop that it was used in")
        self._is_draining = True
        if drain and self._calls:
            self._idle.clear()
            try:
                async with asyncio.timeout(drain):
                    await self._idle.wait()
            except TimeoutError:
                pass
        self.closed = True
        if loop is None or not loop.is_closed():
            self.end_waiting(ClientClosedError("the client was closed"))
            await self.transport.close()
            await self.pacer.close()
        for cache in self.caches:
            await cache.close()

    # -- waiting -------------------------------------------------------------------------------

    async def acquire(
        self, call: Call, wait: float, priority: float, budgets: Sequence[CreditBudget]
    ) -> Slot:
        """Wait for the budgets, a backoff and a slot, unless a verdict ends that.

        Args:
            call: Who waits.
            wait: Seconds of the backoff.
            priority: Its place in the queue.
            budgets: They must have room for it.

        Raises:
            KeyAPIError: The verdict; or it would have to wait for too long.
        """
        self.check_open()
        if (verdict := self._too_long(call)) is not None:
            raise verdict
        if call.deadline is not None:
            least = max(wait, self.pacer.least_wait(priority))
            if asyncio.get_running_loop().time() + least > call.expires:
                raise call.too_late(least)
        waiting = asyncio.timeout(None)  # no time limit: `end_waiting` ends the wait by it
        self._waiting[waiting] = call
        try:
            async with waiting:
                for budget in budgets:
                    await budget.wait()
                if wait:
                    await asyncio.sleep(wait)
                slot = await self.pacer.acquire(priority)
        except TimeoutError:
            if call.verdict is None:
                raise  # a lent limiter's own
            raise call.verdict from None
        finally:
            del self._waiting[waiting]
        if call.verdict is not None:  # it came in the very moment of the slot
            await self.pacer.give_back(slot)
            raise call.verdict
        return slot

    def end_waiting(self, verdict: KeyAPIError, path: str | None = None) -> None:
        """End every call that is waiting at this moment (of one endpoint, or of all)."""
        for waiting, call in self._waiting.items():
            if path in (None, call.query.path):
                self._end(waiting, call, verdict)

    def _end(self, waiting: asyncio.Timeout, call: Call, verdict: KeyAPIError) -> None:
        if call.verdict is None:
            call.verdict = copy.copy(verdict)  # now: the verdict's own call adds to it later
            waiting.reschedule(asyncio.get_running_loop().time())

    # -- pauses --------------------------------------------------------------------------------

    async def pause(self, call: Call, refusal: RateLimitError, slot: Slot) -> float | None:
        """Make every call wait after a 429, or end it where that is too long for it.

        Returns:
            Seconds of the pause, or None if this 429 belongs to a pause already begun.
        """
        self._refusal = copy.copy(refusal)
        return await self.pacer.pause(slot, refusal.retry_after, call.policy.pause)

    def _end_hopeless(self) -> None:
        """End the calls that are waiting and that the pause is too long for."""
        for waiting, call in self._waiting.items():
            if (verdict := self._too_long(call)) is not None:
                self._end(waiting, call, verdict)

    def _too_long(self, call: Call) -> KeyAPIError | None:
        """What ends a call that the pause is too long for, by its policy or its deadline."""
        left = self.pacer.pause_left()
        # Clock readings are off by less than a millisecond.
        if left > call.policy.max_wait + 0.001:
            verdict = copy.copy(self._refusal)
            verdict.retry_after = left
            return verdict
        return call.too_late(left) if self.pacer.paused_until > call.expires else None

    # -- telling -------------------------------------------------------------------------------

    @property
    def is_watched(self) -> bool:
        """Whether anybody wants to be told of events."""
        return self._on_event is not None or logger.isEnabledFor(logging.DEBUG)

    def tell(self, event: RequestEvent) -> None:
        """Log an event, and call whoever wants to know."""
        logger.debug("%s", event)
        if self._on_event is not None:
            try:
                self._on_event(event)
            except Exception:
                logger.exception("on_event failed; the request goes on")
