"""When to try again: the policy, the kinds of failure, the budget, Retry-After."""

from __future__ import annotations

import math

import pytest
from attrs.exceptions import FrozenInstanceError
from hypothesis import example, given, settings
from hypothesis import strategies as st

from keyapi_async import (
    APIError,
    AuthenticationError,
    BadRequestError,
    ClientClosedError,
    CreditBudgetError,
    InsufficientCreditsError,
    InvalidResponseError,
    KeyAPIError,
    NotFoundError,
    PaginationError,
    ParameterError,
    PermissionDeniedError,
    RateLimitError,
    RequestTimeoutError,
    RetryPolicy,
    ServerError,
    TransportError,
)
from keyapi_async.errors import excerpt
from keyapi_async.retry import Failure, RetryBudget, classify, parse_retry_after

NOW = 1_700_000_000.0  # Tue, 14 Nov 2023 22:13:20 GMT
FLOATS = ["rate_limit_deadline", "max_wait", "backoff", "pause"]
COUNTS = ["unsent", "unavailable", "maybe_billed"]


# -- the policy ------------------------------------------------------------------------------------


def test_the_default_policy_is_the_documented_one() -> None:
    assert repr(RetryPolicy()) == (
        "RetryPolicy(rate_limit_deadline=60.0, max_wait=30.0, unsent=3, unavailable=3,"
        " maybe_billed=1, backoff=0.5, pause=1.0)"
    )


@pytest.mark.parametrize("name", FLOATS)
@pytest.mark.parametrize("value", [0, 0.0, 7, 1e300, math.inf])
def test_seconds_may_be_any_number_from_0(name: str, value: float) -> None:
    assert getattr(RetryPolicy(**{name: value}), name) == value


@pytest.mark.parametrize("name", FLOATS + COUNTS)
@pytest.mark.parametrize(
    "value", [-1, -0.5, math.nan, True, "3", None, [], 10**400, -(10**5000)], ids=excerpt
)
def test_what_is_no_number_from_0_is_refused(name: str, value: object) -> None:
    with pytest.raises(
        ParameterError, match=f"^{name} must be a number of at least 0, not "
    ) as caught:
        RetryPolicy(**{name: value})  # type: ignore[arg-type]
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize("name", COUNTS)
@pytest.mark.parametrize("value", [1.0, 2.5, math.inf])
def test_counts_are_whole(name: str, value: float) -> None:
    with pytest.raises(ParameterError) as caught:
        RetryPolicy(**{name: value})  # type: ignore[arg-type]
    assert str(caught.value) == f"{name} must be a whole number of retries, not {value}"


def test_a_policy_is_a_value() -> None:
    assert RetryPolicy(unsent=9) == RetryPolicy(unsent=9) != RetryPolicy()
    assert len({RetryPolicy(), RetryPolicy(), RetryPolicy(backoff=1)}) == 2
    with pytest.raises(FrozenInstanceError):
        RetryPolicy().unsent = 4  # type: ignore[misc]


def test_each_kind_of_failure_has_its_own_number_of_retries() -> None:
    policy = RetryPolicy(unsent=7, unavailable=8, maybe_billed=9)
    assert {failure.name: policy.allowed(failure) for failure in Failure} == {
        "UNSENT": 7,
        "REFUSED": 0,  # by time, not by count
        "UNAVAILABLE": 8,
        "MAYBE_BILLED": 9,
        "FINAL": 0,
    }


@pytest.mark.parametrize(
    ("retry", "low", "high"),
    [(0, 0.25, 0.5), (1, 0.5, 1.0), (2, 1.0, 2.0), (5, 8.0, 16.0), (6, 16.0, 30.0)],
)
def test_waits_double_with_jitter_of_up_to_half(retry: int, low: float, high: float) -> None:
    waits = [RetryPolicy().wait(retry) for _ in range(400)]
    assert low <= min(waits) < low + (high - low) / 4
    assert high - (high - low) / 4 < max(waits) <= high


@pytest.mark.parametrize("retry", [7, 60, 10**6])
def test_waits_are_capped(retry: int) -> None:
    assert RetryPolicy().wait(retry) == 30.0


def test_retry_after_is_the_shortest_wait_and_no_cap_shortens_it() -> None:
    assert RetryPolicy().wait(0, 7.0) == 7.0
    assert RetryPolicy(max_wait=1).wait(0, 7.0) == 7.0
    assert RetryPolicy().wait(9, 7.0) == 30.0
    assert RetryPolicy(backoff=0).wait(3) == 0.0


# -- kinds of failure ------------------------------------------------------------------------------


def unsent(cls: type[TransportError], *, billed: bool, permanent: bool = False) -> TransportError:
    error = cls("no")
    error.maybe_billed, error.permanent = billed, permanent
    return error


@pytest.mark.parametrize(
    ("error", "failure"),
    [
        (RateLimitError(status=429), "REFUSED"),
        (RateLimitError(status=200, code=429), "REFUSED"),
        *[(ServerError(status=s), "UNAVAILABLE") for s in (502, 503, 504)],
        *[(ServerError(status=s), "MAYBE_BILLED") for s in (500, 501, 505, 520, 599)],
        (ServerError(status=200, code=503), "UNAVAILABLE"),
        (ServerError(status=200, code=500), "MAYBE_BILLED"),
        (ServerError(status=503, code=500), "MAYBE_BILLED"),
        (ServerError(status=500, code=503), "UNAVAILABLE"),
        (ServerError(status=503, code=0), "UNAVAILABLE"),
        (ServerError(status=503, code=1003), "UNAVAILABLE"),
        (unsent(TransportError, billed=False), "UNSENT"),
        (unsent(RequestTimeoutError, billed=False), "UNSENT"),
        (unsent(TransportError, billed=True), "MAYBE_BILLED"),
        (unsent(RequestTimeoutError, billed=True), "MAYBE_BILLED"),
        (unsent(TransportError, billed=False, permanent=True), "FINAL"),
        (APIError(status=418), "FINAL"),
        (BadRequestError(status=400), "FINAL"),
        (AuthenticationError(status=401), "FINAL"),
        (InsufficientCreditsError(status=402), "FINAL"),
        (PermissionDeniedError(status=403), "FINAL"),
        (NotFoundError(status=404), "FINAL"),
        (InvalidResponseError("no"), "FINAL"),
        (PaginationError("no"), "FINAL"),
        (CreditBudgetError("no"), "FINAL"),
        (ClientClosedError("no"), "FINAL"),
    ],
    ids=repr,
)
def test_failures_are_sorted_by_what_trying_again_may_cost(
    error: KeyAPIError, failure: str
) -> None:
    assert classify(error).name == failure


# -- the budget ------------------------------------------------------------------------------------


def draws(budget: RetryBudget) -> int:
    count = 0
    while budget.draw():
        count += 1
    return count


def test_a_full_budget_pays_for_20_retries_and_5_successes_for_one_more() -> None:
    budget = RetryBudget()
    assert draws(budget) == 20
    for _ in range(4):
        budget.refund()
    assert not budget.draw()
    budget.refund()
    assert draws(budget) == 1


def test_successes_beyond_a_full_budget_are_not_saved_up() -> None:
    budget = RetryBudget()
    for _ in range(50):
        budget.refund()
    assert draws(budget) == 20


# -- Retry-After -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0.0),
        ("7", 7.0),
        (" 7 ", 7.0),
        ("1.5", 1.5),
        ("86400", 86400.0),
        ("Tue, 14 Nov 2023 22:13:50 GMT", 30.0),
        ("Tuesday, 14-Nov-23 22:13:50 GMT", 30.0),
        ("Tue Nov 14 22:13:50 2023", 30.0),
        ("Tue, 14 Nov 2023 22:13:50", 30.0),
        ("Tue, 14 Nov 2023 23:13:50 +0100", 30.0),
        ("Tue, 14 Nov 2023 22:13:50 -0000", 30.0),
        ("Tue, 14 Nov 2023 22:13:20 GMT", 0.0),
        ("Sun, 06 Nov 1994 08:49:37 GMT", 0.0),
    ],
)
def test_retry_after_is_read(value: str, seconds: float) -> None:
    assert parse_retry_after(value, now=NOW) == seconds


@pytest.mark.parametrize(
    "value",
    [
        "",
        " ",
        "soon",
        "-5",
        "nan",
        "inf",
        "-inf",
        "1e400",
        "7 s",
        "7,7",
        "0x7",
        "\x00",
        "\ud800",
        "9" * 65,
        "x" * 10_240,
        "7" + " " * 10_240,
        "Tue, 99 Nov 2023 22:13:50 GMT",
        "Tue, 14 Nov 99999 22:13:50 GMT",
        "Tue, 14 Nov 2023 22:13:50 +9999999999",
    ],
)
def test_an_absurd_retry_after_says_nothing(value: str) -> None:
    assert parse_retry_after(value, now=NOW) is None


DATE_PARTS = st.sampled_from(
    ["Tue", ",", "14", "Nov", "2023", "0", "22:13:50", "1:2:3:4", "GMT", "+0100", "-9999", "-", ":"]
)


@settings(deadline=None)
@given(
    st.text()
    | st.lists(DATE_PARTS, max_size=9).map(" ".join)
    | st.lists(st.integers(-99, 99999).map(str) | DATE_PARTS, max_size=9).map("-".join)
    | st.floats().map(str)
    | st.integers().map(str),
    st.floats(0, 4e9),
)
@example("Fri, 31 Dec 9999 23:59:59 -2359", 0.0)
@example("Mon, 01 Jan 0001 00:00:00 +2359", 4e9)
def test_any_retry_after_is_seconds_or_nothing(value: str, now: float) -> None:
    seconds = parse_retry_after(value, now=now)
    assert seconds is None or (math.isfinite(seconds) and seconds >= 0)
