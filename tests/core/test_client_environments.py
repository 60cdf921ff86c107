"""Where it runs: under uvloop, in a loop that runs already, in the wrong loop, side by side."""

from __future__ import annotations

import asyncio
import math
import os
import subprocess
import sys
import threading
from itertools import pairwise
from pathlib import Path

import pytest
from aiolimiter import AsyncLimiter

from keyapi_async import ClientClosedError
from keyapi_async.sandbox import Fault, Sandbox


async def two_clients_and_a_sandbox():
    async with (
        Sandbox() as sandbox,
        sandbox.client() as one,
        sandbox.client(timeout=math.inf) as two,
    ):
        sandbox.fail(Fault.status(503))
        pages = await asyncio.gather(
            one.trending.hashtags(),
            two.trending.videos(),
            one.trending.iter_music(prefetch=2).collect(),
        )
        assert [len(pages[0].items), len(pages[1].items)] == [20, 20]
        assert one.usage.credits_spent + two.usage.credits_spent == sandbox.credits_spent


@pytest.mark.skipif(sys.platform == "win32", reason="uvloop is not made for Windows")
def test_under_uvloop():
    import uvloop

    uvloop.run(two_clients_and_a_sandbox())


def test_in_a_loop_that_runs_already_cell_by_cell():
    """As in Jupyter: every cell is a task of its own, and nothing is an `async with`."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    def cell(coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, loop).result(20)

    try:
        sandbox = cell(Sandbox().__aenter__())
        one, two = sandbox.client(), sandbox.client()
        pager = one.trending.iter_hashtags(max_items=45)

        async def some(count):
            return [item async for item, _ in azip(pager, range(count))]

        assert cell(one.trending.hashtags()).number == 1
        assert len(cell(some(30))) == 30
        assert cell(two.trending.hashtag_detail("ufc324")).hashtag_name == "ufc324"
        assert len(cell(pager.collect())) == 15
        cell(one.close())
        cell(two.close())
        cell(sandbox.__aexit__(None, None, None))
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def azip(items, numbers):
    for number in numbers:
        async for item in items:
            yield item, number
            break


def test_from_another_loop_it_says_so():
    async def call():
        return await client.trending.hashtags()

    async def close():
        await client.close()

    with Sandbox() as sandbox:
        client = sandbox.client()
        with asyncio.Runner() as runner:
            runner.run(call())
            with pytest.raises(ClientClosedError, match="another event loop"):
                asyncio.run(call())
            runner.run(close())
        assert len(sandbox.requests) == 1


async def test_two_clients_with_one_limiter_stay_under_it_together():
    limiter = AsyncLimiter(1, 0.1)
    async with (
        Sandbox() as sandbox,
        sandbox.client(limiter=limiter) as one,
        sandbox.client(limiter=limiter) as two,
    ):
        await asyncio.gather(*(client.trending.videos() for client in (one, two) * 15))
        times = [request.time for request in sandbox.requests]
        assert len(times) == 30
        assert all(after - before > 0.09 for before, after in pairwise(times))


class Failing:
    """A shared limiter whose far end is gone when it is told that a request has ended."""

    async def __aenter__(self):
        pass

    async def __aexit__(self, *_):
        raise ConnectionError("the far end is gone")


async def test_a_limiter_that_fails_afterwards_costs_no_answer(caplog):
    async with Sandbox() as sandbox, sandbox.client(limiter=Failing()) as client:
        assert len((await client.trending.hashtags()).items) == 20
        assert client.usage.credits_spent == 2
    assert "its answer is kept" in caplog.text


FIRST_CALL = """
import asyncio, sys
from keyapi_async import KeyAPIClient

async def main():
    assert not {"aiohttp", "yarl", "cattrs", "sqlite3"} & set(sys.modules)
    async with KeyAPIClient(sys.argv[1], base_url=sys.argv[2]) as client:
        before = set(sys.modules)
        assert {"aiohttp", "yarl", "cattrs"} <= before
        await client.trending.hashtags()
        print(sorted(set(sys.modules) - before))

asyncio.run(main())
"""


def test_aiohttp_is_loaded_with_the_client_neither_before_nor_in_a_call():
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    with Sandbox() as sandbox:
        command = [sys.executable, "-c", FIRST_CALL, sandbox.api_key, sandbox.url]
        result = subprocess.run(
            command, env=env, stdout=subprocess.PIPE, text=True, check=True, timeout=20
        )
        assert (result.stdout, len(sandbox.requests)) == ("[]\n", 1)
