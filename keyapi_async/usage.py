"""What the client did and spent: running counts, and the events told to `on_event`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from attrs import define, frozen

CREDITS_PER_REQUEST = 2
"""What KeyAPI documents: every successful request costs two credits."""


@define
class Usage:
    """Running counts of one client; read them at any time.

    At every moment `credits_spent <= the server's bill <= credits_spent + credits_at_risk`.

    Attributes:
        requests: Requests that were sent, retries included.
        retries: Attempts beyond the first of a call.
        rate_limited: Answers of 429.
        credits_spent: Credits of answers with code 0.
        credits_at_risk: Credits of requests that are under way, or that ended so that nobody
            can tell from here whether they were billed (5xx, reset, timeout, cancelled).
        pace: Requests per second allowed at the moment.
    """

    requests: int = 0
    retries: int = 0
    rate_limited: int = 0
    credits_spent: int = 0
    credits_at_risk: int = 0
    pace: float = 0.0


@frozen(kw_only=True)
class RequestEvent:
    """One thing that happened, as told to `on_event`.

    Attributes:
        kind: `attempt` (one ended), `retry` (another follows after `wait`), `pause` (a 429 makes
            every call wait `wait` seconds) or `pace` (the pace went down or up to `pace`).
        endpoint: Path of the endpoint.
        params: The query parameters, as sent.
        attempt: Number of the attempt within its call, from 1.
        pace: Requests per second allowed at the moment.
        status: HTTP status of the answer, if there was one.
        error: Name of the error's class, if the attempt failed.
        request_id: The server's id of the answer, if it gave one.
        elapsed: Seconds the attempt took, waiting for its slot not counted.
        wait: Seconds until the next step, for `retry` and `pause`.
    """

    kind: Literal["attempt", "retry", "pause", "pace"]
    endpoint: str
    params: Mapping[str, str]
    attempt: int
    pace: float
    status: int | None = None
    error: str | None = None
    request_id: str | None = None
    elapsed: float | None = None
    wait: float | None = None
