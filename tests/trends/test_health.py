"""Whether the newest day can be trusted: what trips the check, and what doesn't."""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from keyapi_async import HashtagsQuery, trends
from keyapi_async.crawl import Crawl, grid
from keyapi_async.sandbox import Sandbox
from tests.trends.scripted import FIRST, Listing, add_day, day

US = HashtagsQuery(region="US")
GB = HashtagsQuery(region="GB")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "trends.sqlite"


def problems(path: Any) -> list[tuple[str, str]]:
    return [(one.kind, one.message) for one in trends.health(path).problems]


# -- in a sandbox ------------------------------------------------------------------------------

PLAN = grid("hashtags", region=["US", "GB"]) + grid("music") + grid("videos")


async def crawl(path: Path, *days: dict[str, Any], plan: Any = PLAN, **options: Any) -> None:
    """Crawl so many days of a sandbox with such settings."""
    totals = {"hashtags": 30, "music": 30, "videos": 30}
    async with Sandbox(day=FIRST, totals=totals) as sandbox, sandbox.client(qps=math.inf) as client:
        for number, settings in enumerate(days):
            sandbox.day = FIRST + timedelta(days=number)
            for name, value in settings.items():
                setattr(sandbox, name, value)
            await Crawl(client, plan, path, daily="UTC", keep_going=True, **options).run()
            with closing(sqlite3.connect(path)) as db:
                last = "id = (SELECT max(id) FROM snapshots)"
                db.execute(
                    f"UPDATE snapshots SET day = ?, started_at = ? WHERE {last}",
                    (sandbox.day.isoformat(), 1.77e9 + 86400 * number),
                )
                db.commit()


async def test_quiet_days_are_in_order(path: Path) -> None:
    await crawl(path, {}, {}, {}, {})
    found = trends.health(path)
    assert (found.day, found.problems) == (day(4), ())
    assert found.days == tuple(
        trends.DaySum(day=day(n), lists=4, complete=4, items=120, credits_spent=16)
        for n in (1, 2, 3, 4)
    )


async def test_a_retired_endpoint_trips_it(path: Path) -> None:
    await crawl(path, {}, {"retired": ["music"]})
    assert problems(path) == [("incomplete", "music: incomplete, with 0 items")]


async def test_retired_details_trip_it(path: Path) -> None:
    plan = grid("hashtags", region="US")
    await crawl(path, {"retired": ["hashtag_detail"]}, plan=plan, details=3)
    assert problems(path) == [("incomplete", "hashtag_detail: 3 of them could not be had")]


async def test_emptied_and_shrunken_lists_trip_it(path: Path) -> None:
    await crawl(path, {}, {"totals": {"hashtags": 15, "music": 0, "videos": 16}})
    assert problems(path) == [
        ("shrunken", "hashtags region=US: shrunken to 15 items; it had 30"),
        ("shrunken", "hashtags region=GB: shrunken to 15 items; it had 30"),
        ("empty", "music: empty; it had 30 items"),
    ]


# -- by script ---------------------------------------------------------------------------------


def test_an_empty_list_trips_it_until_that_is_usual(path: Path) -> None:
    add_day(path, day(1), {US: Listing("ab"), GB: Listing()})
    assert problems(path) == [("empty", "hashtags region=GB: empty")]
    for number, had in ((2, 2), (3, 1)):
        add_day(path, day(number), {US: Listing(), GB: Listing()})
        assert problems(path) == [("empty", f"hashtags region=US: empty; it had {had} items")]
    add_day(path, day(4), {US: Listing(), GB: Listing()})
    assert problems(path) == []


def test_a_list_that_is_frozen_for_three_days(path: Path) -> None:
    for number, ids in enumerate(["ba", "ab", "ab", "ab"], 1):
        assert problems(path) == [] if number > 1 else True
        add_day(path, day(number), {US: Listing(ids)})
    assert problems(path) == [
        ("frozen", "hashtags region=US: equal to the letter for 3 days or more")
    ]
    add_day(path, day(5), {US: Listing("ab", views={"a": 1})})
    assert problems(path) == []


def test_days_without_a_snapshot(path: Path) -> None:
    add_day(path, day(1), {US: Listing("ab")})
    add_day(path, day(4), {US: Listing("ab")})
    assert problems(path) == [("missing_day", "the day has no snapshot")] * 2
    assert [one.day for one in trends.health(path).problems] == [day(2), day(3)]
    add_day(path, day(5), {US: Listing("ba")})
    assert problems(path) == []


def test_a_crawl_that_isnt_daily_misses_no_day(path: Path) -> None:
    for number in (1, 8, 15):
        add_day(path, day(number), {US: Listing("ab"[: 1 + number % 2])}, zone=None)
    assert problems(path) == []
    for number in (16, 17, 18, 20):
        add_day(path, day(number), {US: Listing("ab"[: 1 + number % 2])}, zone=None)
    assert problems(path) == [("missing_day", "the day has no snapshot")]


def test_a_shard_without_the_day_before(path: Path) -> None:
    other, old = path.with_name("other.sqlite"), path.with_name("old.sqlite")
    add_day(old, day(1), {GB: Listing("ba")})  # goes on in the other one
    for number in (2, 3, 4):
        add_day(path, day(number), {US: Listing("ab" if number % 2 else "ba")})
    for number in (2, 4):
        add_day(other, day(number), {GB: Listing("ab")})
    found = trends.health([path, other, old])
    assert [(one.day, one.kind, one.message) for one in found.problems] == [
        (day(3), "missing_day", f"the day has no snapshot in {other}"),
    ]
    assert {one.query.region: one.gap for one in trends.movers([path, other, old]).comparisons} == {
        "US": (),
        "GB": (day(3),),
    }


def test_a_shard_without_the_day(path: Path) -> None:
    other = path.with_name("other.sqlite")
    for number in (1, 2):
        add_day(path, day(number), {US: Listing("ab")}, credits_spent=2)
    add_day(other, day(1), {GB: Listing("ab")}, credits_spent=4)
    found = trends.health([path, other])
    assert [one.kind for one in found.problems] == ["missing"]
    assert [one.credits_spent for one in found.days] == [6, 2]
    assert found.to_dict() == {
        "day": "2026-02-02",
        "ok": False,
        "problems": [
            {
                "kind": "missing",
                "day": "2026-02-02",
                "endpoint": "hashtags",
                "query": {
                    "period": "7",
                    "region": "GB",
                    "industry_id": "nothing",
                    "new_to_top_100": "false",
                },
                "message": "hashtags region=GB: the day has no such list",
            }
        ],
        "days": [
            {
                "day": f"2026-02-0{number}",
                "lists": 3 - number,
                "complete": 3 - number,
                "items": 2 * (3 - number),
                "credits_spent": 10 - 4 * number,
                "credits_at_risk": 0,
            }
            for number in (1, 2)
        ],
    }


def test_a_query_that_left_the_plan_is_not_missed(path: Path) -> None:
    add_day(path, day(1), {US: Listing("ab"), GB: Listing("ab")}, planned=-1)
    add_day(path, day(2), {US: Listing("ab")})
    assert problems(path) == []


def rows(count: int, **more: Any) -> Iterator[dict[str, Any]]:
    for number in range(count):
        yield {"hashtag_id": str(number), "hashtag_name": "\ud83d" if number else "x"} | more


def test_a_field_that_vanished_or_appeared(path: Path) -> None:
    add_day(path, day(1), {US: Listing([*rows(10, rank=1, creators=None, video_views=1)])})
    add_day(path, day(2), {US: Listing([*rows(10, rank=None, creators=[], other=None)])})
    assert problems(path) == [
        ("vanished", "hashtags: no item has a value for 'rank'"),
        ("vanished", "hashtags: no item has a value for 'video_views'"),
        ("appeared", "hashtags: items have a new field, 'creators'"),
    ]


def test_a_field_that_few_items_have_may_be_absent(path: Path) -> None:
    few = [*rows(9, creators=[]), *rows(100)][:40]
    few = [one | {"hashtag_id": str(n)} for n, one in enumerate(few)]
    add_day(path, day(1), {US: Listing(few)})
    add_day(path, day(2), {US: Listing([*rows(40)])})
    assert problems(path) == []
    add_day(path, day(3), {US: Listing([*rows(1, rank=1), *few[10:14]])})
    assert [kind for kind, _ in problems(path)] == ["shrunken"]


def test_an_empty_file_has_no_day(path: Path) -> None:
    with pytest.raises(Exception, match="there is no such file"):
        trends.health(path)
    add_day(path, day(1), {})
    with closing(sqlite3.connect(path)) as db:
        db.execute("DELETE FROM snapshots")
        db.commit()
    found = trends.health(path)
    assert (found.day, found.problems, found.days) == (None, (), ())
    assert found.to_dict() == {"day": None, "ok": True, "problems": [], "days": []}
