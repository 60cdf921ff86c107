"""A rolling budget that clients share, exact at the server."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from keyapi_async import (
    ClientClosedError,
    CreditBudget,
    CreditBudgetError,
    Page,
    RetryPolicy,
)
from keyapi_async.sandbox import Fault
from keyapi_async.shared_state import HOLD
from tests.core.calls import failing, lasting, outcomes, spending
from tests.core.shares import move_away, sharing, store_of


def budgets(*credits_: int, per: float = 600, qps: float = 10) -> list[dict[str, Any]]:
    return [{"qps": qps, "max_credits": CreditBudget(each, per)} for each in credits_]


async def call(client: Any, times: int) -> tuple[int, list[Any]]:
    """How many of these calls were answered, and the errors of the others."""
    found = await outcomes([client.trending.hashtags() for _ in range(times)])
    errors = [one for one in found if not isinstance(one, Page)]
    return len(found) - len(errors), errors


@pytest.mark.parametrize("latency", [0, (0.1, 0.5)])
async def test_together_they_spend_it_and_no_more(share: str, latency: Any) -> None:
    async with sharing(share, {"latency": latency}, *budgets(41, 41)) as (sandbox, one, other):
        found = await asyncio.gather(call(one, 20), call(other, 20))
        assert sum(answered for answered, _ in found) == len(sandbox.requests) == 20
        assert sandbox.credits_spent == 40
        assert {type(error) for _, errors in found for error in errors} == {CreditBudgetError}
        assert spending(one)[0] + spending(other)[0] == 40


async def test_the_error_tells_what_is_left_and_when_there_is_room_again(share: str) -> None:
    options = budgets(7, 7, per=60)
    async with sharing(share, {}, *options) as (sandbox, one, other):
        await call(one, 3)
        error = await failing(other.trending.hashtags(), CreditBudgetError)
        assert str(error).startswith(
            "one more request could pass max_credits=7 per 60 s, or a smaller budget of who "
            "shares it: 1 are left, again in 60 s [GET /v1/tiktok/trending/hashtags"
        )
        assert 59 < error.retry_after <= 60
        assert options[1]["max_credits"].remaining == 1
        assert repr(options[1]["max_credits"]) == "<CreditBudget 1 of 7 per 60 s remaining>"
        await asyncio.sleep(error.retry_after + 0.001)
        await other.trending.hashtags()
        await failing(other.trending.hashtags(), CreditBudgetError)
        await asyncio.sleep(61)
        assert (await call(one, 4))[0] == 3
        times = [request.time for request in sandbox.requests]
        assert all(later - now > 59.9 for now, later in zip(times, times[3:], strict=False))


async def test_a_budget_too_small_for_one_request_never_has_room(share: str) -> None:
    async with sharing(share, {}, *budgets(1)) as (sandbox, client):
        error = await failing(client.trending.hashtags(), CreditBudgetError)
        assert error.retry_after is None
        assert sandbox.requests == []


async def test_a_smaller_budget_of_another_holds_until_it_has_gone(share: str) -> None:
    async with sharing(share, {}, *budgets(4, 100, per=3600)) as (sandbox, poor, rich):
        await call(poor, 1)
        answered, errors = await call(rich, 4)
        assert (answered, len(sandbox.requests)) == (1, 2)
        assert "0 are left" in str(errors[0])
        await asyncio.sleep(HOLD - 1)
        assert (await call(rich, 1))[0] == 0
        await asyncio.sleep(2)
        assert (await call(rich, 4))[0] == 4
        assert (await call(poor, 1))[0] == 0
        assert (await call(rich, 1))[0] == 0  # it binds again
        assert len(sandbox.requests) == 6


async def test_windows_of_different_length_all_hold(share: str) -> None:
    options = [*budgets(4, per=10), *budgets(8, per=1000)]
    async with sharing(share, {}, *options) as (sandbox, short, long):
        answered = 0
        for _ in range(5):
            answered += (await call(short, 1))[0] + (await call(long, 2))[0]
            await asyncio.sleep(10.5)
        assert answered == len(sandbox.requests) == 4


@pytest.mark.parametrize("credits_", [10**20, 8])
async def test_a_window_may_be_for_ever(share: str, credits_: int) -> None:
    options = budgets(credits_, credits_, per=float("inf"))
    async with sharing(share, {}, *options) as (_, one, other):
        assert (await call(one, 3))[0] == 3
        await asyncio.sleep(1e6)
        answered, errors = await call(other, 3)
        assert (answered, [error.retry_after for error in errors]) in [(3, []), (1, [None, None])]


# What costs nothing is given back


async def test_what_was_refused_or_failed_unbilled_costs_nothing(share: str) -> None:
    async with sharing(share, {}, *budgets(20, 20)) as (sandbox, one, other):
        sandbox.fail(Fault.status(429), times=3)
        sandbox.fail(Fault.status(404), page=7)
        await failing(one.trending.hashtags(page=7))
        found = await asyncio.gather(call(one, 10), call(other, 10))
        assert sum(answered for answered, _ in found) == 10
        assert sandbox.credits_spent == 20
        assert len(sandbox.requests) == 14


async def test_what_may_have_been_billed_counts(share: str) -> None:
    options = budgets(6, 6)
    retry = {"retry": RetryPolicy(maybe_billed=0)}
    async with sharing(share, {}, *(one | retry for one in options)) as (sandbox, one, other):
        sandbox.fail(Fault.status(500))
        await failing(one.trending.hashtags())
        assert (await call(other, 5))[0] == 2
        assert len(sandbox.requests) == 3


async def test_who_fits_unless_those_under_way_are_billed_waits_for_them(share: str) -> None:
    async with sharing(share, {"latency": 2}, *budgets(4, 4)) as (sandbox, one, other):
        sandbox.fail(Fault.status(404), page=2)
        with lasting(4):
            found = await outcomes([one.trending.hashtags(page=page) for page in (1, 2, 3, 4)])
        kinds = [type(one).__name__ for one in found]
        assert kinds == ["Page", "NotFoundError", "Page", "CreditBudgetError"]
        assert (await call(other, 1))[0] == 0
        assert sandbox.credits_spent == 4


async def test_room_that_comes_while_others_are_under_way_is_taken(share: str) -> None:
    options = budgets(2, 100, per=5)
    async with sharing(share, {"latency": 20}, *options) as (sandbox, poor, rich):
        calls = [asyncio.create_task(rich.trending.hashtags())]
        await asyncio.sleep(1)
        assert (await call(poor, 1))[0] == 0
        with lasting(24, 24.2):
            calls.append(asyncio.create_task(rich.trending.hashtags()))
            await asyncio.gather(*calls)
        times = [request.time for request in sandbox.requests]
        assert times[1] - times[0] == pytest.approx(5, abs=0.1)


async def test_what_is_freed_while_the_share_is_asked_for_more_is_used(share: str) -> None:
    async with sharing(share, {"latency": 0.2}, *budgets(2)) as (sandbox, client):
        move_away(client)
        sandbox.fail(Fault.status(404), page=1)
        with lasting(1.6, 1.9):  # three times half a second, and the answer
            found = await outcomes([client.trending.hashtags(page=page) for page in (1, 2)])
        assert [type(one).__name__ for one in found] == ["NotFoundError", "Page"]
        assert sandbox.credits_spent == 2


async def test_who_is_cancelled_while_it_waits_for_its_slot_spends_nothing(share: str) -> None:
    async with sharing(share, {}, *budgets(4, 4, qps=1)) as (sandbox, one, other):
        await call(one, 1)
        waiting = asyncio.create_task(one.trending.hashtags())
        await asyncio.sleep(0.5)
        waiting.cancel()
        assert (await call(other, 1))[0] == 0  # it holds the slot, and the credits, until it passes
        await asyncio.sleep(2)
        assert (await call(one, 1))[0] == 1
        assert (await call(other, 1))[0] == 0
        assert sandbox.credits_spent == 4


@pytest.mark.parametrize("how", ["refused", "waiting"])
async def test_closing_gives_back(share: str, how: str) -> None:
    async with sharing(share, {}, *budgets(2, 2, qps=0.5)) as (sandbox, one, other):
        if how == "refused":
            sandbox.fail(Fault.status(404))
            await failing(one.trending.hashtags())
        else:
            async with asyncio.timeout(1):
                sandbox.fail(Fault.status(404))
                await failing(one.trending.hashtags())
            waiting = asyncio.create_task(one.trending.videos())
            await asyncio.sleep(0.5)
            assert (await call(other, 1))[0] == 0
        await one.close()
        assert (await call(other, 1))[0] == 1
        if how == "waiting":
            await failing(waiting)
        assert len(sandbox.requests) == 2


async def test_closing_gives_back_what_is_just_being_reserved(share: str) -> None:
    async with sharing(share, {}, *budgets(2, 2)) as (sandbox, one, other):
        move_away(one)
        asking = asyncio.create_task(one.trending.hashtags())
        await asyncio.sleep(0.25)
        assert (await call(other, 1))[0] == 0
        with lasting(0, 0.01):
            await one.close()
        await failing(asking, ClientClosedError)
        assert (await call(other, 1))[0] == 1
        assert len(sandbox.requests) == 1


async def test_a_budget_without_a_window_is_each_clients_own(share: str) -> None:
    options = {"qps": 10, "max_credits": CreditBudget(4)}
    async with sharing(share, {}, options, {"qps": 10, "max_credits": 4}) as (sandbox, one, other):
        assert [(await call(client, 4))[0] for client in (one, other)] == [2, 2]
        assert len(sandbox.requests) == 4


async def test_a_budget_that_is_reset_here_is_still_counted_by_the_others(share: str) -> None:
    options = budgets(4, 4)
    async with sharing(share, {}, *options) as (sandbox, one, other):
        await call(one, 2)
        options[0]["max_credits"].reset()
        assert options[0]["max_credits"].remaining == 4
        assert (await call(one, 1))[0] == (await call(other, 1))[0] == 0
        assert len(sandbox.requests) == 2
        assert store_of(one) is not store_of(other)
