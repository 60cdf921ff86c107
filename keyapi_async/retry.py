"""When to try again, as pure functions over an error: no clock, no I/O."""

from __future__ import annotations

import enum
import math
import random
from datetime import UTC
from typing import Any

from attrs import Attribute, define, field, frozen

from .errors import KeyAPIError, ParameterError, RateLimitError, ServerError, TransportError


class Failure(enum.Enum):
    """Kinds of failure, by what trying again may cost."""

    UNSENT = "unsent"
    REFUSED = "refused"
    UNAVAILABLE = "unavailable"
    MAYBE_BILLED = "maybe_billed"
    FINAL = "final"


def classify(error: KeyAPIError) -> Failure:
    """Sort an error by what trying again may cost and bring."""
    match error:
        case RateLimitError():
            return Failure.REFUSED
        case ServerError(status=status, code=code):
            number = code if code is not None and 500 <= code <= 599 else status
            return Failure.UNAVAILABLE if number in (502, 503, 504) else Failure.MAYBE_BILLED
        case TransportError(permanent=False, maybe_billed=billed):
            return Failure.MAYBE_BILLED if billed else Failure.UNSENT
        case _:
            return Failure.FINAL


def to_float(value: object) -> float:
    """A setting as a float; NaN if it is none, or an integer that no float can hold."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return math.nan
    try:
        return float(value)
    except OverflowError:
        return math.nan


def _not_negative(_: object, attribute: Attribute[Any], value: object) -> None:
    if not to_float(value) >= 0:
        raise ParameterError(attribute.name, value, "a number of at least 0")


def _whole(instance: object, attribute: Attribute[Any], value: object) -> None:
    _not_negative(instance, attribute, value)
    if not isinstance(value, int):
        raise ParameterError(attribute.name, value, "a whole number of retries")


@frozen(kw_only=True)
class RetryPolicy:
    """How long and how often a call is tried again. Counts are retries, not attempts.

    Errors that trying again can't mend (400-404, 402, 403, an undecodable 200, cancellation)
    are never retried.

    Attributes:
        rate_limit_deadline: Seconds to keep trying a call that is refused with 429, from its
            first refusal. A refused request costs nothing.
        max_wait: The longest wait in seconds: a longer Retry-After raises at once.
        unsent: Retries of what never left this machine (connect, DNS): free of cost.
        unavailable: Retries after 502, 503 and 504.
        maybe_billed: Retries of what may already have been billed (500, reset, timeout).
        backoff: Seconds before the first retry; doubled each time, with jitter of up to half.
        pause: Seconds that every call waits after a 429 that doesn't say how long.
    """

    rate_limit_deadline: float = field(default=60.0, validator=_not_negative)
    max_wait: float = field(default=30.0, validator=_not_negative)
    unsent: int = field(default=3, validator=_whole)
    unavailable: int = field(default=3, validator=_whole)
    maybe_billed: int = field(default=1, validator=_whole)
    backoff: float = field(default=0.5, validator=_not_negative)
    pause: float = field(default=1.0, validator=_not_negative)

    def allowed(self, failure: Failure) -> int:
        """How many retries this kind of failure gets (429s go by time instead)."""
        match failure:
            case Failure.UNSENT:
                return self.unsent
            case Failure.UNAVAILABLE:
                return self.unavailable
            case Failure.MAYBE_BILLED:
                return self.maybe_billed
            case _:
                return 0

    def wait(self, retry: int, retry_after: float | None = None) -> float:
        """Seconds to wait before retry number `retry` (from 0)."""
        backoff = self.backoff * 2.0 ** min(retry, 60) * random.uniform(0.5, 1.0)
        return max(min(backoff, self.max_wait), retry_after or 0.0)


@define(eq=False, repr=False)
class RetryBudget:
    """Keeps an outage from multiplying traffic: retries are paid for by successes.

    The scheme of the AWS SDKs and of gRPC: each retry draws, each success gives back, and an
    empty budget fails calls at their first error. 429s don't draw on it: the pause paces them.
    """

    CAPACITY = 100
    COST = 5

    tokens: int = CAPACITY

    def draw(self) -> bool:
        """Pay for one retry, if there is enough."""
        if self.tokens < self.COST:
            return False
        self.tokens -= self.COST
        return True

    def refund(self) -> None:
        """Give one back for a success."""
        self.tokens = min(self.tokens + 1, self.CAPACITY)


def parse_retry_after(value: str, *, now: float) -> float | None:
    """Seconds to wait by a Retry-After header, or None if it says nothing usable.

    Args:
        value: The header: seconds or an HTTP date.
        now: The time, in Unix seconds, against which a date counts.
    """
    if len(value) > 64:
        return None
    try:
        seconds = float(value)
    except ValueError:
        at = parse_date(value)
        return None if at is None else max(at - now, 0.0)
    return seconds if math.isfinite(seconds) and seconds >= 0 else None


def parse_date(value: str) -> float | None:
    """Unix seconds of an HTTP date, or None if it is none."""
    from email.utils import parsedate_to_datetime  # noqa: PLC0415 - aiohttp has it by now

    try:
        moment = parsedate_to_datetime(value)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None
