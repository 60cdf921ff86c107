"""A sandbox's day: set by hand, or moved on by its clock."""

from __future__ import annotations

import asyncio
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from keyapi_async.sandbox import Sandbox
from keyapi_async.sandbox.days import FIRST_DAY, Calendar
from tests.sandbox.bare_client import DETAIL, Http, open_http

DAY = timedelta(days=1)
ONE, TWO = date(2026, 3, 1), date(2026, 3, 2)


async def listed(http: Http) -> list[Any]:
    items: list[Any] = (await http.get())[1]["data"]["list"]
    return items


async def test_by_default_it_is_always_the_same_day(http: Http) -> None:
    assert http.sandbox.day == FIRST_DAY
    assert await listed(http) == http.sandbox.items("hashtags", day=date(2026, 2, 2))[:20]


async def test_the_day_may_be_set_at_any_time() -> None:
    async with open_http(day=ONE) as http:
        first = await listed(http)
        detail = (await http.get(DETAIL))[1]["data"]["info"]
        http.sandbox.day = TWO
        assert http.sandbox.day == TWO
        second = await listed(http)
        assert first != second == http.sandbox.items("hashtags")[:20]
        assert first == http.sandbox.items("hashtags", day=ONE)[:20]
        moved = (await http.get(DETAIL))[1]["data"]["info"]
        assert moved["trend"][:-1] == detail["trend"][1:]
        assert moved["video_views"] > detail["video_views"]
        assert moved["related_hashtags"] == detail["related_hashtags"]
        http.sandbox.day = ONE
        assert await listed(http) == first
        assert [record.day for record in http.sandbox.requests] == [ONE, ONE, TWO, TWO, ONE]


async def test_a_request_is_answered_by_the_day_of_its_arrival() -> None:
    async with open_http(day=ONE, latency=10) as http:
        task = asyncio.create_task(listed(http))
        while not http.sandbox.requests:
            await asyncio.sleep(0.001)
        http.sandbox.day = TWO
        assert await task == http.sandbox.items("hashtags", day=ONE)[:20]


async def test_days_pass_by_the_clock() -> None:
    async with open_http(day=ONE, day_seconds=10) as http:
        sandbox = http.sandbox
        await asyncio.sleep(9.9)
        assert sandbox.day == ONE
        await asyncio.sleep(0.2)
        assert sandbox.day == TWO
        assert await listed(http) == sandbox.items("hashtags", day=TWO)[:20]
        await asyncio.sleep(31)
        assert sandbox.day == ONE + 4 * DAY
        sandbox.day = ONE  # begins now
        await asyncio.sleep(9.9)
        assert sandbox.day == ONE
        sandbox.day_seconds = None
        await asyncio.sleep(100)
        assert sandbox.day == ONE
        sandbox.day_seconds = 3600
        await asyncio.sleep(3500)
        assert sandbox.day == ONE
        await asyncio.sleep(200)
        sandbox.day_seconds = 1
        assert sandbox.day == TWO
    assert sandbox.day == TWO


async def test_no_day_passes_while_it_does_not_run() -> None:
    sandbox = Sandbox(day=ONE, day_seconds=10)
    await asyncio.sleep(100)
    assert sandbox.day == ONE
    async with sandbox:
        await asyncio.sleep(15)
    await asyncio.sleep(100)
    async with sandbox:
        assert sandbox.day == TWO
        await asyncio.sleep(11)
        assert sandbox.day == TWO + DAY


def test_the_day_is_set_from_another_thread() -> None:
    with Sandbox(day=ONE, day_seconds=3600) as sandbox:
        sandbox.day = TWO
        assert sandbox.day == TWO


@pytest.mark.parametrize("day", ["2026-03-01", None, datetime(2026, 3, 1, tzinfo=UTC)])
def test_what_is_no_day(day: Any) -> None:
    with pytest.raises(ValueError, match="day must be a date; got "):
        Sandbox(day=day)
    sandbox = Sandbox()
    with pytest.raises(ValueError, match="day must be a date; got "):
        sandbox.day = day
    with pytest.raises(ValueError, match="day_seconds must be above 0, or None; got 0"):
        sandbox.day_seconds = 0
    assert sandbox.day == FIRST_DAY


@pytest.mark.parametrize("day", ["2026-03-01", datetime(2026, 3, 1, tzinfo=UTC)])
def test_there_are_no_items_of_what_is_no_day(day: Any) -> None:
    with pytest.raises(ValueError, match="day must be a date; got "):
        Sandbox().items("hashtags", day=day)


def test_a_calendar() -> None:
    now = 5.0
    calendar = Calendar((ONE, 0.0))
    assert calendar.find_day(1) == ONE
    calendar.follow(lambda: now, ONE)
    assert calendar.find_day(None) == calendar.find_day(0.5) == ONE
    now = 6.5
    assert calendar.find_day(1) == TWO
    assert calendar.find_day(0.5) == ONE + 3 * DAY
