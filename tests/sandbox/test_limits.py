"""The limiters, by a clock in hand."""

from __future__ import annotations

from typing import Any

from keyapi_async.sandbox.limits import FixedWindow, LeakyBucket, SlidingWindow, make_limiter


def verdicts(limiter: Any, *times: float) -> str:
    return "".join("+" if limiter.admits(now) else "-" for now in times)


def test_no_limit() -> None:
    assert make_limiter(None, "sliding", 0) is None


def test_sliding_window() -> None:
    limiter = make_limiter(2, "sliding", 0)
    assert limiter == SlidingWindow(capacity=2, seconds=1.0)
    assert verdicts(limiter, 0.0, 0.6, 0.9, 1.0, 1.5, 1.6) == "++-+-+"


def test_fixed_window() -> None:
    limiter = make_limiter(2.5, "fixed", 0)
    assert limiter == FixedWindow(capacity=2, seconds=0.8)
    assert verdicts(limiter, 0.0, 0.7, 0.75, 0.8, 0.8, 0.9, 1.6) == "++-++-+"


def test_leaky_bucket_is_nginx() -> None:
    assert verdicts(make_limiter(10, "leaky", 0), 5.0, 5.05, 5.1, 5.15, 5.3) == "+-+-+"
    limiter = make_limiter(10, "leaky", 2)
    assert isinstance(limiter, LeakyBucket)
    assert verdicts(limiter, *[0.0] * 4, 0.1, 0.1, 9.0, 9.0, 9.0, 9.0) == "+++-+-+++-"


def test_half_a_request_per_second_is_one_in_two() -> None:
    assert verdicts(make_limiter(0.5, "sliding", 0), 0.0, 1.9, 2.0) == "+-+"
