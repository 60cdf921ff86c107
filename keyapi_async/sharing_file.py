"""What processes of one machine share, in a small SQLite file."""

from __future__ import annotations

import math
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import attrs

from .budget import CREDITS_PER_REQUEST
from .errors import ConfigurationError, ShareError
from .guard import Guard
from .shared_state import HOLD, Claim, Reply, State

VERSION = 1
"""In the file's `user_version`."""

PATIENCE = 1.0
"""Seconds to wait for another process that holds the file; it does so for microseconds."""

MAX_INTEGER = 2**63 - 1
"""SQLite's largest."""

_FIELDS = [field.name for field in attrs.fields(State)]
_SCHEMA = (
    f"CREATE TABLE pace (share TEXT PRIMARY KEY, {', '.join(f'{name} REAL' for name in _FIELDS)})",
    """CREATE TABLE spent (share TEXT, reservation TEXT, at REAL, PRIMARY KEY (share, reservation))
    WITHOUT ROWID""",
    "CREATE INDEX spent_at ON spent (share, at)",
    # `number`: of requests after `since`. To count them each time takes too long with thousands.
    """CREATE TABLE budgets (share TEXT, credits INTEGER, per REAL, seen REAL, until REAL,
    since REAL, number INTEGER, PRIMARY KEY (share, credits, per)) WITHOUT ROWID""",
    """CREATE TRIGGER spend AFTER INSERT ON spent BEGIN
    UPDATE budgets SET number = number + 1 WHERE share = new.share AND since < new.at; END""",
    """CREATE TRIGGER give_back AFTER DELETE ON spent BEGIN
    UPDATE budgets SET number = number - 1 WHERE share = old.share AND since < old.at; END""",
    f"PRAGMA user_version = {VERSION}",
)
_WRITE = "INSERT OR REPLACE INTO pace VALUES (?" + ", ?" * len(_FIELDS) + ")"  # noqa: S608
_BUDGET = """
INSERT INTO budgets VALUES (?, ?, ?, ?, ?, 9e999, 0)
    ON CONFLICT DO UPDATE SET seen = excluded.seen, until = excluded.until
"""
_BUDGETS = "SELECT credits, per, until, since, number FROM budgets WHERE share = ?"
_COUNT = "SELECT count(*) FROM spent WHERE share = ? AND at > ? AND at <= ?"
_OLDEST = "SELECT min(at) FROM spent WHERE share = ? AND at > ?"
_ROLL = """
UPDATE budgets SET since = ?, number = ? WHERE share = ? AND credits = ? AND per = ?
"""
_FORGET = """
DELETE FROM spent WHERE share = :share
    AND at <= :now - (SELECT max(per) FROM budgets WHERE share = :share)
"""


class FileStore:
    """A share in a file; each step is a transaction, and takes some 50 us of the event loop.

    Args:
        path: The file; made when first needed.
        name: Which of the file's shares.
        clock: Tells the time, in Unix seconds.

    Raises:
        ConfigurationError: The file can't be made there.
    """

    def __init__(self, path: Path, name: str, clock: Callable[[], float] = time.time) -> None:
        if "\0" in path.name or path.is_dir() or not path.parent.is_dir():
            raise ConfigurationError(f"share: no file can be made at {path}")
        self._path = path
        self._name = name
        self._clock = clock
        self._db: sqlite3.Connection | None = None
        self._inode: int | None = None

    async def reserve(self, claim: Claim) -> Reply:
        """Reserve a slot and credits."""
        with self._step() as db:
            self._delete(db, claim.returned)
            state, now = self._state(db), self._clock()
            was_ahead = state.seen > now
            reply = state.ask(now, claim)
            if was_ahead:
                self._set_back(db, now, now + reply.wait)
            if claim.per:
                reply = self._look_at_budgets(db, now, claim, reply)
            if not reply.pause and reply.room_in is None:
                state.reserve(claim)
                if claim.per:
                    row = (self._name, claim.reservation, now + reply.wait)
                    db.execute("INSERT INTO spent VALUES (?, ?, ?)", row)
            self._keep(db, state)
        return reply

    def _set_back(self, db: sqlite3.Connection, now: float, next_slot: float) -> None:
        """The clock was ahead: nothing is spent after the next slot, or binds for longer."""
        db.execute(
            "UPDATE spent SET at = :latest WHERE share = :share AND at > :latest",
            {"share": self._name, "latest": next_slot},
        )
        db.execute(
            "UPDATE budgets SET seen = min(seen, ?), until = min(until, ?) WHERE share = ?",
            (now, next_slot + HOLD, self._name),
        )

    def _look_at_budgets(
        self, db: sqlite3.Connection, now: float, claim: Claim, reply: Reply
    ) -> Reply:
        """Note the budget of who asks; how much room there is in all that bind."""
        most, until = min(claim.credits, MAX_INTEGER), now + reply.wait + HOLD
        db.execute(_BUDGET, (self._name, most, claim.per, now, until))
        # What no budget that may come again would count.
        db.execute("DELETE FROM budgets WHERE share = ? AND seen + per < ?", (self._name, now))
        remaining, room_in = math.inf, None
        for credits_, per, binds_until, *window in db.execute(_BUDGETS, (self._name,)).fetchall():
            number = self._roll(db, now - per, *window)
            db.execute(_ROLL, (now - per, number, self._name, credits_, per))
            left = credits_ - number * CREDITS_PER_REQUEST
            if binds_until < now:
                continue
            remaining = min(remaining, max(left, 0))
            if left < CREDITS_PER_REQUEST:
                (oldest,) = db.execute(_OLDEST, (self._name, now - per)).fetchone()
                wait = math.inf if oldest is None else oldest + per - now
                room_in = max(room_in or 0.0, wait)
        db.execute(_FORGET, {"share": self._name, "now": now})
        return attrs.evolve(reply, remaining=int(remaining), room_in=room_in)

    def _roll(self, db: sqlite3.Connection, edge: float, since: float, number: int) -> int:
        """Requests after `edge`, given how many were after `since`."""

        def count(after: float, until: float) -> int:
            found: int = db.execute(_COUNT, (self._name, after, until)).fetchone()[0]
            return found

        # If it lies before, the budget is new, or the clock was set back.
        return number - count(since, edge) if edge >= since else count(edge, math.inf)

    async def update(self, change: Callable[[Guard, float], object]) -> tuple[Guard, float]:
        """Have a function change the guard."""
        with self._step() as db:
            state = self._state(db)
            now = max(self._clock(), state.seen)  # `ask` sees to a clock that was set back
            guard = state.guard()
            change(guard, now)
            state.adopt(guard)
            self._keep(db, state)
        return guard, now

    async def give_back(self, reservations: tuple[str, ...]) -> None:
        """Give credits back."""
        with self._step() as db:
            self._delete(db, reservations)

    async def close(self) -> None:
        """Close the file."""
        self._close()

    def _delete(self, db: sqlite3.Connection, reservations: tuple[str, ...]) -> None:
        rows = [(self._name, reservation) for reservation in reservations]
        db.executemany("DELETE FROM spent WHERE share = ? AND reservation = ?", rows)

    def _state(self, db: sqlite3.Connection) -> State:
        row = db.execute("SELECT * FROM pace WHERE share = ?", (self._name,)).fetchone()
        return State() if row is None else State(*row[1:])

    def _keep(self, db: sqlite3.Connection, state: State) -> None:
        db.execute(_WRITE, (self._name, *attrs.astuple(state)))

    @contextmanager
    def _step(self) -> Iterator[sqlite3.Connection]:
        """One transaction.

        Raises:
            ShareError: The file can't be used.
        """
        if self._db is not None and self._inode != _inode(self._path):
            self._close()  # it was deleted; another process may have made it again
        try:
            if self._db is None:
                self._db, self._inode = self._open(), _inode(self._path)
            self._db.execute("BEGIN IMMEDIATE")
            with self._db:
                yield self._db
        except sqlite3.Error as error:
            self._close()
            failure = ShareError(f"the share in {self._path} can't be used: {error}")
            failure.permanent = not _is_busy(error)
            raise failure from None

    def _open(self) -> sqlite3.Connection:
        db = sqlite3.connect(self._path, timeout=PATIENCE, isolation_level=None)
        try:
            # Nothing in it must outlive the machine, only the process.
            db.execute("PRAGMA synchronous = OFF")
            _use_wal(db)
            db.execute("BEGIN IMMEDIATE")
            with db:
                version = db.execute("PRAGMA user_version").fetchone()[0]
                if not version:
                    for statement in _SCHEMA:
                        db.execute(statement)
                elif version != VERSION:
                    raise sqlite3.DatabaseError("it was made by another version")
        except BaseException:
            db.close()
            raise
        return db

    def _close(self) -> None:
        if self._db is not None:
            self._db.close()
            self._db = None


def _use_wal(db: sqlite3.Connection) -> None:
    """Have changes written to a log beside the file; SQLite waits for nobody who does the same."""
    until = time.monotonic() + PATIENCE
    while True:
        try:
            db.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if not _is_busy(error) or time.monotonic() > until:
                raise
            time.sleep(0.001)
        else:
            return


def _is_busy(error: sqlite3.Error) -> bool:
    """Whether another process holds the file, which passes."""
    code: int = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
    return code & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL)


def _inode(path: Path) -> int | None:
    try:
        return path.stat().st_ino
    except OSError:
        return None
