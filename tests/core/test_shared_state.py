"""The pace that processes share, without a clock or a store."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyapi_async.guard import QUIET, Guard, Refusal
from keyapi_async.pacing import LATE, catch_up
from keyapi_async.shared_state import HOLD, Claim, Reply, State

NOW = 1_800_000_000.0


def reserve(state: State, now: float, claim: Claim | None = None) -> tuple[float, Reply]:
    """Reserve a slot: when it is, and the whole reply."""
    claim = claim or Claim(qps=10)
    reply = state.ask(now, claim)
    assert not reply.pause
    state.reserve(claim)
    return now + reply.wait, reply


def refuse(state: State, now: float, wait: float, **more: Any) -> None:
    guard = state.guard()
    guard.pause(now, Refusal(sent_at=now, wait=wait, **more))
    state.adopt(guard)


def test_the_first_slot_is_at_once_and_the_next_an_interval_later() -> None:
    state = State()
    slots = [reserve(state, NOW)[0] - NOW for _ in range(4)]
    assert slots == pytest.approx([0, 0.1, 0.2, 0.3])
    assert reserve(state, NOW + 0.35, Claim(qps=10, margin=0.5))[0] - NOW == pytest.approx(0.4)
    assert reserve(state, NOW + 0.35)[0] - NOW == pytest.approx(0.6)  # a margin is an interval, too
    assert reserve(state, NOW + 99)[0] == NOW + 99  # nothing is saved up


def test_slots_missed_by_little_are_made_up_for() -> None:
    state, claim = State(), Claim(qps=100, late=0.025)
    reserve(state, NOW, claim)
    slots = [reserve(state, NOW + 1, claim)[0] - NOW for _ in range(5)]
    assert slots == pytest.approx([1, 1, 1, 1.005, 1.015])


CLAIMS = st.builds(
    lambda qps, margin: Claim(qps=qps, margin=margin, late=catch_up(qps, margin)),
    st.sampled_from([2.0, 10.0, 50.0, 1000.0]),
    st.just(0.03),
)
GAPS = st.sampled_from([0.0, 0.0, 0.001, 0.02, 0.1, 0.5, 2.0])


@given(claim=CLAIMS, gaps=st.lists(GAPS, max_size=80))
def test_no_second_has_more_than_the_limit_however_slots_are_asked_for(
    claim: Claim, gaps: list[float]
) -> None:
    state, now, due, slots = State(), NOW, list[float](), list[float]()
    for gap in gaps:
        now += gap
        slots.append(reserve(state, now, claim)[0])
        due.append(state.last_slot)
    interval = 1 / (0.97 * claim.qps)
    assert all(after - before >= interval - 1e-6 for before, after in pairwise(due))
    most = max((sum(0 <= one - first < 1 for one in slots) for first in slots), default=0)
    # The first slot of a window is beside what a second's worth is.
    assert most <= max(claim.qps, 0.97 * claim.qps + 1 + 1e-6)


@given(gaps=st.lists(st.tuples(GAPS, st.sampled_from([5.0, 10.0, 20.0])), min_size=1, max_size=60))
def test_no_slot_is_given_twice_and_none_faster_than_the_lowest_rate(
    gaps: list[tuple[float, float]],
) -> None:
    state, now, slots = State(), NOW, list[float]()
    lowest = math.inf
    for gap, qps in gaps:
        now += gap
        slot, reply = reserve(state, now, Claim(qps=qps))
        lowest = min(lowest, qps)  # nobody's HOLD passes in this time
        assert reply.pace == lowest
        slots.append(slot)
    assert all(after > before for before, after in pairwise(slots))


def test_a_lower_rate_binds_the_others_for_a_minute_after_its_last_slot() -> None:
    state = State()
    assert reserve(state, NOW, Claim(qps=50))[1].pace == 50
    slot, reply = reserve(state, NOW, Claim(qps=10))
    assert reply.pace == 10
    assert reserve(state, slot + HOLD - 0.1, Claim(qps=50))[1].pace == 10
    assert reserve(state, slot + HOLD, Claim(qps=50))[1].pace == 10
    assert reserve(state, slot + HOLD + 0.1, Claim(qps=50))[1].pace == 50
    assert reserve(state, slot + HOLD + 0.2, Claim(qps=20))[1].pace == 20
    later = reserve(state, slot + HOLD + 9, Claim(qps=20))[0]  # each slot of its own prolongs it
    assert reserve(state, later + HOLD, Claim(qps=50))[1].pace == 20


def test_nobody_sends_in_a_pause_and_after_it_they_leave_one_by_one() -> None:
    state = State()
    reserve(state, NOW)
    refuse(state, NOW, 3)
    reply = state.ask(NOW + 1, Claim(qps=10))
    assert (reply.pause, reply.wait) == (2, 2)
    found = [reserve(state, NOW + 3) for _ in range(3)]
    assert [slot - NOW for slot, _ in found] == pytest.approx([3, 3.1, 3.2])
    assert [reply.is_first for _, reply in found] == [True, False, False]


def test_the_pace_is_cut_for_all_and_climbs_back() -> None:
    state = State()
    for at in (0.0, 2.0):
        reserve(state, NOW + at)
        refuse(state, NOW + at, 1)
    _, reply = reserve(state, NOW + 3.1)
    assert reply.pace == pytest.approx(9)
    assert not reply.may_climb
    assert reserve(state, NOW + 3.0 + QUIET)[1].may_climb
    guard = state.guard()
    assert guard.climb(NOW + 7)
    state.adopt(guard)
    _, reply = reserve(state, NOW + 7.1)
    assert (reply.pace, reply.may_climb) == (pytest.approx(9 * 1.07), False)
    assert state.is_probing
    assert state.guard().is_probing
    guard = state.guard()
    assert guard.climb(NOW + 60)
    state.adopt(guard)
    assert (state.cut, state.guard().pace) == (0.0, 10)
    assert reserve(state, NOW + 99)[1].may_climb is False


MOMENTS = st.floats(0.01, 5)


@given(back=st.floats(0.1, 1e6), ahead=st.integers(1, 30), pause=st.none() | MOMENTS)
def test_what_was_ahead_stays_as_far_ahead_when_the_clock_is_set_back(
    back: float, ahead: int, pause: float | None
) -> None:
    state, other = State(), State()
    for one in (state, other):
        for _ in range(ahead):
            reserve(one, NOW, Claim(qps=5))
        if pause:
            refuse(one, NOW, pause)
    claim = Claim(qps=20)
    moved, expected = state.ask(NOW - back, claim), other.ask(NOW, claim)
    assert moved.wait == pytest.approx(expected.wait, abs=1e-3)
    assert moved.pause == pytest.approx(expected.pause, abs=1e-3)
    assert (moved.pace, moved.is_first) == (expected.pace, expected.is_first)
    assert moved.pace == 5
    assert state.ceiling_until - (NOW - back) == pytest.approx(other.ceiling_until - NOW, abs=1e-3)


def test_the_state_takes_over_all_of_a_guard() -> None:
    guard = Guard(
        ceiling=10, pace=4, paused_until=NOW, changed_at=NOW - 1, quiet=8.0, is_probing=True
    )
    state = State(ceiling=10)
    state.adopt(guard)
    names = ("ceiling", "pace", "paused_until", "changed_at", "quiet", "is_probing")
    again = state.guard()
    assert [getattr(again, name) for name in names] == [getattr(guard, name) for name in names]


@pytest.mark.parametrize(
    ("pace", "margin", "seconds"),
    [(10, 0.03, LATE), (50, 0.03, 0.00125), (500, 0.03, 0.0125), (1000, 0.03, 0.015),
     (1000, 0.0, LATE), (5000, 0.5, 0.125)],
)  # fmt: skip
def test_what_is_made_up_for_fits_into_the_margin(
    pace: float, margin: float, seconds: float
) -> None:
    assert catch_up(pace, margin) == pytest.approx(seconds)
    assert (1 - margin) * pace + 1 + pace * seconds <= pace or not margin or pace < 100
