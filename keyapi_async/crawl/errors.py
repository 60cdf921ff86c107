"""What can go wrong with a crawl beyond its requests; part of the tree under `KeyAPIError`."""

from __future__ import annotations

import sqlite3

from attrs import frozen

from keyapi_async.errors import KeyAPIError
from keyapi_async.queries import Query


@frozen
class FailedQuery:
    """A query that could not be answered in full, and why."""

    query: Query
    error: str


class CrawlError(KeyAPIError):
    """A crawl ended, but some of its queries failed.

    Attributes:
        failures: What failed.
    """

    def __init__(self, message: str = "", failures: tuple[FailedQuery, ...] = ()) -> None:
        super().__init__(message)
        self.failures = failures


class StoreError(KeyAPIError):
    """The crawl's file can't be used; the message names it, the reason and the way out."""


class PlanChangedError(StoreError):
    """The file holds a crawl of another plan, and was not told to take the new one."""


def no_crawl(path: object) -> StoreError:
    """There is nothing in a file, and no plan to begin with."""
    return StoreError(f"{path}: holds no crawl yet; start one with a plan")


def store_error(path: object, error: sqlite3.Error) -> StoreError:
    """What an error of SQLite means for whoever owns the file."""
    name = getattr(error, "sqlite_errorname", None) or ""
    for prefix, advice in _ADVICE.items():
        if name.startswith(prefix):
            return StoreError(f"{path}: {advice}")
    return StoreError(f"{path}: {error}")


CANT_OPEN = "can't be opened; check that its folder exists and that both may be written to"

_ADVICE = {
    "SQLITE_FULL": (
        "the disk is full; what was stored before is safe: "
        "make room, then run the same command to go on"
    ),
    "SQLITE_READONLY": "can't be written to (read-only); change its permissions or choose another",
    "SQLITE_CANTOPEN": CANT_OPEN,
    "SQLITE_PERM": "can't be opened for lack of permission",
    "SQLITE_NOTADB": "is not a SQLite database; nothing was changed: choose another file",
    "SQLITE_CORRUPT": (
        "is damaged; nothing more was written: move it away and start anew, or save what can be "
        "read with `sqlite3 FILE .recover`"
    ),
    "SQLITE_BUSY": "another program is writing to it; try again when it is done",
    "SQLITE_IOERR": (
        "can't be read or written (disk error); what was stored before is safe: "
        "check the disk, then run the same command to go on"
    ),
}
