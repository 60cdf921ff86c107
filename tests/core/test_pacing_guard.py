"""The guard of the pace: a state machine without a clock of its own."""

from __future__ import annotations

import math

import pytest

from keyapi_async.guard import Guard, Refusal, cut_after

NEVER = -math.inf


def guard(pace: float = 100.0, ceiling: float = 100.0) -> Guard:
    return Guard(ceiling=ceiling, pace=pace)


def refused(state: Guard, now: float, resumed_at: float, *, first: bool) -> bool:
    """Refuse a request sent after a pause that ended at `resumed_at`; whether that cut the pace."""
    before, state.paused_until = state.pace, resumed_at
    assert state.pause(now, Refusal(sent_at=now, wait=1.0, is_first=first))
    assert state.paused_until == now + 1.0
    return state.pace < before


def test_one_stray_429_costs_no_pace() -> None:
    state = guard()
    assert not refused(state, 0.0, NEVER, first=False)
    assert not refused(state, 11.1, 1.0, first=False)  # quiet for more than 10 s after the pause
    assert state.pace == 100.0


def test_a_refusal_soon_after_the_pause_cuts_the_deeper_the_sooner() -> None:
    assert [cut_after(seconds) for seconds in (0.0, 0.2, 0.5, 1.0, 9.0)] == pytest.approx(
        [0.4, 0.5, 0.65, 0.9, 0.9]
    )
    state = guard()
    assert refused(state, 1.2, 1.0, first=False)
    assert state.pace == pytest.approx(50.0)
    assert refused(state, 3.2, 2.2, first=False)
    assert state.pace == pytest.approx(45.0)
    assert refused(state, 14.2, 4.2, first=False)
    assert state.pace == pytest.approx(40.5)


def test_a_server_that_refuses_even_the_first_after_a_pause_tells_nothing_of_the_pace() -> None:
    state = guard()
    assert not any(refused(state, now + 0.01, now, first=True) for now in range(60))
    assert state.pace == 100.0


def test_no_cut_goes_below_one_per_second_or_the_ceiling_if_that_is_lower() -> None:
    for ceiling, floor in ((100.0, 1.0), (0.2, 0.2)):
        state = guard(ceiling, ceiling)
        for now in range(1, 20):
            refused(state, now, now, first=False)
        assert state.pace == floor


def test_it_climbs_by_7_percent_after_4_quiet_seconds_up_to_the_ceiling() -> None:
    state = guard(pace=92.0)
    refused(state, 0.0, NEVER, first=False)
    assert not state.climb(4.9)  # the pause took a second
    assert state.climb(5.0)
    assert state.pace == pytest.approx(98.44)
    assert not state.climb(8.9)
    assert state.climb(9.0)
    assert state.pace == 100.0
    assert not state.climb(1000.0)


def test_a_punished_raise_is_taken_back_and_the_quiet_doubles_up_to_a_minute() -> None:
    state = guard(pace=50.0)
    now, quiets = 0.0, []
    for _ in range(6):
        assert state.climb(now)
        now += 0.5
        refused(state, now, NEVER, first=False)
        quiets.append(state.quiet)
        now += 1.0
        assert not state.climb(now + state.quiet - 0.1)
        now += state.quiet
    assert quiets == [8.0, 16.0, 32.0, 60.0, 60.0, 60.0]
    assert state.pace == pytest.approx(50.0 * (1.07 * 0.9) ** 6)


def test_a_server_that_refuses_everything_for_long_costs_no_pace() -> None:
    state, now = guard(pace=5.0, ceiling=10.0), 0.0
    for _ in range(10):
        assert state.pause(now, Refusal(sent_at=now, wait=5.0, is_asked=True, is_first=True))
        now += 5.0
        assert not state.climb(now)
    assert (state.pace, state.quiet) == (5.0, 4.0)


def test_a_refusal_long_after_a_raise_is_a_stray_one() -> None:
    state = guard(pace=99.0)
    assert state.climb(100.0)
    assert not refused(state, 110.1, NEVER, first=False)
    assert state.pace == 100.0
