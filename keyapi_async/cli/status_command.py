"""`keyapi status`: what the file of a crawl holds, for people and for programs."""

import json
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

from cyclopts import Parameter

from keyapi_async.cli.messages import count, duration, show
from keyapi_async.cli.options import Flag
from keyapi_async.crawl import CrawlFile, FailedQuery, Summary, query_text

MAX_NAMED = 10
"""Incomplete lists that are named."""


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
    for stored in map(CrawlFile, [file, *files]):
        if as_json:
            snapshots = [snapshot_json(summary) for summary in stored.snapshots()]
            show(json.dumps({"file": str(stored.path), "snapshots": snapshots}))
        else:
            for line in summary_lines(stored, stored.status()):
                show(line)


def summary_lines(file: CrawlFile, summary: Summary, *, names_pending: bool = True) -> list[str]:
    """One snapshot, for people: names all incomplete lists, or only those that failed."""
    state = f"{summary.pending} to do" if summary.pending else "finished"
    if summary.failed and not summary.pending:
        state += ", but for what failed"
    begun = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(summary.started_at))
    lists = f"{summary.done} of {count(summary.queries, 'list')} done, {summary.failed} failed"
    items = f"{count(summary.items, 'item')} on {count(summary.pages, 'page')}"
    dropped = f"{count(summary.duplicates, 'duplicate')} dropped"
    requests = f"{count(summary.requests, 'request')}, {count(summary.retries, 'retry')}"
    cost = f"{count(summary.credits_spent, 'credit')}, {summary.credits_at_risk} more at risk"
    runs = f"{count(summary.runs, 'run')}, {duration(summary.seconds)}"
    lines = [
        f"{file.path}: snapshot {summary.snapshot} of {begun}: {state}",
        f"{lists}; {items}, {dropped}",
        f"{requests}, {summary.rate_limited} refused (429); {cost}; {runs}",
    ]
    # Those that failed first: they are the ones to look into.
    lacking = dict.fromkeys(summary.failures)
    if names_pending and not summary.complete:
        lacking |= dict.fromkeys(file.incomplete(summary.snapshot))
    return lines + incomplete_lines([*lacking], total=max(len(lacking), summary.failed))


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
