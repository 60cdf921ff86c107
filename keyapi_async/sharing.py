"""One pace, one pause and one budget for all processes that name the same share.

Slots are reserved: one shared time is moved on by an interval, then the process sleeps once until
its own slot. Nobody checks and tries again, so nobody starves and no slot is lost between them.
"""

from __future__ import annotations

import asyncio
import copy
import hashlib
import logging
import math
import re
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, TypeVar
from uuid import uuid4

import attrs

from .budget import CREDITS_PER_REQUEST, CreditBudget
from .errors import (
    ClientClosedError,
    ConfigurationError,
    CreditBudgetError,
    ShareError,
    excerpt,
)
from .guard import Guard, Refusal
from .pacing import Slot, catch_up
from .shared_state import Claim, Reply, Store

logger = logging.getLogger("keyapi_async")

_T = TypeVar("_T")

DOWN: Final = 0.1
"""Seconds for which a store that failed isn't asked: whoever is waiting for it fails as well."""

SETTLE: Final = 1.0
"""Seconds that closing waits at most for what requests under way give back."""


def share_name(api_key: str, base_url: str) -> str:
    """What keeps the shares of different keys and servers apart: a hash, never the key."""
    return hashlib.sha256(f"keyapi_async share {base_url} {api_key}".encode()).hexdigest()[:32]


def open_store(share: object, name: str) -> Store:
    """Find what a share is kept in; nothing is opened yet.

    Args:
        share: `file:PATH` or `redis://HOST`.
        name: Which of the shares in there.

    Raises:
        ConfigurationError: It is neither, or what it takes isn't installed.
    """
    match share.split(":", 1) if isinstance(share, str) else None:
        case ["file", path] if path:
            from .sharing_file import FileStore  # noqa: PLC0415 - neither is needed by most

            try:
                return FileStore(Path(path.removeprefix("//")).expanduser(), name)
            except (OSError, RuntimeError) as error:
                raise ConfigurationError(f"share: no file can be made there: {error}") from None
        case ["redis" | "rediss" | "unix", rest] if rest.startswith("//"):
            try:
                from .sharing_redis import RedisStore  # noqa: PLC0415
            except ModuleNotFoundError:
                problem = "sharing by Redis needs more: pip install 'keyapi-async[redis]'"
                raise ConfigurationError(problem) from None
            return RedisStore(str(share), name)
    # Or a password that stands in it would be shown.
    share = re.sub(r".*@", "***@", share) if isinstance(share, str) else share
    raise ConfigurationError(f"share must be file:PATH or redis://HOST, not {excerpt(share)}")


class SharedPace:
    """Slots from a pace that is shared with other processes; credits, where a budget is rolling.

    Args:
        store: What is shared.
        guard: This client's own; it follows the shared one.
        margin: Share of the pace left unused.
        adaptive: Whether this client's 429s lower the pace.
        budget: A rolling one, to be shared.
    """

    is_transferable = True

    def __init__(
        self,
        store: Store,
        guard: Guard,
        *,
        margin: float,
        adaptive: bool,
        budget: CreditBudget | None,
    ) -> None:
        self._store = store
        self._guard = guard
        self._adaptive = adaptive
        self._budget = budget
        self._claim = Claim(
            qps=guard.ceiling,
            margin=margin,
            late=catch_up(guard.ceiling, margin),
            credits=budget.credits if budget else 0,
            per=float(budget.per) if budget and budget.per else 0.0,
        )
        self._name = uuid4().hex
        self._number = 0
        self._next: Slot | None = None  # reserved, but who asked for it may not wait any more
        self._under_way: set[str] = set()  # those being reserved, and those of requests under way
        self._returned: set[str] = set()
        self._settled = asyncio.Event()
        self._failure: ShareError | None = None
        self._failed_at = -math.inf

    @property
    def pace(self) -> float:
        """Requests per second of all processes together, when this one last asked."""
        return self._guard.pace

    async def acquire(self) -> Slot | None:
        """Reserve a slot, and wait for it; None in a pause.

        Raises:
            ClientClosedError: It was closed meanwhile.
            CreditBudgetError: The joint budget is spent.
            ShareError: The store can't be used.
        """
        loop = asyncio.get_running_loop()
        self._drop_missed(loop.time())
        while self._next is None:
            reservation = f"{self._name}-{self._number}"
            reply = await self._reserve(reservation)
            self._guard.pace = reply.pace
            if reply.pause:
                logger.warning("refused elsewhere: all calls pause for %.3g s", reply.pause)
                self._guard.paused_until = loop.time() + reply.pause
                return None
            if reply.room_in is None:
                self._number += 1
                at, name = loop.time() + reply.wait, reservation if self._budget else None
                self._next = Slot(at, is_first=reply.is_first, reservation=name)
            else:
                await self._wait_for_room(reply)
        await asyncio.sleep(self._next.at - loop.time())
        slot, self._next = self._next, None
        if slot is None:  # `close` gave it back: some clients of Redis swallow a cancellation
            raise ClientClosedError("the client was closed")
        if slot.reservation is not None:
            self._under_way.add(slot.reservation)
        return attrs.evolve(slot, at=loop.time())

    def _drop_missed(self, now: float) -> None:
        """Have another slot reserved if nobody waited for that one until its time."""
        if self._next is not None and self._next.at < now - self._claim.late:
            if self._next.reservation is not None:
                self._returned.add(self._next.reservation)
            self._next = None

    async def _wait_for_room(self, reply: Reply) -> None:
        """Wait for requests under way, which may turn out to cost nothing."""
        if self._returned:
            return  # one did while the store was asked
        room_in = None if reply.room_in == math.inf else reply.room_in
        if not self._under_way or room_in is None:
            again = "" if room_in is None else f", again in {room_in:.0f} s"
            error = CreditBudgetError(
                f"one more request could pass max_credits={self._claim.credits} per "
                f"{self._claim.per:g} s, or a smaller budget of who shares it: "
                f"{reply.remaining} are left{again}"
            )
            error.retry_after = room_in
            raise error
        self._settled.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(room_in):
                await self._settled.wait()

    async def _reserve(self, reservation: str) -> Reply:
        returned, self._returned = self._returned, set()
        claim = attrs.evolve(self._claim, reservation=reservation, returned=tuple(returned))
        self._under_way.add(reservation)
        try:
            reply = await self._ask(self._store.reserve, claim)
            if reply.may_climb and self._adaptive:
                await self._ask(self._store.update, Guard.climb)
        except BaseException:
            if self._budget is not None:  # it may have been reserved nevertheless
                self._returned |= {*returned, reservation}
            raise
        finally:
            self._end(reservation)
        if self._budget is not None and reply.remaining is not None:
            self._budget.note(reply.remaining)
        return reply

    async def _ask(self, method: Callable[..., Awaitable[_T]], *arguments: Any) -> _T:
        """Ask the store, unless it has failed just now."""
        now = asyncio.get_running_loop().time()
        if self._failure is not None and now < self._failed_at + DOWN:
            raise copy.copy(self._failure)
        try:
            return await method(*arguments)
        except ShareError as error:
            self._failure, self._failed_at = error, asyncio.get_running_loop().time()
            raise copy.copy(error) from None

    async def release(self, slot: Slot, *, free: bool) -> None:
        """Give the credits of a request that cost nothing back, with the next that is reserved."""
        if slot.reservation is not None:
            if free:
                self._returned.add(slot.reservation)
            self._end(slot.reservation)

    def _end(self, reservation: str) -> None:
        self._under_way.discard(reservation)
        self._settled.set()

    async def pause(self, refusal: Refusal) -> None:
        """Have all processes pause."""
        loop = asyncio.get_running_loop()
        age = loop.time() - refusal.sent_at

        def note(guard: Guard, now: float) -> None:
            sent = attrs.evolve(refusal, sent_at=now - age)
            guard.pause(now, sent, adaptive=self._adaptive)

        try:
            shared, now = await self._ask(self._store.update, note)
        except ShareError as error:
            logger.warning("the others can't be told of a 429: %s", error)
        else:
            self._guard.pace = shared.pace or self._guard.pace  # 0: the store has forgotten it
            self._guard.paused_until = loop.time() + shared.paused_until - now

    async def close(self) -> None:
        """Give back what is still to be, and let go of the store."""
        with suppress(TimeoutError):
            async with asyncio.timeout(SETTLE):
                while self._under_way:  # they have been told to end
                    self._settled.clear()
                    await self._settled.wait()
        self._drop_missed(math.inf)
        try:
            if self._returned:
                await self._ask(self._store.give_back, tuple(self._returned))
        except ShareError as error:
            cost = len(self._returned) * CREDITS_PER_REQUEST
            logger.warning("%d credits can't be given back: %s", cost, error)
        finally:
            await self._store.close()
