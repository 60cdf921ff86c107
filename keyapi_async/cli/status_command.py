"""`keyapi status`: what the file of a crawl holds, for people and for programs."""

import json
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Annotated, Any

import attrs
from cyclopts import Parameter

from keyapi_async.cli.messages import count, duration, show
from keyapi_async.cli.options import Flag
from keyapi_async.crawl import CrawlFile, FailedQuery, Summary, query_text

MAX_NAMED = 10
"""Incomplete lists that are named."""

_COUNTS = (
    *("queries", "done", "failed", "pages", "items", "duplicates", "runs", "seconds"),
    *("requests", "retries", "rate_limited", "credits_spent", "credits_at_risk"),
)


def status(
    file: str, /, *files: str, as_json: Annotated[Flag, Parameter(name="--json")] = False
) -> None:
    """Run `keyapi status`.

    Args:
        file: The SQLite file of a crawl.
        files: More of them.
        as_json: As one JSON object (for each file, on a line), with every snapshot; else the
            newest one for people.
    """
    newest = {}
    for path in [file, *files]:
        stored = CrawlFile(path)
        if as_json:
            snapshots = [snapshot_json(summary) for summary in stored.snapshots()]
            show(json.dumps({"file": str(stored.path), "snapshots": snapshots}))
            continue
        newest[path] = stored.status()
        for line in summary_lines(stored, newest[path]):
            show(line)
    if len(newest) > 1:
        for line in _sum_up(newest):
            show(line)


def _sum_up(newest: Mapping[str, Summary]) -> list[str]:
    """The newest snapshots of several files as one crawl, of the newest day, for people."""
    day, lacking = newest_day(newest)
    first, *rest = (one for one in newest.values() if one.day == day)
    together = attrs.evolve(
        first, **{name: sum(getattr(one, name) for one in (first, *rest)) for name in _COUNTS}
    )
    files = count(1 + len(rest), "file")
    state = f"{count(len(lacking), 'file')} without it" if lacking else _state(together)
    return [f"{files}, {day}: {state}", *_count_lines(together), *lacking]


def newest_day(newest: Mapping[str, Summary]) -> tuple[date, list[str]]:
    """The newest day of several files, and a line for each that hasn't got it, for people.

    Args:
        newest: The newest snapshot of each file.
    """
    day = max(one.day for one in newest.values())
    return day, [
        f"{path}: has no snapshot of {day}; its newest is of {one.day}"
        for path, one in newest.items()
        if one.day < day
    ]


def summary_lines(file: CrawlFile, summary: Summary, *, names_pending: bool = True) -> list[str]:
    """One snapshot, for people: names all incomplete lists, or only those that failed."""
    begun = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(summary.started_at))
    lines = [
        f"{file.path}: snapshot {summary.snapshot} of {begun}: {_state(summary)}",
        *_count_lines(summary),
    ]
    # Those that failed first: they are the ones to look into.
    lacking = dict.fromkeys(summary.failures)
    if names_pending and not summary.complete:
        lacking |= dict.fromkeys(file.incomplete(summary.snapshot))
    return lines + incomplete_lines([*lacking], total=max(len(lacking), summary.failed))


def _state(summary: Summary) -> str:
    if summary.pending:
        return f"{summary.pending} to do"
    return "finished, but for what failed" if summary.failed else "finished"


def _count_lines(summary: Summary) -> list[str]:
    lists = f"{summary.done} of {count(summary.queries, 'list')} done, {summary.failed} failed"
    items = f"{count(summary.items, 'item')} on {count(summary.pages, 'page')}"
    dropped = f"{count(summary.duplicates, 'duplicate')} dropped"
    requests = f"{count(summary.requests, 'request')}, {count(summary.retries, 'retry')}"
    cost = f"{count(summary.credits_spent, 'credit')}, {summary.credits_at_risk} more at risk"
    runs = f"{count(summary.runs, 'run')}, {duration(summary.seconds)}"
    return [
        f"{lists}; {items}, {dropped}",
        f"{requests}, {summary.rate_limited} refused (429); {cost}; {runs}",
    ]


def incomplete_lines(lacking: Sequence[FailedQuery], total: int | None = None) -> list[str]:
    """The first of some incomplete queries, each with the reason, for people."""
    named = lacking[:MAX_NAMED]
    lines = [f"incomplete: {query_text(one.query)}: {one.error}" for one in named]
    more = (len(lacking) if total is None else total) - len(named)
    return [*lines, f"and {count(more, 'list')} more"] if more else lines


def snapshot_json(summary: Summary) -> dict[str, Any]:
    """One snapshot, for programs."""
    lists = {name: getattr(summary, name) for name in ("done", "failed", "pending")}
    return {
        "number": summary.snapshot,
        "day": summary.day.isoformat(),
        "begun": datetime.fromtimestamp(summary.started_at, UTC).isoformat(timespec="seconds"),
        "complete": summary.complete,
        "lists": {"total": summary.queries, **lists},
        "items": summary.items,
        "credits": {"spent": summary.credits_spent, "at_risk": summary.credits_at_risk},
    }
