"""Hundreds of requests a second while the loop stalls: slots are made up for, not saved up."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path
from typing import Any

import pytest

from keyapi_async.guard import Guard
from keyapi_async.pacing import Limit, OwnPace, Pacer
from keyapi_async.sharing import SharedPace
from keyapi_async.sharing_file import FileStore

MARGIN = 0.03


def limits(kind: str, qps: float, folder: Path) -> list[tuple[Guard, Limit]]:
    """The pace of one client, or of two that share it."""
    guard = Guard(ceiling=qps, pace=qps)
    if kind == "own":
        return [(guard, OwnPace(guard, MARGIN))]
    clock = asyncio.get_running_loop().time
    guards = [Guard(ceiling=qps, pace=qps) for _ in range(2)]
    options: Any = {"margin": MARGIN, "adaptive": True, "budget": None}
    return [
        (one, SharedPace(FileStore(folder / "pace", "name", clock), one, **options))
        for one in guards
    ]


@pytest.mark.parametrize("kind", ["own", "shared"])
@pytest.mark.parametrize(
    ("qps", "longest", "least"),
    # A little less than 0.97, which the margin leaves; far longer stalls do cost slots.
    [
        (50, 0.001, 0.965),
        (500, 0.011, 0.965),
        pytest.param(1000, 0.013, 0.965, marks=pytest.mark.slow),
        pytest.param(1000, 0.08, 0.6, marks=pytest.mark.slow),
    ],
)
async def test_a_stall_costs_few_slots_and_no_second_has_more_than_the_limit(
    kind: str, qps: float, longest: float, least: float, tmp_path: Path
) -> None:
    loop: Any = asyncio.get_running_loop()
    paces, seconds, times = limits(kind, qps, tmp_path), 2.5, list[float]()
    end, rng = loop.time() + seconds, random.Random(7)

    async def work(pacer: Pacer) -> None:
        while loop.time() < end:
            await pacer.acquire()
            times.append(loop.time())

    async def stall() -> None:
        while loop.time() < end:
            await asyncio.sleep(rng.uniform(0.02, 0.1))
            loop.now += rng.uniform(0, longest)

    pacers = [Pacer(guard, limit, adaptive=True) for guard, limit in paces]
    await asyncio.gather(stall(), *(work(pacer) for pacer in pacers for _ in range(8)))
    await asyncio.gather(*(pacer.close() for pacer in pacers))
    times.sort()
    most, first = 0, 0
    for last, moment in enumerate(times):
        while times[first] <= moment - 1:
            first += 1
        most = max(most, last - first + 1)
    assert most <= qps
    in_time = sum(moment < times[0] + seconds for moment in times)
    assert in_time >= least * qps * seconds
