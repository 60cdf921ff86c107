"""The queue for slots: priority first, then arrival; no slot twice, none lost, nobody forgotten."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keyapi_async.guard import Guard
from keyapi_async.pacing import OwnPace, Pacer, Slot
from tests.conftest import DrivenClockLoop


def pacer(qps: float = 10) -> Pacer:
    guard = Guard(ceiling=qps, pace=qps)
    return Pacer(guard, OwnPace(guard, 0.0), adaptive=False)


@pytest.fixture
async def busy() -> AsyncIterator[tuple[Pacer, asyncio.Task[Slot]]]:
    """A pacer whose first slot is gone, and the task that asks for the second."""
    made = pacer(1)
    await made.acquire()
    asker = asyncio.create_task(made.acquire())
    await asyncio.sleep(0)
    yield made, asker
    asker.cancel()


async def test_the_highest_priority_goes_first_then_who_came_first(busy: Any) -> None:
    made, asker = busy
    order: list[str] = []

    async def take(name: str, priority: float) -> None:
        await made.acquire(priority)
        order.append(name)

    asker.add_done_callback(lambda _: order.append("asker"))
    names = [("a", 0), ("b", 0), ("c", 1), ("d", -1), ("e", 1), ("f", 0)]
    await asyncio.gather(*(take(name, priority) for name, priority in names))
    await asker
    assert "".join(order).replace("asker", "*") == "ce*abfd"


@pytest.mark.parametrize("given", [Slot(1000.0), None], ids=["slot", "right to ask"])
async def test_who_is_cancelled_in_the_moment_it_is_served_passes_it_on(given: Any) -> None:
    made = pacer(0.1)
    made._is_asking = True  # this test is who asks
    first, second = (asyncio.create_task(made.acquire()) for _ in range(2))
    await asyncio.sleep(0)
    made._give(given)
    first.cancel()
    slot = await second
    assert first.cancelled()
    if given is None:
        assert (slot.is_first, made._is_asking) == (False, False)
    else:
        assert slot is given
        made._stop_asking()
        assert made._is_asking is False


async def test_a_slot_that_is_given_back_goes_to_the_next_unless_a_pause_has_begun() -> None:
    made = pacer(0.1)
    slot = await made.acquire()
    waiting = [asyncio.create_task(made.acquire()) for _ in range(3)]
    await asyncio.sleep(1)
    await made.give_back(slot)
    assert await waiting[1] is slot
    await made.pause(slot, 5.0, 1.0)
    await made.give_back(slot)
    await asyncio.sleep(1)
    assert [task.done() for task in waiting] == [False, True, False]
    for task in waiting:
        task.cancel()
    await asyncio.sleep(0)
    await made.give_back(slot)  # nobody wants it


async def test_the_least_wait_counts_those_before_and_the_pause() -> None:
    made = pacer(2)
    assert made.least_wait(0) == 0
    await made.acquire()
    waiting = [asyncio.create_task(made.acquire(priority)) for priority in (0, 1, 0, -1)]
    await asyncio.sleep(0)
    assert [made.least_wait(priority) for priority in (2, 1, 0, -1)] == [0, 0.5, 1, 1.5]
    waiting[2].cancel()
    await asyncio.sleep(0)
    assert made.least_wait(0) == 0.5
    await made.pause(Slot(math.inf), 7.0, 1.0)
    assert made.least_wait(2) == pytest.approx(7, abs=0.01)
    assert pacer(math.inf).least_wait(0) == 0
    for task in waiting:
        task.cancel()


STEPS = st.lists(
    st.tuples(
        st.sampled_from([0.0, 0.0, 0.0, 0.05, 0.1, 0.3]),  # seconds since the step before
        st.sampled_from([-1, 0, 0, 0, 1]),  # priority
        st.none() | st.sampled_from([0.0, 0.05, 0.1, 0.2, 1.0]),  # cancelled after
    ),
    max_size=25,
)


@settings(max_examples=150, deadline=None)
@given(steps=STEPS, qps=st.sampled_from([10, math.inf]), pause=st.none() | st.integers(0, 8))
def test_any_arrivals_and_cancellations(steps: Any, qps: float, pause: int | None) -> None:
    with asyncio.Runner(loop_factory=DrivenClockLoop) as runner:
        runner.run(play(steps, qps, pause))


async def play(steps: Any, qps: float, pause: int | None) -> None:
    made, loop = pacer(qps), asyncio.get_running_loop()
    served: list[tuple[float, float, int]] = []
    slots: list[Slot] = []

    async def take(number: int, priority: float) -> None:
        slot = await made.acquire(priority)
        served.append((loop.time(), priority, number))
        slots.append(slot)

    tasks, came = [], dict[int, float]()
    for number, (wait, priority, leaves) in enumerate(steps):
        if wait:
            await asyncio.sleep(wait)
        if number == pause:
            await made.pause(Slot(loop.time()), 2.0, 1.0)
        task = asyncio.create_task(take(number, priority))
        came[number] = loop.time()
        if leaves is not None:
            loop.call_later(leaves, task.cancel)
        tasks.append(task)
    async with asyncio.timeout(60):  # nobody is forgotten
        await asyncio.gather(*tasks, return_exceptions=True)
    assert (made._is_asking, made._queue) == (False, [])
    assert len({id(slot) for slot in slots}) == len(slots) == len(served)  # none given twice
    gaps = [after.at - before.at for before, after in pairwise(slots)]
    assert qps == math.inf or min(gaps, default=1) >= 0.1 - 0.011  # and none early
    for at, priority, number in served:  # among equals nobody is overtaken
        late = [n for when, p, n in served if when < at and p == priority and n > number]
        assert not late
    for at, priority, number in served:
        # nor by less urgent ones that came later, but for the one who has its slot already
        overtook = [n for when, p, n in served if came[number] < came[n] <= when < at - 0.001
                    and p < priority]  # fmt: skip
        assert not overtook
    await made.acquire()  # and it goes on
