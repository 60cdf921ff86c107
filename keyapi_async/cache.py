"""Responses kept: in memory, in a SQLite file, or wherever two coroutines put them."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import time
from collections import OrderedDict
from typing import TYPE_CHECKING, Final, Protocol, runtime_checkable

from .errors import ParameterError
from .retry import to_float

if TYPE_CHECKING:
    import sqlite3

logger = logging.getLogger("keyapi_async")

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
