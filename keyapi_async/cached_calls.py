"""A cache as one client uses it: its own keys, and one request for equal calls under way."""

from __future__ import annotations

import asyncio
import copy
import hashlib
import logging
import math
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import attrs
from attrs import define

from .cache import Cache
from .errors import CreditBudgetError, DeadlineError, KeyAPIError
from .protocol import Answer, Response, decode, echoes, fit
from .queries import Query

logger = logging.getLogger("keyapi_async")

DEFAULT_TTL: Final = 300.0
"""Seconds that a response is kept by a cache that has no `ttl` of its own."""

MAX_DECODED: Final = 100
"""So many answers are kept decoded, too: some 10 MB at most."""


@define(eq=False)
class _Flight:
    """One request for all that ask the same."""

    task: asyncio.Task[Answer[Any]]
    callers: int = 0


class CallCache:
    """A cache as one client uses it: its own keys, and one request for equal calls under way.

    Args:
        cache: Where responses are kept.
        base_url: Where the API is.
        api_key: The key; a hash of it keeps the answers of one key from another's.
    """

    def __init__(self, cache: Cache, *, base_url: str, api_key: str) -> None:
        self._cache = cache
        self._secret = api_key
        salted = hashlib.sha256(f"keyapi_async {api_key}".encode())
        self._prefix = f"{base_url} {salted.hexdigest()[:16]} "
        self._flights: dict[tuple[str, object], _Flight] = {}
        self._decoded: OrderedDict[str, Answer[Any]] = OrderedDict()

    async def answer(
        self, query: Query[Any], fetch: Callable[[], Awaitable[Answer[Any]]], options: object = None
    ) -> Answer[Any]:
        """The answer to a query.

        Args:
            query: The query.
            fetch: Sends it; errors are not kept.
            options: How it is sent; only who would send it in the same way joins a request
                under way.
        """
        key = self._prefix + query.cache_key
        while True:
            if (key, options) not in self._flights:
                found = await self._find(key, query)  # here: a task for each hit would cost more
                if found is not None:
                    return found
            flight = self._flights.get((key, options))
            joined = flight is not None and not flight.task.done()
            if flight is None or not joined:
                task = asyncio.create_task(self._find_or_fetch(key, query, fetch))
                flight = self._flights[key, options] = _Flight(task)
            try:
                answer = await self._join(flight, (key, options))
            except (DeadlineError, CreditBudgetError) as error:
                failure: KeyAPIError = error
                if joined:  # it was the other's time or budget: see for ourselves
                    continue
            except KeyAPIError as error:
                failure = error
            else:
                # `from_cache` of what is made of an answer belongs to one caller.
                return (
                    self._read(key, query, answer.body, answer.retrieved_at) if joined else answer
                )
            raise copy.copy(failure)  # each call adds to its own

    async def _join(self, flight: _Flight, key: tuple[str, object]) -> Answer[Any]:
        """Wait for a request with others; the last one who is cancelled ends it."""
        flight.callers += 1
        try:
            return await asyncio.shield(flight.task)
        finally:
            flight.callers -= 1
            if not flight.callers:
                if self._flights.get(key) is flight:
                    del self._flights[key]
                if not flight.task.done():
                    flight.task.cancel()
                    await asyncio.wait([flight.task])  # until it is known what that cost

    async def _find_or_fetch(
        self, key: str, query: Query[Any], fetch: Callable[[], Awaitable[Answer[Any]]]
    ) -> Answer[Any]:
        found = await self._find(key, query)
        if found is not None:
            return found
        answer = await fetch()
        if not echoes(answer.body, self._secret):
            ttl = getattr(self._cache, "ttl", DEFAULT_TTL)
            with _logged("keep"):
                await self._cache.set(key, b"%r\n%b" % (answer.retrieved_at, answer.body), ttl)
        return answer

    async def _find(self, key: str, query: Query[Any]) -> Answer[Any] | None:
        with _logged("find"):
            stored = await self._cache.get(key)
            if stored is not None:
                at, _, body = stored.partition(b"\n")
                ttl = getattr(self._cache, "ttl", math.inf)
                if time.time() < float(at) + ttl:  # somebody else may keep it for longer
                    return self._read(key, query, body, float(at))
        return None

    def _read(
        self, key: str, query: Query[Any], body: bytes, retrieved_at: float | None
    ) -> Answer[Any]:
        """Decode a body, unless that was done not long ago: a hit then costs a fifth."""
        answer = self._decoded.get(key)
        if answer is None or answer.retrieved_at != retrieved_at or answer.body != body:
            response = Response(status=200, body=body, retrieved_at=retrieved_at)
            answer = fit(decode(response, query.shape), query.shape)
            answer = self._decoded[key] = attrs.evolve(answer, from_cache=True)
            if len(self._decoded) > MAX_DECODED:
                self._decoded.popitem(last=False)
        return answer


@contextmanager
def _logged(what: str) -> Iterator[None]:
    """Let a cache that fails be none: the API is still there."""
    try:
        yield
    except Exception:
        logger.exception("the cache could not %s a response; the call goes on", what)
