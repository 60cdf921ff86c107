"""Credit budgets: alone, shared by clients and threads, rolling, reset, waited for."""

from __future__ import annotations

import asyncio
import math
import threading
from typing import Any

import pytest

from keyapi_async import CreditBudget, CreditBudgetError, KeyAPIError, ParameterError
from keyapi_async.sandbox import Fault, Sandbox
from tests.core.audited_sandbox import opened
from tests.core.calls import failing, lasting, outcomes, spending


@pytest.mark.parametrize("given", [-1, 1.0, True, "10", None, math.inf])
def test_credits_must_be_whole(given: Any) -> None:
    with pytest.raises(ParameterError, match=r"^credits must be a whole number of at least 0"):
        CreditBudget(given)


@pytest.mark.parametrize("per", [0, -1, math.nan, "60"])
def test_per_must_be_seconds(per: Any) -> None:
    with pytest.raises(ParameterError, match=r"^per must be a number of seconds above 0"):
        CreditBudget(10, per)


async def test_it_tells_what_remains() -> None:
    budget = CreditBudget(10)
    assert repr(budget) == "<CreditBudget 10 of 10 remaining>"
    assert repr(CreditBudget(3, per=60)) == "<CreditBudget 3 of 3 per 60 s remaining>"
    async with opened({"latency": 1}, max_credits=budget) as (client, _):
        call = asyncio.create_task(client.trending.hashtags())
        await asyncio.sleep(0.5)
        assert budget.remaining == 8
        await call
        assert budget.remaining == 8
        assert budget.reserve()
        budget.settle(free=True)
        assert budget.remaining == 8


async def test_what_is_queued_reserves_nothing() -> None:
    budget = CreditBudget(22)
    async with opened(qps=1, max_credits=budget) as (client, sandbox):
        calls = [asyncio.create_task(client.trending.hashtags()) for _ in range(11)]
        await asyncio.sleep(0.5)
        assert (len(sandbox.requests), budget.remaining) == (1, 20)
        await asyncio.gather(*calls)
        error = await failing(client.trending.hashtags(), CreditBudgetError)
        assert error.retry_after is None
        assert str(error).startswith(
            "one more request could pass max_credits=22: 22 are spent or at risk ["
        )


async def test_who_fits_unless_those_under_way_are_billed_waits_for_them() -> None:
    async with opened({"latency": 2}, qps=math.inf, max_credits=4) as (client, sandbox):
        sandbox.fail(Fault.status(404), page=2)
        pages = [1, 2, 3, 4]
        with lasting(4):
            found = await outcomes([client.trending.hashtags(page=page) for page in pages])
        kinds = [type(one).__name__ for one in found]
        assert kinds == ["Page", "NotFoundError", "Page", "CreditBudgetError"]
        assert (len(sandbox.requests), spending(client)) == (3, (4, 0))


@pytest.mark.parametrize("how", ["cancel", "close", "deadline"])
async def test_waiting_for_room_can_be_ended(how: str) -> None:
    async with opened({"latency": 9}, qps=math.inf, max_credits=2) as (client, sandbox):
        caller = client.with_options(deadline=2.0) if how == "deadline" else client
        first = asyncio.create_task(client.trending.hashtags())
        await asyncio.sleep(1)
        with lasting(*((2,) if how == "deadline" else (0,))):
            second = asyncio.create_task(caller.trending.videos())
            await asyncio.sleep(0)
            await asyncio.sleep(0.1)
            assert client.usage.waiting == 1
            if how == "cancel":
                second.cancel()
            if how == "close":
                await client.close()
            await asyncio.wait([second])
        assert (client.usage.waiting, len(sandbox.requests)) == (0, 1)
        await outcomes([first, second])


async def test_no_slot_is_lost_to_those_who_find_no_room() -> None:
    """Twenty who wait for the last two credits take no slots from who has a budget of his own."""
    async with Sandbox(latency=0.5) as sandbox, sandbox.client(qps=2) as client:
        poor = client.with_options(max_credits=4)
        sandbox.fail(Fault.status(404), times=1)
        calls = [asyncio.create_task(poor.trending.hashtags()) for _ in range(20)]
        await asyncio.sleep(0.1)
        with lasting(0, 11):
            await asyncio.gather(*(client.trending.videos() for _ in range(5)))
        found = await outcomes(calls)
        assert sum(isinstance(one, CreditBudgetError) for one in found) == 17
        assert sandbox.credits_spent == 14


async def test_it_rolls() -> None:
    budget = CreditBudget(6, per=60)
    async with opened(qps=1, max_credits=budget) as (client, sandbox):
        await asyncio.gather(*(client.trending.hashtags() for _ in range(3)))
        error = await failing(client.trending.hashtags(), CreditBudgetError)
        assert "max_credits=6 per 60 s" in str(error)
        assert 57 < error.retry_after < 59
        await asyncio.sleep(error.retry_after)
        assert budget.remaining == 2
        await client.trending.hashtags()
        await failing(client.trending.hashtags(), CreditBudgetError)
        await asyncio.sleep(61)
        assert budget.remaining == 6
        times = [request.time for request in sandbox.requests]
        assert all(later - now > 60 for now, later in zip(times, times[3:], strict=False))


async def test_a_window_that_moves_on_makes_room_for_who_waits() -> None:
    budget = CreditBudget(4, per=10)
    async with Sandbox() as sandbox, sandbox.client(qps=math.inf, max_credits=budget) as client:
        await client.trending.hashtags()
        sandbox.fail(Fault.stall(100))
        stalled = asyncio.create_task(client.with_options(timeout=25).trending.hashtags())
        await asyncio.sleep(5)
        with lasting(5):
            await client.trending.videos()
        stalled.cancel()
        await asyncio.wait([stalled])


async def test_reset_lets_those_who_wait_go_on() -> None:
    budget = CreditBudget(4, per=1000)
    async with Sandbox(latency=5) as sandbox, sandbox.client(max_credits=budget) as client:
        await client.trending.hashtags()
        first = asyncio.create_task(client.trending.hashtags())
        await asyncio.sleep(1)
        waiting = asyncio.create_task(client.trending.hashtags())
        await asyncio.sleep(1)
        assert len(sandbox.requests) == 2
        budget.reset()
        assert budget.remaining == 2
        await asyncio.sleep(1)
        assert len(sandbox.requests) == 3
        await asyncio.gather(first, waiting)
        assert budget.remaining == 0


async def test_two_clients_share_one_and_neither_passes_it() -> None:
    budget = CreditBudget(20)
    async with (
        Sandbox(
            latency=(0, 0.5), fault_rate=0.3, faults=[Fault.status(503), Fault.reset()], seed=1
        ) as sandbox,
        sandbox.client(qps=math.inf, max_credits=budget) as one,
        sandbox.client(qps=math.inf, max_credits=budget) as two,
    ):
        calls = [client.trending.hashtags() for client in (one, two) for _ in range(20)]
        found = await outcomes(calls)
        assert sandbox.credits_spent <= sum(spending(one)) + sum(spending(two)) == 20
        assert any(isinstance(each, CreditBudgetError) for each in found)


async def test_the_same_budget_twice_is_one() -> None:
    budget = CreditBudget(4)
    async with opened(max_credits=budget) as (client, _):
        same = client.with_options(max_credits=budget)
        await same.trending.hashtags()
        assert budget.remaining == 2


async def test_a_budget_of_its_own_stands_beside_the_parents() -> None:
    async with opened(max_credits=6) as (client, sandbox):
        quick = client.with_options(max_credits=4)
        for _ in range(2):
            await quick.trending.hashtags()
        await failing(quick.trending.hashtags(), CreditBudgetError)
        await client.trending.hashtags()
        await failing(client.trending.hashtags(), CreditBudgetError)
        assert (spending(quick), spending(client)) == ((4, 0), (6, 0))
        larger = client.with_options(max_credits=100)
        await failing(larger.trending.hashtags(), CreditBudgetError)
        assert len(sandbox.requests) == 3


async def test_the_parent_without_room_gives_back_what_the_child_reserved() -> None:
    async with opened({"latency": 1}, qps=5, max_credits=2) as (client, sandbox):
        sandbox.fail(Fault.status(404), times=2)
        quick = client.with_options(max_credits=100)
        await failing(quick.trending.hashtags())
        await client._session.pool.pacer.acquire()  # now both must queue
        found = await outcomes([quick.trending.hashtags(), quick.trending.hashtags()])
        assert [type(one).__name__ for one in found] == ["NotFoundError", "Page"]


@pytest.mark.real_time
async def test_threads_share_one_and_those_who_wait_are_woken() -> None:
    budget = CreditBudget(20)
    found: list[Any] = []

    with Sandbox(latency=(0, 0.01), fault_rate=0.4, faults=[Fault.status(404)], seed=2) as sandbox:

        async def spend() -> None:
            async with sandbox.client(qps=math.inf, max_credits=budget) as client:
                calls = [client.trending.hashtags() for _ in range(20)]
                found.extend(await outcomes(calls))

        threads = [threading.Thread(target=asyncio.run, args=(spend(),)) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            await asyncio.to_thread(thread.join)
        assert len(found) == 60
        assert all(isinstance(one, KeyAPIError) or one.items for one in found)
        assert sandbox.credits_spent == 20
        assert budget.remaining == 0


def test_who_waits_on_a_loop_that_is_gone_is_in_nobodys_way() -> None:
    budget = CreditBudget(2)
    assert budget.reserve()
    loop = asyncio.new_event_loop()
    waiting = loop.create_task(budget.wait())
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()
    budget.settle(free=True)
    assert budget.remaining == 2
    waiting._log_destroy_pending = False  # type: ignore[attr-defined]


def test_outside_of_a_loop_time_is_monotonic_time() -> None:
    budget = CreditBudget(2, per=1000)
    assert budget.reserve()
    budget.settle(free=False)
    assert budget.remaining == 0
    budget.reset()
    assert budget.remaining == 2


async def test_who_is_woken_while_being_cancelled_is_no_accident() -> None:
    budget = CreditBudget(2)
    assert budget.reserve()
    waiting = asyncio.create_task(budget.wait())
    await asyncio.sleep(0)
    budget.settle(free=True)
    budget.reset()  # wakes it a second time
    await waiting
    assert budget.remaining == 2
