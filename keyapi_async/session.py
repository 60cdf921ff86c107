"""The session layer: every attempt of every call goes through here.

`fetch` is one loop: [backoff -> budget -> slot -> one attempt -> classify], repeated under the
retry policy.
"""

from __future__ import annotations

import asyncio
import copy
import logging
from collections.abc import Callable
from typing import Any, Literal, TypeAlias
from urllib.parse import quote

from attrs import define, field

from .converter import wire_params
from .errors import (
    APIError,
    AuthenticationError,
    ClientClosedError,
    CreditBudgetError,
    InsufficientCreditsError,
    InvalidResponseError,
    KeyAPIError,
    PermissionDeniedError,
    RateLimitError,
)
from .pacing import Pacer, Slot
from .protocol import Answer, Response, decode, fit, redact
from .queries import Query
from .retry import Failure, RetryBudget, RetryPolicy, classify
from .transport import Attempt, Transport
from .usage import CREDITS_PER_REQUEST, RequestEvent, Usage

logger = logging.getLogger("keyapi_async")
logger.addHandler(logging.NullHandler())  # silent, unless the program configures logging

_Outcome: TypeAlias = Answer[Any] | KeyAPIError


@define(eq=False, repr=False)
class _Call:
    """One `fetch` in progress: what its attempts share."""

    query: Query[Any]
    params: dict[str, str]
    attempts: int = 0
    retries: dict[Failure, int] = field(factory=dict)
    refused_since: float | None = None
    verdict: KeyAPIError | None = None
    maybe_billed: bool = False
    answer: Answer[Any] | None = None

    def describe(self, error: KeyAPIError, secret: str) -> None:
        """Tell an error which call it ended."""
        error.endpoint = self.query.path
        error.params = self.params
        error.attempts = self.attempts
        error.maybe_billed = error.maybe_billed or self.maybe_billed
        if self.answer is not None and isinstance(error, InvalidResponseError):
            error.status = self.answer.status
            error.request_id = self.answer.request_id
            error.body = redact(self.answer.body, secret)


class Session:
    """Fetches queries: paced, retried, budgeted, counted.

    Args:
        transport: Does the HTTP.
        pacer: Gives each attempt its slot.
        policy: When to try again.
        max_credits: Never spend, or risk, more than this.
        on_event: Told of attempts, retries, pauses and changes of pace.
    """

    def __init__(
        self,
        transport: Transport,
        pacer: Pacer,
        policy: RetryPolicy,
        *,
        max_credits: int | None = None,
        on_event: Callable[[RequestEvent], None] | None = None,
    ) -> None:
        self.usage = Usage(pace=pacer.pace)
        self.closed = False
        self._transport = transport
        self._pacer = pacer
        self._policy = policy
        self._budget = RetryBudget()
        self._max_credits = max_credits
        self._on_event = on_event
        self._loop: asyncio.AbstractEventLoop | None = None
        self._waiting: dict[asyncio.Timeout, _Call] = {}

    async def fetch(self, query: Query[Any]) -> Answer[Any]:
        """Send a query until it is answered, or the policy gives up.

        Returns:
            The answer, its data in the shape the query says.

        Raises:
            KeyAPIError: Any kind but ConfigurationError, with the details of this call.
        """
        call = _Call(query, wire_params(query))
        try:
            call.answer = await self._answer(call)
            return fit(call.answer, query.shape)
        except KeyAPIError as error:
            call.describe(error, self._transport.secret)
            raise

    async def close(self) -> None:
        """Close what is ours; calls that wait or are under way fail with ClientClosedError."""
        self.closed = True
        self._fail_waiting(ClientClosedError("the client was closed"))
        await self._transport.close()

    async def _answer(self, call: _Call) -> Answer[Any]:
        query = "&".join(f"{name}={quote(text, safe='')}" for name, text in call.params.items())
        path_and_query = f"{call.query.path}?{query}"
        wait = 0.0
        while True:
            self._check_open()
            slot = await self._acquire(call, wait)
            outcome = await self._attempt(call, path_and_query, slot)
            if isinstance(outcome, Answer):
                return outcome
            again = self._retry_in(call, outcome)
            if again is None:
                raise outcome
            wait = again

    def _check_open(self) -> None:
        loop = asyncio.get_running_loop()
        self._loop = self._loop or loop
        if self.closed:
            raise ClientClosedError("the client is closed; make a new one")
        if loop is not self._loop:
            raise ClientClosedError(
                "the client belongs to another event loop; make one client per loop"
            )

    # -- one attempt ---------------------------------------------------------------------------

    async def _acquire(self, call: _Call, wait: float) -> Slot:
        """Wait until the attempt may be sent, or a verdict ends the wait."""
        waiting = asyncio.timeout(None)  # no time limit: `_fail_waiting` ends the wait by it
        self._waiting[waiting] = call
        try:
            async with waiting:
                slot = await self._wait(wait)
        except TimeoutError:
            if call.verdict is None:
                raise  # a shared limiter's own
            raise call.verdict from None
        finally:
            del self._waiting[waiting]
        if call.verdict is not None:  # it came in the very moment of the slot
            self._release()
            await self._pacer.release()
            raise call.verdict
        return slot

    async def _wait(self, wait: float) -> Slot:
        """Sit out the backoff, reserve the credits, take a slot."""
        if wait:
            await asyncio.sleep(wait)
        self._reserve()
        try:
            return await self._pacer.acquire()
        except BaseException:
            self._release()
            raise

    async def _attempt(self, call: _Call, path_and_query: str, slot: Slot) -> _Outcome:
        """Send once, settle the credits, tell what happened."""
        call.attempts += 1
        attempt = Attempt(self._transport)
        try:
            received = await attempt.send(path_and_query)
            outcome = self._decode(call, received)
            self._settle(call, outcome, sent=attempt.sent)
        except BaseException:
            self._settle(call, None, sent=attempt.sent)
            raise
        finally:
            await self._pacer.release()
        elapsed = asyncio.get_running_loop().time() - slot.at
        self._tell(call, "attempt", outcome, elapsed=elapsed)
        self._apply(call, outcome, slot)
        return outcome

    def _decode(self, call: _Call, received: Response | KeyAPIError) -> _Outcome:
        if isinstance(received, KeyAPIError):
            return received
        try:
            return decode(received, call.query.shape, secret=self._transport.secret)
        except (APIError, InvalidResponseError) as error:
            return error.with_traceback(None)  # its frames hold the key, and whatever echoes it

    # -- credits -------------------------------------------------------------------------------

    def _reserve(self) -> None:
        """Put the price of an attempt at risk, before it is sent."""
        usage = self.usage
        committed = usage.credits_spent + usage.credits_at_risk
        if self._max_credits is not None and committed + CREDITS_PER_REQUEST > self._max_credits:
            raise CreditBudgetError(
                f"one more request could pass max_credits={self._max_credits}: "
                f"{usage.credits_spent} spent, {usage.credits_at_risk} at risk"
            )
        usage.credits_at_risk += CREDITS_PER_REQUEST

    def _release(self) -> None:
        self.usage.credits_at_risk -= CREDITS_PER_REQUEST

    def _settle(self, call: _Call, outcome: _Outcome | None, *, sent: bool) -> None:
        """Make what was reserved spent or free; where nobody can tell, it stays at risk."""
        self.usage.requests += sent
        if isinstance(outcome, Answer):
            self._release()
            self.usage.credits_spent += CREDITS_PER_REQUEST
        elif not sent or (outcome is not None and not outcome.maybe_billed):
            self._release()
        else:
            call.maybe_billed = True

    # -- what follows --------------------------------------------------------------------------

    def _apply(self, call: _Call, outcome: _Outcome, slot: Slot) -> None:
        """What one outcome means for the other calls of this client."""
        match outcome:
            case Answer():
                self._budget.refund()
            case RateLimitError():
                self.usage.rate_limited += 1
                self._pause(call, outcome, slot)
            case AuthenticationError() | InsufficientCreditsError():
                self._fail_waiting(outcome)
            case PermissionDeniedError():
                self._fail_waiting(outcome, path=call.query.path)
            case _:
                pass
        if self._pacer.pace != self.usage.pace:
            self.usage.pace = self._pacer.pace
            self._tell(call, "pace", outcome)

    def _pause(self, call: _Call, refusal: RateLimitError, slot: Slot) -> None:
        asked = refusal.retry_after
        if asked is not None and asked > self._policy.max_wait:
            asked = None  # nobody sits that out: this call raises, others find out for themselves
        pause = self._pacer.refused(slot, asked)
        if pause is not None:
            logger.warning("429 from %s: all calls pause for %.3g s", call.query.path, pause)
            self._tell(call, "pause", refusal, wait=pause)

    def _fail_waiting(self, verdict: KeyAPIError, path: str | None = None) -> None:
        """End every call that is waiting at this moment (of one endpoint, or of all)."""
        now = asyncio.get_running_loop().time()
        for waiting, call in self._waiting.items():
            if call.verdict is None and path in (None, call.query.path):
                call.verdict = copy.copy(verdict)  # now: the verdict's own call adds to it later
                waiting.reschedule(now)

    def _retry_in(self, call: _Call, error: KeyAPIError) -> float | None:
        """Seconds until the next attempt, or None to give up."""
        policy = self._policy
        failure = classify(error)
        retry_after = error.retry_after if isinstance(error, APIError) else None
        if retry_after is not None and retry_after > policy.max_wait:
            return None
        if failure is Failure.REFUSED:
            now = asyncio.get_running_loop().time()
            call.refused_since = now if call.refused_since is None else call.refused_since
            resumes = max(now, self._pacer.paused_until)
            if resumes - call.refused_since > policy.rate_limit_deadline:
                return None
            wait = 0.0  # the slot comes after the pause, which is everybody's
        else:
            done = call.retries.get(failure, 0)
            if done >= policy.allowed(failure) or not self._budget.draw():
                return None
            call.retries[failure] = done + 1
            wait = policy.wait(done, retry_after)
        self.usage.retries += 1
        self._tell(call, "retry", error, wait=wait)
        return wait

    def _tell(
        self,
        call: _Call,
        kind: Literal["attempt", "retry", "pause", "pace"],
        outcome: _Outcome,
        *,
        elapsed: float | None = None,
        wait: float | None = None,
    ) -> None:
        if self._on_event is None and not logger.isEnabledFor(logging.DEBUG):
            return
        event = RequestEvent(
            kind=kind,
            endpoint=call.query.path,
            params=call.params,
            attempt=call.attempts,
            pace=self._pacer.pace,
            status=getattr(outcome, "status", None),
            error=None if isinstance(outcome, Answer) else type(outcome).__name__,
            request_id=outcome.request_id,
            elapsed=elapsed,
            wait=wait,
        )
        logger.debug("%s", event)
        if self._on_event is not None:
            try:
                self._on_event(event)
            except Exception:
                logger.exception("on_event failed; the request goes on")
