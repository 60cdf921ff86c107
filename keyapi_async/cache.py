"""Responses kept: in memory, in a SQLite file, or wherever two coroutines put them."""

from __future__ import annotations

import asyncio
import copy
import hashlib
import logging
import math
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, Protocol, runtime_checkable

import attrs
from attrs import define

from .errors import CreditBudgetError, DeadlineError, KeyAPIError, ParameterError
from .protocol import Answer, Response, decode, echoes, fit
from .queries import Query
from .retry import to_float

if TYPE_CHECKING:
    import sqlite3

logger = logging.getLogger("keyapi_async")

DEFAULT_TTL: Final = 300.0
"""Seconds that a response is kept by a cache that has no `ttl` of its own."""

MAX_DECODED: Final = 100
"""So many answers are kept decoded, too: some 10 MB at most."""

_SCHEMA: Final = """
PRAGMA journal_mode = WAL;
CREATE TABLE IF NOT EXISTS responses (key TEXT PRIMARY KEY, body BLOB, expires_at REAL);
CREATE INDEX IF NOT EXISTS by_age ON responses (expires_at);
"""


@runtime_checkable
class Cache(Protocol):
    """Where responses are kept; anything with these two coroutines will do.

    A key is printable ASCII, a few hundred characters long, and holds no secret; a body is at most
    some 50 kB. What they raise is logged, and the call goes on without the cache.
    """

    async def get(self, key: str) -> bytes | None:
        """What was set for a key, unless its time is up."""
        ...

    async def set(self, key: str, body: bytes, ttl: float) -> None:
        """Keep a body under a key for `ttl` seconds."""
        ...


class ResponseCache:
    """Keeps responses in memory, or in a SQLite file that survives the process.

    Args:
        ttl: Seconds that a response is kept.
        path: The file; by default in memory. Several processes may share one.
        max_entries: Keep at most so many; the oldest go first.

    Raises:
        ParameterError: A value can't be right.
    """

    def __init__(
        self,
        ttl: float,
        *,
        path: str | os.PathLike[str] | None = None,
        max_entries: int = 10_000,
    ) -> None:
        if not to_float(ttl) > 0:
            raise ParameterError("ttl", ttl, "a number of seconds above 0")
        if not isinstance(max_entries, int) or max_entries < 1:
            raise ParameterError("max_entries", max_entries, "a whole number of at least 1")
        self.ttl = ttl
        self._path = path
        self._max_entries = max_entries
        self._entries: OrderedDict[str, tuple[float, bytes]] = OrderedDict()
        self._db: sqlite3.Connection | None = None
        self._lock = threading.Lock()

    async def get(self, key: str) -> bytes | None:
        """What was set for a key, unless its time is up."""
        if self._path is not None:
            return await asyncio.to_thread(self._read, self._path, key)
        expires_at, body = self._entries.get(key, (0.0, b""))
        return body if expires_at > time.time() else None

    async def set(self, key: str, body: bytes, ttl: float) -> None:
        """Keep a body under a key for `ttl` seconds."""
        expires_at = time.time() + ttl
        if self._path is not None:
            await asyncio.to_thread(self._write, self._path, key, body, expires_at)
            return
        self._entries[key] = (expires_at, body)
        self._entries.move_to_end(key)
        while len(self._entries) > self._max_entries:
            self._entries.popitem(last=False)

    async def close(self) -> None:
        """Close the file; the next use opens it again."""
        with self._lock:
            if self._db is not None:
                self._db.close()
                self._db = None

    def _open(self, path: str | os.PathLike[str]) -> sqlite3.Connection:
        import sqlite3  # noqa: PLC0415 - for those who keep a file

        if self._db is None:
            db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
            try:
                db.executescript(_SCHEMA)
            except sqlite3.Error:
                db.close()
                raise
            self._db = db
        return self._db

    def _read(self, path: str | os.PathLike[str], key: str) -> bytes | None:
        with self._lock:
            found = self._open(path).execute(
                "SELECT body FROM responses WHERE key = ? AND expires_at > ?", (key, time.time())
            )
            row = found.fetchone()
        return None if row is None else bytes(row[0])

    def _write(
        self, path: str | os.PathLike[str], key: str, body: bytes, expires_at: float
    ) -> None:
        with self._lock:
            db = self._open(path)
            db.execute("REPLACE INTO responses VALUES (?, ?, ?)", (key, body, expires_at))
            db.execute("DELETE FROM responses WHERE expires_at <= ?", (time.time(),))
            db.execute(
                "DELETE FROM responses WHERE rowid IN ("
                "SELECT rowid FROM responses ORDER BY expires_at DESC LIMIT -1 OFFSET ?)",
                (self._max_entries,),
            )


@define(eq=False)
class _Flight:
    """One request for all that ask the same."""

    task: asyncio.Task[Answer[Any]]
    callers: int = 0


class SharedCache:
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
