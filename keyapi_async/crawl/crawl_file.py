"""`CrawlFile`: what a crawl stored, to read while it runs and afterwards."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import date
from os import PathLike
from pathlib import Path
from typing import Any, Final, TextIO

from attrs import field, frozen

from keyapi_async.budget import CREDITS_PER_REQUEST
from keyapi_async.converter import from_json

from .database import Database, parsing, reading
from .exports import Exported, Selection, export_files
from .exports.selection import SnapshotChoice, find_pages, find_snapshots
from .jobs import FailedQuery, Record
from .store import USAGE_COUNTS, StoredSnapshot, query_from, read_snapshots
from .views import COMPLETE

MAX_FAILURES: Final = 10
"""Failed queries that a summary names."""

_COUNTS: Final = """
SELECT count(*) AS queries, coalesce(sum(state = 'done'), 0) AS done,
    coalesce(sum(state = 'failed'), 0) AS failed,
    coalesce(sum({complete} OR stop_reason = 'dropped'), 0) = count(*) AS complete,
    coalesce(sum(pages), 0) AS pages, coalesce(sum(items), 0) AS items,
    coalesce(sum(duplicates), 0) AS duplicates,
    CASE WHEN total(state = 'pending') THEN NULL ELSE max(finished_at) END AS finished_at
FROM lists l WHERE snapshot = ?
"""
_INCOMPLETE: Final = """
SELECT q.endpoint, q.params, l.state, l.error, l.stop_reason
FROM lists l JOIN queries q ON q.id = l.query
WHERE l.snapshot = ? AND NOT {complete} AND coalesce(stop_reason, '') <> 'dropped' {more}
ORDER BY l.id LIMIT ?
"""


@frozen(kw_only=True)
class Summary:
    """One snapshot of a crawl's file, in numbers.

    Requests and credits are what the client sent and spent while the crawl ran, other calls
    through the same client included.

    Attributes:
        snapshot: Its number, from 1.
        day: The calendar day on which it was begun.
        started_at: When it was begun, in Unix seconds.
        finished_at: When its last list was done; None while there is something to do.
        complete: Whether each of its lists has all that was asked for.
        queries: Lists and details in all.
        done: Those answered, or dropped from the plan.
        failed: Those that failed.
        pages: Answers stored.
        items: Items stored.
        duplicates: Items dropped because their list had them before.
        runs: How many times it was started.
        seconds: How long it ran, all runs together.
        requests: Requests sent, retries included.
        retries: Retries of them.
        rate_limited: Answers of 429.
        credits_spent: What it cost.
        credits_at_risk: What it may have cost beyond that; of a run that was killed, or still
            runs, this counts the requests that may be under way.
        failures: The first 10 of those that failed.
    """

    snapshot: int
    day: date
    started_at: float
    finished_at: float | None
    complete: bool = field(converter=bool)
    queries: int
    done: int
    failed: int
    pages: int
    items: int
    duplicates: int
    runs: int
    seconds: float
    requests: int
    retries: int
    rate_limited: int
    credits_spent: int
    credits_at_risk: int
    failures: tuple[FailedQuery, ...] = field(repr=False)

    @property
    def pending(self) -> int:
        """How many queries are still to be answered."""
        return self.queries - self.done - self.failed


class CrawlFile:
    """The file of a crawl, to read: nothing is changed and no file left beside it.

    It may be on read-only media, or being crawled. Each method opens it again and sees what is
    stored at that moment.

    Args:
        path: The file.
    """

    def __init__(self, path: str | PathLike[str]) -> None:
        self.path = Path(path)

    def snapshots(self) -> list[Summary]:
        """All snapshots, the oldest first.

        Raises:
            StoreError: The file can't be read.
        """
        with reading(self.path) as db, parsing(self.path):
            return [_summarize(db, snapshot) for snapshot in read_snapshots(db)]

    def status(self, snapshot: int | None = None) -> Summary:
        """One snapshot.

        Args:
            snapshot: Its number; by default the newest.

        Raises:
            StoreError: The file can't be read, or has no such snapshot.
        """
        with reading(self.path) as db, parsing(self.path):
            return summarize(db, snapshot)

    def incomplete(self, snapshot: int | None = None) -> list[FailedQuery]:
        """The incomplete queries of a snapshot, with the reasons.

        Args:
            snapshot: Its number; by default the newest.

        Raises:
            StoreError: The file can't be read, or has no such snapshot.
        """
        with reading(self.path) as db, parsing(self.path):
            return _incomplete(db, _find(db, snapshot).number, "", -1)

    def records(
        self,
        *endpoints: str,
        snapshot: SnapshotChoice = "latest",
        region: str | Iterable[str] = (),
        period: int | Iterable[int] = (),
    ) -> Iterator[Record[Any]]:
        """The items, typed, in the order of their lists.

        Args:
            endpoints: Only those of these endpoints, such as `hashtags`.
            snapshot: Those of this snapshot: its number, `latest` or `all`.
            region: Only those of lists of this region, or these.
            period: Only those of lists of this period, or these.

        Raises:
            ParameterError: There is no such endpoint.
            StoreError: The file can't be read, or has no such snapshot.
        """
        selection = Selection(
            endpoints=endpoints, regions=region, periods=period, snapshot=snapshot
        )
        with reading(self.path) as db, parsing(self.path):
            for found in find_pages([db], selection):
                query = found.source.query
                for position, text in found.items:
                    item, at = from_json(query.item, text), found.retrieved_at
                    yield Record(query, found.number, position, item, found.request_id, at)

    def export(
        self,
        output: str | PathLike[str] | TextIO,
        selection: Selection | None = None,
        *,
        progress: Callable[[int], None] | None = None,
    ) -> list[Exported]:
        """Write items to files that other tools open; `export_files` for this file alone.

        Args:
            output: The file or folder to write: `out.jsonl`, `out.csv`, `out.parquet`,
                `out.duckdb` or `lake/`. A text stream gets JSON lines.
            selection: Which items; by default all of the newest snapshot, for a lake all of
                every snapshot.
            progress: Called now and then with how many items are written so far.

        Returns:
            The files written, each with how many items are in it.

        Raises:
            ParameterError: The name ends in nothing known.
            StoreError: The crawl can't be read, the file not be written, or DuckDB is missing.
        """
        return export_files([self.path], output, selection, progress=progress)


def summarize(db: Database, snapshot: int | None = None) -> Summary:
    """Sum up one snapshot; by default the newest."""
    return _summarize(db, _find(db, snapshot))


def _find(db: Database, snapshot: int | None) -> StoredSnapshot:
    (found,) = find_snapshots(db, "latest" if snapshot is None else snapshot)
    return found


def _summarize(db: Database, snapshot: StoredSnapshot) -> Summary:
    (row,) = db.rows(_COUNTS.format(complete=COMPLETE), snapshot.number)
    counts = dict(row)
    if not counts["queries"]:  # a shard without a list
        counts["finished_at"] = snapshot.started_at
    runs = [dict(row) for row in db.rows("SELECT * FROM runs WHERE snapshot = ?", snapshot.number)]
    sums = {name: sum(run[name] for run in runs) for name in USAGE_COUNTS}
    # What was under way when a run was killed may have been billed without a trace in the file.
    killed = sum(run.get("in_hand", 0) for run in runs if run["ended_at"] is None)
    sums["credits_at_risk"] += killed * CREDITS_PER_REQUEST
    return Summary(
        snapshot=snapshot.number,
        day=snapshot.day,
        started_at=snapshot.started_at,
        runs=len(runs),
        seconds=sum((run["ended_at"] or run["seen_at"]) - run["started_at"] for run in runs),
        failures=tuple(_incomplete(db, snapshot.number, "AND l.state = 'failed'", MAX_FAILURES)),
        **counts,
        **sums,
    )


def _incomplete(db: Database, snapshot: int, more: str, limit: int) -> list[FailedQuery]:
    sql = _INCOMPLETE.format(complete=COMPLETE, more=more)
    return [
        FailedQuery(query_from(endpoint, params), error or _reason(state, stop_reason))
        for endpoint, params, state, error, stop_reason in db.rows(sql, snapshot, limit)
    ]


def _reason(state: str, stop_reason: str | None) -> str:
    if state == "pending":
        return "not finished"
    if stop_reason == "empty_page":
        return "an empty page ended it"
    return "it changed while it was read, and has fewer items than it should"
