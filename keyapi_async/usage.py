"""What the client did and spent: running counts, and the events told to `on_event`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from attrs import define, frozen


@define
class Usage:
    """Running counts of one client; read them at any time.

    At every moment `credits_spent <= the server's bill <= credits_spent + credits_at_risk`.

    Attributes:
        requests: Requests that were sent, retries included.
        retries: Those of them that were retries.
        rate_limited: Answers of 429.
        cache_hits: Calls answered without a request of their own.
        credits_spent: Credits of answers with code 0.
        credits_at_risk: Credits of requests that are under way, or that ended so that nobody
            can tell from here whether they were billed (5xx, reset, timeout, cancelled).
        waiting: Calls that wait at the moment: for a slot, a pause, a backoff, the budget.
        in_flight: Requests under way at the moment.
        pace: Requests per second allowed at the moment; infinite where there is no pace, None
            where a `limiter` rules.
    """

    requests: int = 0
    retries: int = 0
    rate_limited: int = 0
    cache_hits: int = 0
    credits_spent: int = 0
    credits_at_risk: int = 0
    waiting: int = 0
    in_flight: int = 0
    pace: float | None = None


@frozen(kw_only=True)
class RequestEvent:
    """One thing that happened, as told to `on_event`.

    Attributes:
        kind: `attempt` (one ended), `retry` (another follows after `wait`), `pause` (a 429 makes
            every call wait `wait` seconds) or `pace` (the pace went down or up to `pace`).
        endpoint: Path of the endpoint.
        params: The query parameters, as sent.
        attempt: Number of the attempt within its call, from 1.
        pace: Requests per second allowed at the moment; as in `Usage`.
        status: HTTP status of the answer, if there was one.
        error: Name of the error's class, if the attempt failed.
        request_id: The server's id of the answer, if it gave one.
        queued: Seconds the attempt waited before it was sent.
        elapsed: Seconds the attempt took after that.
        wait: Seconds until the next step, for `retry` and `pause`.
    """

    kind: Literal["attempt", "retry", "pause", "pace"]
    endpoint: str
    params: Mapping[str, str]
    attempt: int
    pace: float | None
    status: int | None = None
    error: str | None = None
    request_id: str | None = None
    queued: float | None = None
    elapsed: float | None = None
    wait: float | None = None
