"""The session layer: every attempt of every call of one client goes through here.

A call is one loop: [deadline -> slot -> budget -> one attempt -> classify], repeated under the
retry policy; before it comes the cache.
"""

from __future__ import annotations

import asyncio
import logging
from functools import lru_cache, partial
from typing import Any, Literal, TypeAlias
from urllib.parse import quote

from attrs import frozen

from .budget import CREDITS_PER_REQUEST, CreditBudget
from .cached_calls import CallCache
from .converter import wire_params
from .errors import (
    APIError,
    AuthenticationError,
    InsufficientCreditsError,
    InvalidResponseError,
    KeyAPIError,
    PermissionDeniedError,
    RateLimitError,
    ShareError,
)
from .pacing import Slot
from .pool import Call, Pool
from .protocol import Answer, Response, decode, fit
from .queries import Query
from .retry import Failure, RetryPolicy, classify
from .transport import Attempt
from .usage import RequestEvent, Usage

logger = logging.getLogger("keyapi_async")

_Outcome: TypeAlias = Answer[Any] | KeyAPIError

_quote = lru_cache(maxsize=1024)(partial(quote, safe=""))  # a crawl's lists have few values


@frozen(kw_only=True)
class CallOptions:
    """How the calls of one client are made.

    Attributes:
        timeout: Seconds for one attempt.
        deadline: Seconds for a whole call; None for no limit.
        retry: When to try again.
        priority: Which calls go first.
        cache: Where answers are kept; None for nowhere.
    """

    timeout: float
    deadline: float | None = None
    retry: RetryPolicy
    priority: float = 0.0
    cache: CallCache | None = None


class Session:
    """Fetches queries for one client: paced, retried, budgeted, counted.

    Args:
        pool: Connections and pace, shared with others.
        options: How calls are made.
        budget: Limits what these calls may cost, beside the parent's budgets.
        parent: The session this one is made from; what is counted here counts there, too.
    """

    def __init__(
        self,
        pool: Pool,
        options: CallOptions,
        *,
        budget: CreditBudget | None = None,
        parent: Session | None = None,
    ) -> None:
        self.pool = pool
        self.options = options
        self.parent = parent
        self.usage = Usage(pace=pool.pacer.pace)
        # Its own and those of all it is made from.
        self.usages: tuple[Usage, ...] = (self.usage, *(parent.usages if parent else ()))
        budgets = parent.budgets if parent else ()
        if budget is not None and budget not in budgets:
            budgets = (budget, *budgets)
        self.budgets: tuple[CreditBudget, ...] = budgets

    async def fetch(self, query: Query[Any]) -> Answer[Any]:
        """Send a query until it is answered, or the policy gives up.

        Returns:
            The answer, its data in the shape the query says.

        Raises:
            KeyAPIError: Any kind but ConfigurationError, with the details of this call.
        """
        now, deadline = asyncio.get_running_loop().time(), self.options.deadline
        call = Call(query, wire_params(query), self.options.retry, now, deadline)
        self.pool.enter()
        try:
            if deadline is None:
                return await self._answer(call)
            return await self._answer_in_time(call)
        except KeyAPIError as error:
            call.describe(error, self.pool.transport.secret)
            raise
        finally:
            self.pool.leave()

    async def _answer_in_time(self, call: Call) -> Answer[Any]:
        limit = asyncio.timeout_at(call.expires)
        try:
            async with limit:
                return await self._answer(call)
        except TimeoutError as error:
            if not limit.expired() or isinstance(error, KeyAPIError):
                raise
        raise call.too_late(self.pool.pacer.pause_left() or None)

    async def _answer(self, call: Call) -> Answer[Any]:
        cache = self.options.cache
        if cache is None:
            return await self._retry(call)
        answer = await cache.answer(call.query, partial(self._send, call), self.options)
        if answer.from_cache:
            for usage in self.usages:
                usage.cache_hits += 1
        return answer

    async def _send(self, call: Call) -> Answer[Any]:
        """Ask the API; an error tells of this call also to those who joined it."""
        try:
            return await self._retry(call)
        except KeyAPIError as error:
            call.describe(error, self.pool.transport.secret)
            raise

    async def _retry(self, call: Call) -> Answer[Any]:
        query = "&".join([f"{name}={_quote(text)}" for name, text in call.params.items()])
        path_and_query = f"{call.query.path}?{query}"
        wait = 0.0
        while True:
            outcome: _Outcome
            try:
                slot, queued = await self._acquire(call, wait)
            except ShareError as error:
                outcome = error
            else:
                outcome = await self._attempt(call, path_and_query, slot, queued)
            if isinstance(outcome, Answer):
                call.answer = outcome
                return fit(outcome, call.query.shape)
            call.last_error = outcome
            again = self._retry_in(call, outcome)
            if again is None:
                raise outcome
            wait = again

    # -- one attempt ---------------------------------------------------------------------------

    async def _acquire(self, call: Call, wait: float) -> tuple[Slot, float]:
        """Wait until the attempt may be sent, its credits reserved; tells for how long."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        for usage in self.usages:
            usage.waiting += 1
        try:
            while True:
                slot = await self.pool.acquire(call, wait, self.options.priority, self.budgets)
                if self._reserve():
                    return slot, loop.time() - began
                await self.pool.pacer.give_back(slot)
                wait = 0.0
        finally:
            for usage in self.usages:
                usage.waiting -= 1

    async def _attempt(
        self, call: Call, path_and_query: str, slot: Slot, queued: float
    ) -> _Outcome:
        """Send once, settle the credits, tell what happened."""
        call.attempts += 1
        attempt = Attempt(self.pool.transport)
        is_free = False
        for usage in self.usages:
            usage.in_flight += 1
        try:
            received = await attempt.send(path_and_query, self.options.timeout)
            outcome = self._decode(call, received)
            is_free = self._settle(call, outcome, sent=attempt.sent)
        except BaseException:
            is_free = self._settle(call, None, sent=attempt.sent)
            raise
        finally:
            for usage in self.usages:
                usage.in_flight -= 1
            await self.pool.pacer.release(slot, free=is_free)
        elapsed = asyncio.get_running_loop().time() - slot.at
        self._tell(call, "attempt", outcome, elapsed=elapsed, queued=queued)
        await self._apply(call, outcome, slot)
        return outcome

    def _decode(self, call: Call, received: Response | KeyAPIError) -> _Outcome:
        if isinstance(received, KeyAPIError):
            return received
        try:
            return decode(received, call.query.shape, secret=self.pool.transport.secret)
        except (APIError, InvalidResponseError) as error:
            return error.with_traceback(None)  # its frames hold the key, and whatever echoes it

    # -- credits -------------------------------------------------------------------------------

    def _reserve(self) -> bool:
        """Put the price of an attempt at risk, if every budget has room for it."""
        for number, budget in enumerate(self.budgets):
            if not budget.reserve():
                for other in self.budgets[:number]:
                    other.settle(free=True)
                return False
        for usage in self.usages:
            usage.credits_at_risk += CREDITS_PER_REQUEST
        return True

    def _settle(self, call: Call, outcome: _Outcome | None, *, sent: bool) -> bool:
        """Make what was reserved spent or free; where nobody can tell, it stays at risk.

        Returns:
            Whether it is free.
        """
        is_paid = isinstance(outcome, Answer)
        is_free = not is_paid and (
            not sent or (isinstance(outcome, KeyAPIError) and not outcome.maybe_billed)
        )
        is_settled = is_paid or is_free
        for usage in self.usages:
            usage.requests += sent
            usage.retries += sent and call.attempts > 1
            usage.credits_spent += CREDITS_PER_REQUEST * is_paid
            usage.credits_at_risk -= CREDITS_PER_REQUEST * is_settled
        if not is_settled:
            call.maybe_billed = True
        for budget in self.budgets:
            budget.settle(free=is_free)
        return is_free

    # -- what follows --------------------------------------------------------------------------

    async def _apply(self, call: Call, outcome: _Outcome, slot: Slot) -> None:
        """What one outcome means for the other calls."""
        pool = self.pool
        match outcome:
            case Answer():
                pool.retry_budget.refund()
            case RateLimitError():
                for usage in self.usages:
                    usage.rate_limited += 1
                pause = await pool.pause(call, outcome, slot)
                if pause is not None:
                    logger.warning(
                        "429 from %s: all calls pause for %.3g s", call.query.path, pause
                    )
                    self._tell(call, "pause", outcome, wait=pause)
            case AuthenticationError() | InsufficientCreditsError():
                pool.end_waiting(outcome)
            case PermissionDeniedError():
                pool.end_waiting(outcome, path=call.query.path)
            case _:
                pass
        pace = pool.pacer.pace
        for usage in self.usages:
            usage.pace = pace
        if pace != pool.last_pace:
            pool.last_pace = pace
            self._tell(call, "pace", outcome)

    def _retry_in(self, call: Call, error: KeyAPIError) -> float | None:
        """Seconds until the next attempt, or None to give up."""
        policy = call.policy
        failure = classify(error)
        retry_after = error.retry_after if isinstance(error, APIError) else None
        if retry_after is not None and retry_after > policy.max_wait:
            return None
        if failure is Failure.REFUSED:
            now = asyncio.get_running_loop().time()
            call.refused_since = now if call.refused_since is None else call.refused_since
            resumes = max(now, self.pool.pacer.paused_until)
            if resumes - call.refused_since > policy.rate_limit_deadline:
                return None
            wait = 0.0  # the slot comes after the pause, which is everybody's
        else:
            done = call.retries.get(failure, 0)
            # The server doesn't notice what is only about the share.
            is_local = isinstance(error, ShareError)
            if done >= policy.allowed(failure) or not (is_local or self.pool.retry_budget.draw()):
                return None
            call.retries[failure] = done + 1
            wait = policy.wait(done, retry_after)
        self._tell(call, "retry", error, wait=wait)
        return wait

    def _tell(
        self,
        call: Call,
        kind: Literal["attempt", "retry", "pause", "pace"],
        outcome: _Outcome,
        *,
        queued: float | None = None,
        elapsed: float | None = None,
        wait: float | None = None,
    ) -> None:
        if not self.pool.is_watched:
            return
        event = RequestEvent(
            kind=kind,
            endpoint=call.query.path,
            params=call.params,
            attempt=call.attempts,
            pace=self.pool.pacer.pace,
            status=getattr(outcome, "status", None),
            error=None if isinstance(outcome, Answer) else type(outcome).__name__,
            request_id=outcome.request_id,
            queued=queued,
            elapsed=elapsed,
            wait=wait,
        )
        self.pool.tell(event)
