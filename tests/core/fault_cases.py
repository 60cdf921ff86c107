"""Faults that stay: what a call ends with, after how many attempts, and what it costs."""

from __future__ import annotations

from attrs import frozen

from keyapi_async import (
    APIError,
    AuthenticationError,
    BadRequestError,
    InsufficientCreditsError,
    InvalidResponseError,
    KeyAPIError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitError,
    RequestTimeoutError,
    ServerError,
    TransportError,
)
from keyapi_async.sandbox import Fault
from tests.core.scripted_server import EVER


@frozen
class Case:
    """A fault that stays, and what a call makes of it."""

    fault: Fault
    error: type[KeyAPIError]
    attempts: int
    """Until it gives up."""
    at_risk: int = 0
    """Credits, after those attempts."""
    spent: int = 0


CASES: dict[str, Case] = {
    "400": Case(Fault.status(400), BadRequestError, 1),
    "401": Case(Fault.status(401), AuthenticationError, 1),
    "402": Case(Fault.status(402), InsufficientCreditsError, 1),
    "403": Case(Fault.status(403), PermissionDeniedError, 1),
    "404": Case(Fault.status(404), NotFoundError, 1),
    "html 404": Case(Fault.html(404), NotFoundError, 1),
    "401 in a 200": Case(Fault.status(401, http=200), AuthenticationError, 1),
    "unknown code": Case(Fault.status(1234, http=200), APIError, 1, 2),
    "500": Case(Fault.status(500), ServerError, 2, 4),
    "501": Case(Fault.status(501), ServerError, 2, 4),
    "500 in a 200": Case(Fault.status(500, http=200), ServerError, 2, 4),
    "502": Case(Fault.status(502), ServerError, 4, 8),
    "html 502": Case(Fault.html(502), ServerError, 4, 8),
    "503": Case(Fault.status(503), ServerError, 4, 8),
    "503 in a 200": Case(Fault.status(503, http=200), ServerError, 4, 8),
    "504": Case(Fault.status(504), ServerError, 4, 8),
    "reset": Case(Fault.reset(), TransportError, 2, 4),
    "disconnect": Case(Fault.disconnect(), TransportError, 2, 4),
    "stall": Case(Fault.stall(EVER), RequestTimeoutError, 2, 4),
    "drip": Case(Fault.drip(EVER), RequestTimeoutError, 2, 4),
    "truncated": Case(Fault.truncated(), InvalidResponseError, 1, 2),
    "half json": Case(Fault.half_json(), InvalidResponseError, 1, 2),
    "html 200": Case(Fault.html(200), InvalidResponseError, 1, 2),
    "429 for an hour": Case(Fault.status(429, retry_after="3600"), RateLimitError, 1),
    "data null": Case(Fault.data(None), InvalidResponseError, 1, spent=2),
    "data empty": Case(Fault.data({}), InvalidResponseError, 1, spent=2),
    "bomb": Case(Fault.bomb(17_000_000), InvalidResponseError, 1, 2),
}
