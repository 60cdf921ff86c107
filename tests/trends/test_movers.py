"""Movers, by example."""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from keyapi_async import HashtagsQuery, ListQuery, MusicQuery, ParameterError, VideosQuery, trends
from keyapi_async.crawl import StoreError
from keyapi_async.crawl.jobs import Options
from tests.trends.scripted import Listing, add_day, day

US = HashtagsQuery(region="US")
GB = HashtagsQuery(region="GB")
US_30 = HashtagsQuery(region="US", period=30)
VIDEOS = VideosQuery()
MUSIC = MusicQuery()


def kinds(moves: Any) -> dict[str, str]:
    return {move.item_id: move.kind for move in moves}


def write(path: Path, *days: Mapping[ListQuery[Any], Any] | None) -> Path:
    """A file of the first days; None for one without a snapshot, a text for the ids of a list."""
    for number, lists in enumerate(days, 1):
        if lists is not None:
            listings = {q: Listing(v) if isinstance(v, str) else v for q, v in lists.items()}
            add_day(path, day(number), listings)
    return path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "trends.sqlite"


def test_the_six_kinds(path: Path) -> None:
    write(path, {US: "zr"}, {US: "abcde"}, {US: "nbacrd"})
    moves = {move.item_id: move for move in trends.movers(path)}
    assert kinds(moves.values()) == {
        "n": "new", "b": "same", "a": "fallen", "c": "fallen", "r": "returned",
        "d": "fallen", "e": "dropped",
    }  # fmt: skip
    assert list(moves) == ["n", "b", "a", "c", "r", "d", "e"]
    assert moves["n"].change == 6
    assert moves["e"].change == -2
    assert moves["e"].streak == 0


def test_a_list_that_is_incomplete_or_missing_makes_nothing_new_or_dropped(path: Path) -> None:
    lists = {US: Listing("abc"), GB: "xyz"}
    write(path, lists, {US: Listing("a").cut(), GB: "xyw"}, {GB: "xyz", US: "abd"})
    moves = trends.movers(path)
    assert moves.day == day(3)
    assert [(one.query, one.before, one.gap) for one in moves.comparisons] == [
        (US, day(1), (day(2),)),
        (GB, day(2), ()),
    ]
    assert kinds(m for m in moves if m.query == US) == {
        "a": "same", "b": "same", "d": "new", "c": "dropped",
    }  # fmt: skip


def test_a_list_that_is_not_complete_on_the_newest_day_has_no_moves(path: Path) -> None:
    write(path, {US: "ab", GB: "ab"}, {US: "ab", GB: Listing("a", "failed")}, {US: "ba"})
    moves = trends.movers(path)
    assert {move.query for move in moves} == {US}
    assert moves.comparisons[1].reason == f"its list of {day(3)} is missing"
    assert moves.comparisons[1].before is None
    earlier = trends.movers(path, day=day(2), region="GB")
    assert list(earlier) == []
    assert earlier.comparisons[0].reason == f"its list of {day(2)} is incomplete"


def test_one_day_has_nothing_to_be_compared_with(path: Path) -> None:
    write(path, {US: "ab"})
    moves = trends.movers(path)
    assert list(moves) == []
    assert moves.comparisons[0].reason == f"it has no complete list before {day(1)}"


def test_no_complete_day(path: Path) -> None:
    write(path, {US: Listing("ab").cut()})
    moves = trends.movers(path)
    assert (moves.day, moves.comparisons, list(moves)) == (None, (), [])


def test_the_older_day_can_be_chosen(path: Path) -> None:
    write(path, {US: "abc"}, None, {US: "bac"}, {US: "cab"})
    for since in (day(2), timedelta(days=2)):
        moves = trends.movers(path, since=since)
        assert {move.day_before for move in moves} == {day(1)}
        assert moves.comparisons[0].gap == (day(2),)
    assert {m.day_before for m in trends.movers(path, since=day(3))} == {day(3)}
    moves = trends.movers(path, since=date(2026, 1, 1))
    assert moves.comparisons[0].reason == "it has no complete list of 2026-01-01 or earlier"
    assert {m.day_before for m in trends.movers(path, day=day(3))} == {day(1)}


def test_lists_limited_to_so_many_items(path: Path) -> None:
    top_2, top_3 = Options(max_items=2), Options(max_pages=1)
    add_day(path, day(1), {US: Listing("ab", reason="max_items")}, options=top_2)
    add_day(path, day(2), {US: Listing("bc", reason="max_items")}, options=top_2)
    add_day(path, day(3), {US: Listing("cde", reason="max_pages")}, options=top_3)
    add_day(path, day(4), {US: Listing("ad", reason="max_items")}, options=top_2)
    wanted = [
        {"b": "risen", "c": "new", "a": "dropped"},  # of the first two
        {"c": "risen", "b": "dropped"},  # d and e may have been there
        {"a": "returned", "d": "same"},  # c and e may be there still
    ]
    for number, expected in enumerate(wanted, 2):
        assert kinds(trends.movers(path, day=day(number))) == expected


def test_the_ranks_are_those_of_the_wire_else_the_places(path: Path) -> None:
    rows = [
        {"hashtag_id": 1, "hashtag_name": "one", "rank": 7, "video_views": 10},
        {"hashtag_id": "2", "hashtag_name": " ", "rank": "3", "video_views": "many"},
        {"hashtag_id": "3", "hashtag_name": "\ud83d", "rank": None, "video_views": 2**65},
    ]
    write(path, {US: "x"}, {US: Listing(rows), MUSIC: "a"})
    found = {m.item_id: (m.name, m.rank, m.views) for m in trends.movers(path)}
    assert found == {
        "1": ("one", 7, 10), "2": ("2", 2, None), "3": ("\ud83d", 3, 2**65),
        "x": ("name of x", None, None),
    }  # fmt: skip


def test_pages_after_the_first_count(path: Path) -> None:
    ids = [f"v{number}" for number in range(45)]
    write(path, {VIDEOS: Listing(ids)}, {VIDEOS: Listing(ids[::-1])})
    moves = list(trends.movers(path))
    assert [move.rank for move in moves] == list(range(1, 46))
    assert [move.rank_before for move in moves] == list(range(45, 0, -1))
    third = VideosQuery(page=3)
    write(path.with_name("b"), {third: "ab"}, {third: "ba"})
    assert [move.rank for move in trends.movers(path.with_name("b"))] == [41, 42]


def test_the_newest_complete_list_of_a_day_counts(path: Path) -> None:
    add_day(path, day(1), {US: Listing("ab")})
    add_day(path, day(2), {US: Listing("ab")}, hour=6)
    add_day(path, day(2), {US: Listing("ba")}, hour=12)
    add_day(path, day(2), {US: Listing("a").cut()}, hour=18)
    assert kinds(trends.movers(path)) == {"a": "fallen", "b": "risen"}


def test_several_files_are_one_history(path: Path) -> None:
    other = path.with_name("other.sqlite")
    write(path, {US: "ab"}, None, {US: "ba"})
    write(other, None, {US: "xy"}, {GB: "ba"})
    moves = list(trends.movers([path, str(other)], region="US"))
    assert {move.day_before for move in moves} == {day(2)}
    assert kinds(moves) == {"b": "returned", "a": "returned", "x": "dropped", "y": "dropped"}
    assert moves[0].regions == ("GB", "US")


def test_what_matters_most_comes_first(path: Path) -> None:
    write(path, {US: "abcdefghijkl"}, {US: "bacdefghlkij"})
    top = [(move.item_id, move.change) for move in trends.movers(path, top=3)]
    assert top == [("b", 1), ("a", -1), ("l", 3)]
    assert [m.item_id for m in trends.movers(path, min_change=3)] == ["l"]
    assert list(trends.movers(path, top=0)) == []
    (b,) = trends.movers(path, top=1)
    assert math.isclose(b.weight, math.log(2))


def test_the_last_30_days(path: Path) -> None:
    for number in range(1, 41):
        add_day(path, day(number), {US: Listing("ab" if number % 2 else "ba")})
    a, _ = sorted(trends.movers(path), key=lambda move: move.item_id)
    assert [at for at, _ in a.ranks] == [day(number) for number in range(11, 41)]
    assert (a.first_seen, a.days_listed, a.streak) == (day(1), 40, 40)


def test_it_gives_plain_data(path: Path) -> None:
    views = {"a": 100}
    write(path, {US: Listing("a", views=views)}, {US: Listing("ba", views={"a": 150})})
    new, fallen = (move.to_dict() for move in trends.movers(path))
    assert new["kind"] == "new"
    assert fallen == {
        "endpoint": "hashtags",
        "query": {
            "period": "7", "region": "US", "industry_id": "nothing", "new_to_top_100": "false",
        },
        "day": "2026-02-02",
        "day_before": "2026-02-01",
        "item_id": "a",
        "name": "name of a",
        "kind": "fallen",
        "rank": 2,
        "rank_before": 1,
        "change": -1,
        "views": 150,
        "views_before": 100,
        "growth": 0.5,
        "first_seen": "2026-02-01",
        "days_listed": 2,
        "streak": 2,
        "best_rank": 1,
        "regions": ["US"],
        "ranks": [["2026-02-01", 1], ["2026-02-02", 2]],
    }  # fmt: skip


def test_filters_by_industry(path: Path) -> None:
    pets = HashtagsQuery(region="US", industry_id=19000000000)
    write(path, {US: "ab", pets: "ab", VIDEOS: "ab"}, {US: "ba", pets: "ba", VIDEOS: "ba"})
    assert {m.query for m in trends.movers(path, industry=19000000000)} == {pets}
    assert {m.query for m in trends.movers(path, industry="nothing")} == {US}


@pytest.mark.parametrize(
    ("wanted", "says"),
    [
        ({"endpoint": "hashtag_detail"}, "endpoint must be in these files: hashtags, not"),
        ({"region": "XX"}, "region must be in these files: GB, US, not 'XX'"),
        ({"region": "GB", "period": 30}, "period must be in these files: 7, not '30'"),
        ({"kind": "up"}, "kind must be one of new, returned, risen, fallen, same, dropped"),
        ({"top": -1}, "top must be 0 or more, not -1"),
        ({"min_change": -1}, "min_change must be 0 or more, not -1"),
        ({"since": timedelta(days=900_000)}, "since must be an age within the calendar"),
        ({"since": timedelta()}, "since must be before 2026-02-02"),
        ({"since": day(2)}, "since must be before 2026-02-02"),
    ],
)
def test_what_cannot_be_right_is_refused(path: Path, wanted: dict[str, Any], says: str) -> None:
    write(path, {US: "a"}, {US: "a", GB: "a", US_30: "a"})
    with pytest.raises(ParameterError) as caught:
        trends.movers(path, **wanted)
    assert str(caught.value).startswith(says)


def test_files_that_cannot_be_read(path: Path) -> None:
    with pytest.raises(StoreError, match="there is no such file"):
        trends.movers(path)
    with pytest.raises(ParameterError, match="at least one file"):
        trends.movers([])
    write(path, {US: "a"})
    with pytest.raises(StoreError, match="no such file"):
        trends.movers([path, path.with_name("gone")])


def test_a_snapshot_of_the_future_stands_in_nobodys_way(path: Path) -> None:
    write(path, {US: "ab"}, {US: "ba"})
    add_day(path, date(2099, 1, 1), {US: Listing("xy")})
    assert trends.movers(path).day == day(2)


VERSION_1 = """
PRAGMA legacy_alter_table = ON;
CREATE TABLE old AS SELECT id, started_at, options FROM snapshots;
DROP TABLE snapshots;
ALTER TABLE old RENAME TO snapshots;
DROP INDEX lists_query;
PRAGMA user_version = 1;
"""


def test_a_file_of_version_1(path: Path) -> None:
    write(path, {US: "ab"}, {US: "ba"})
    with closing(sqlite3.connect(path)) as db:
        db.executescript(VERSION_1)
    moves = list(trends.movers(path))
    assert (moves[0].day - moves[0].day_before, kinds(moves)) == (
        timedelta(days=1),
        {"a": "fallen", "b": "risen"},
    )
    assert trends.health(path).problems == ()
    assert len(trends.history(path, None, "a")) == 1


def test_a_list_that_left_the_plan_is_not_there(path: Path) -> None:
    write(path, {US: "ab"}, {US: Listing("a", reason="dropped")}, {US: "ba"})
    moves = trends.movers(path)
    assert {move.day_before for move in moves} == {day(1)}
