"""Cancellation at every await of a call and of a pager: nothing leaks, nothing is lost."""

from __future__ import annotations

import asyncio
import math
from contextlib import aclosing

import pytest

from keyapi_async.sandbox import Fault, Sandbox

STEP = 0.023
"""Virtual seconds from one moment of cancellation to the next."""


def acquired(client) -> int:
    """Connections that the client holds and isn't using."""
    http = client._session.pool.transport._http
    return 0 if http is None else len(http.connector._acquired)


async def cancelled_after_turns(task: asyncio.Task[object], turns: int) -> bool:
    """Cancel a task after so many turns of the loop; False if it was done before."""
    for _ in range(turns):
        await asyncio.sleep(0)
    return await cancelled(task)


async def cancelled_after_seconds(task: asyncio.Task[object], steps: int) -> bool:
    """Cancel a task after so many steps of virtual time; False if it was done before."""
    await asyncio.wait([task], timeout=steps * STEP)
    return await cancelled(task)


async def cancelled(task: asyncio.Task[object]) -> bool:
    if task.done():
        return False
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
    return True


async def check_unharmed(client, sandbox, *, pace: float) -> None:
    """Nothing is held, the books are right, and the next calls go at full pace."""
    usage = client.usage
    assert not acquired(client)
    assert not client._session.pool._waiting
    assert sandbox.credits_spent <= usage.credits_spent + usage.credits_at_risk
    assert usage.credits_spent <= sandbox.credits_spent
    loop = asyncio.get_running_loop()
    began = loop.time()
    await asyncio.gather(*(client.trending.videos() for _ in range(5)))
    latency = sandbox.latency_range[1]
    assert loop.time() - began <= 5 / (0.97 * pace) + latency + 0.01


@pytest.mark.parametrize("faulty", [False, True])
async def test_a_call_cancelled_at_every_turn_of_the_loop(faulty):
    async with Sandbox() as sandbox, sandbox.client(qps=math.inf) as client:
        turns = 0
        while True:
            if faulty:
                sandbox.fail(Fault.truncated(), path="hashtags")
            task = asyncio.create_task(client.trending.hashtags())
            if not await cancelled_after_turns(task, turns):
                break
            sandbox.heal()
            await check_unharmed(client, sandbox, pace=math.inf)
            turns += 1
        await asyncio.gather(task, return_exceptions=True)
        assert turns >= 5  # it did walk through something


async def test_a_call_cancelled_all_along_a_wait_for_pace_pause_backoff_and_answer():
    async with Sandbox(latency=0.1) as sandbox, sandbox.client(qps=20, adaptive=False) as client:
        steps = 0
        while True:
            sandbox.fail(Fault.status(429, retry_after="0.2"), path="hashtags")
            sandbox.fail(Fault.status(503), path="hashtags")
            first = asyncio.create_task(client.trending.hashtag_detail())  # takes the free slot
            task = asyncio.create_task(client.trending.hashtags())
            going_on = await cancelled_after_seconds(task, steps)
            sandbox.heal()
            await first
            await asyncio.sleep(0.3)  # whatever pause there was is over
            if not going_on:
                break
            await check_unharmed(client, sandbox, pace=20)
            steps += 1
        assert task.result().number == 1
        assert steps * STEP > 0.05 + 0.1 + 0.2 + 0.1 + 0.25 + 0.1


@pytest.mark.parametrize("prefetch", [0, 3])
async def test_a_pager_cancelled_all_along_goes_on_from_its_checkpoint(prefetch):
    async with Sandbox(latency=0.02) as sandbox, sandbox.client(qps=200) as client:
        everything = [item["hashtag_id"] for item in sandbox.items("hashtags")]
        steps = 0
        while True:
            pager = client.trending.iter_hashtags(prefetch=prefetch)
            found: list[str] = []

            async def stream(pager=pager, found=found):
                async with aclosing(aiter(pager)) as items:
                    async for item in items:
                        found.append(item.hashtag_id)
                        await asyncio.sleep(0.001)

            before = asyncio.all_tasks()
            task = asyncio.create_task(stream())
            going_on = await cancelled_after_seconds(task, steps)
            assert {t for t in asyncio.all_tasks() - before if "Pager" in repr(t)} == set()
            bookmark = str(pager.checkpoint())
            rest = client.trending.iter_hashtags(start=bookmark, prefetch=prefetch)
            assert found + [item.hashtag_id async for item in rest] == everything
            assert not acquired(client)
            if not going_on:
                break
            # the same pager goes on as well
            assert found + [item.hashtag_id async for item in pager] == everything
            steps += 1
        assert steps >= 5
        await check_unharmed(client, sandbox, pace=200)
