"""What a crawl's file holds, in numbers."""

from __future__ import annotations

import attrs
from attrs import field, frozen

from .errors import FailedQuery, no_crawl
from .snapshots import Counts, count_lists, newest_snapshot
from .store import Store, query_from

_RUNS = """
SELECT count(*), coalesce(sum(requests), 0), coalesce(sum(retries), 0),
    coalesce(sum(rate_limited), 0), coalesce(sum(credits_spent), 0),
    coalesce(sum(credits_at_risk), 0), coalesce(sum(coalesce(ended_at, seen_at) - started_at), 0)
FROM runs WHERE snapshot = ?
"""
_FAILED = """
SELECT q.endpoint, q.params, l.error FROM lists l JOIN queries q ON q.id = l.query
WHERE l.snapshot = ? AND l.state = 'failed' ORDER BY l.id LIMIT ?
"""


@frozen(kw_only=True)
class Summary(Counts):
    """The newest snapshot of a crawl's file.

    What was sent and spent is the client's doing while the crawl ran: whatever else was asked of
    the same client meanwhile is in these numbers, too.

    Attributes:
        snapshot: Its number.
        started_at: When it was begun, in Unix seconds.
        finished_at: When its last list was done; None while there is something to do.
        queries: Lists and details in all.
        done: Those answered, or dropped from the plan.
        failed: Those that failed.
        pages: Answers stored.
        items: Items stored.
        duplicates: Items dropped because their list had them before.
        runs: How many times it was started.
        seconds: How long it ran, all runs together.
        requests: Requests sent, retries included.
        retries: Attempts beyond the first.
        rate_limited: Answers of 429.
        credits_spent: What it cost.
        credits_at_risk: What it may have cost beyond that.
        failures: The first of those that failed.
    """

    snapshot: int
    started_at: float
    runs: int
    seconds: float
    requests: int
    retries: int
    rate_limited: int
    credits_spent: int
    credits_at_risk: int
    failures: tuple[FailedQuery, ...] = field(repr=False)


def summarize(store: Store, *, failures: int = 10) -> Summary:
    """Sum up the newest snapshot.

    Args:
        store: The store.
        failures: Name at most so many of what failed.

    Raises:
        StoreError: It holds no crawl yet.
    """
    newest = newest_snapshot(store)
    if newest is None:
        raise no_crawl(store.path)
    number = newest.number
    ((runs, requests, retries, rate_limited, spent, at_risk, seconds),) = store.rows(_RUNS, number)
    return Summary(
        **attrs.asdict(count_lists(store, number)),
        snapshot=number,
        started_at=newest.started_at,
        runs=runs,
        seconds=seconds,
        requests=requests,
        retries=retries,
        rate_limited=rate_limited,
        credits_spent=spent,
        credits_at_risk=at_risk,
        failures=tuple(
            FailedQuery(query_from(endpoint, params), error or "")
            for endpoint, params, error in store.rows(_FAILED, number, failures)
        ),
    )
