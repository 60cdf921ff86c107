"""Paired rounds: contenders take turns, so that whatever slows the machine slows them all."""

from __future__ import annotations

import asyncio
import gc
import statistics
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TypeAlias

Rounds: TypeAlias = dict[str, list[float]]
"""Of each contender, what each round took."""


def alternate(contenders: Mapping[str, Callable[[], object]], rounds: int, times: int) -> Rounds:
    """Run contenders in turn; microseconds of CPU for one call of each, round by round."""
    found: Rounds = {name: [] for name in contenders}
    for call in contenders.values():
        call()
    for _ in range(rounds):
        for name, call in contenders.items():
            gc.collect()
            start = time.process_time()
            for _ in range(times):
                call()
            found[name].append((time.process_time() - start) / times * 1e6)
    return found


async def alternate_calls(
    contenders: Mapping[str, Callable[[], Awaitable[object]]], rounds: int, times: int, flight: int
) -> Rounds:
    """Do the same for coroutines, with so many in flight; CPU of this process alone."""
    found: Rounds = {name: [] for name in contenders}
    for call in contenders.values():
        await in_flight(call, flight, flight)
    for _ in range(rounds):
        for name, call in contenders.items():
            gc.collect()
            start = time.process_time()
            await in_flight(call, times, flight)
            found[name].append((time.process_time() - start) / times * 1e6)
    return found


async def in_flight(call: Callable[[], Awaitable[object]], times: int, flight: int) -> None:
    """Await `call` so many times, with so many under way at once."""
    left = iter(range(times))

    async def work() -> None:
        for _ in left:
            await call()

    await asyncio.gather(*(work() for _ in range(flight)))


def median(values: Sequence[float]) -> float:
    """The median."""
    return statistics.median(values)


def spread(values: Sequence[float]) -> float:
    """Half the distance between the quartiles, in percent of the median."""
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return (high - low) / 2 / middle * 100


def ratio(rounds: Rounds, of: str, to: str) -> float:
    """The median of the ratios of two contenders, round by round."""
    return median([a / b for a, b in zip(rounds[of], rounds[to], strict=True)])
