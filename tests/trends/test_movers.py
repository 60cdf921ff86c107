"""Movers against a naive oracle, and by example."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keyapi_async import HashtagsQuery, ListQuery, MusicQuery, ParameterError, VideosQuery, trends
from keyapi_async.crawl import StoreError
from keyapi_async.crawl.jobs import Options
from tests.trends.scripted import Listing, add_day, day

US = HashtagsQuery(region="US")
GB = HashtagsQuery(region="GB")
ALL = HashtagsQuery()
US_30 = HashtagsQuery(region="US", period=30)
VIDEOS = VideosQuery()
MUSIC = MusicQuery()
QUERIES: tuple[ListQuery[Any], ...] = (US, GB, ALL, US_30, VIDEOS)


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


# -- the oracle --------------------------------------------------------------------------------

listings = st.builds(
    Listing,
    items=st.lists(st.sampled_from("abcdefg"), unique=True),
    state=st.sampled_from(["done"] * 6 + ["failed", "pending"]),
    reason=st.sampled_from(["exhausted"] * 4 + ["max_items", "empty_page"]),
    views=st.dictionaries(st.sampled_from("abcdefg"), st.integers(0, 3)),
)
scripts = st.lists(st.dictionaries(st.sampled_from(QUERIES), listings), min_size=1, max_size=6)
filters = st.fixed_dictionaries(
    {},
    optional={
        "endpoint": st.sampled_from(["hashtags", ["hashtags", "videos"]]),
        "region": st.sampled_from(["US", "GB", ["US", "GB"]]),
        "period": st.sampled_from([7, "30", [7, 30]]),
        "kind": st.sampled_from(["new", ["risen", "dropped"]]),
        "min_change": st.integers(0, 3),
        "since": st.integers(1, 4).map(lambda days: timedelta(days=days)),
    },
)


def many(value: Any) -> list[str]:
    return [str(one) for one in value] if isinstance(value, list) else [str(value)]


def expect(
    script: Sequence[Mapping[ListQuery[Any], Listing]], wanted: Mapping[str, Any]
) -> dict[tuple[Any, str], dict[str, Any]]:
    """The moves, found in the simplest way there is."""
    chosen = {
        query
        for lists in script
        for query in lists
        if all(
            str({"endpoint": query.name, "region": query.region, "period": query.period}[name])
            in many(wanted[name])
            for name in ("endpoint", "region", "period")
            if name in wanted
        )
    }
    whole = [
        number
        for number, lists in enumerate(script)
        if any(query in chosen and one.is_complete for query, one in lists.items())
    ]
    if not whole:
        return {}
    newest = whole[-1]
    latest = newest - (wanted["since"].days if "since" in wanted else 1)
    found = {}
    for query in chosen:
        now = script[newest].get(query)
        befores = [
            n for n in range(latest + 1) if query in script[n] and script[n][query].is_complete
        ]
        if now is None or not now.is_complete or not befores:
            continue
        before = script[befores[-1]][query]
        below = max(len(now.items), len(before.items)) + 1
        for item in {*now.items, *before.items}:
            rank = now.items.index(item) + 1 if item in now.items else None
            rank_before = before.items.index(item) + 1 if item in before.items else None
            past = [
                (n, lists[query].items.index(item) + 1 if item in lists[query].items else None)
                for n, lists in enumerate(script[: newest + 1])
                if query in lists and (lists[query].is_complete or item in lists[query].items)
            ]
            listed = [(n, place) for n, place in past if place is not None]
            if rank is None:
                kind = "dropped"
            elif rank_before is None:
                kind = "returned" if listed[0][0] < befores[-1] else "new"
            else:
                kind = ["same", "fallen", "risen"][(rank > rank_before) - (rank < rank_before)]
            change = (rank_before or below) - (rank or below)
            if kind not in many(wanted.get("kind", [*trends.KINDS])):
                continue
            if abs(change) < wanted.get("min_change", 0):
                continue
            streak = 0
            while streak < len(past) and past[-1 - streak][1] is not None:
                streak += 1
            has_views = query.views is not None
            views = now.views.get(item) if has_views and rank else None
            views_before = before.views.get(item) if has_views and rank_before else None
            found[query, item] = {
                "kind": kind,
                "rank": rank,
                "rank_before": rank_before,
                "change": change,
                "views": views,
                "views_before": views_before,
                "growth": views / views_before - 1 if views is not None and views_before else None,
                "day": day(newest + 1),
                "day_before": day(befores[-1] + 1),
                "first_seen": day(listed[0][0] + 1),
                "days_listed": len(listed),
                "streak": streak,
                "best_rank": min(place for _, place in listed),
                "ranks": tuple((day(n + 1), place) for n, place in past),
                "regions": tuple(
                    sorted(
                        other.region
                        for other, one in script[newest].items()
                        if (other.name, other.period) == (query.name, query.period)
                        and other.region != "all_regions"
                        and item in one.items
                    )
                ),
            }
    return found


def find(
    paths: list[Path], wanted: dict[str, Any], there: Mapping[str, set[str]]
) -> list[trends.Move] | None:
    """The moves; None if a wanted value is nowhere, or not with the others."""
    try:
        return list(trends.movers(paths, **wanted))
    except ParameterError as error:
        name, value = error.parameter, error.value
    if value in there[name]:  # but not with the other values
        assert len(wanted.keys() & there.keys()) > 1
    return None


@settings(max_examples=150, deadline=None)
@given(script=scripts, wanted=filters, shards=st.integers(1, 2))
def test_movers_are_what_a_naive_oracle_finds(
    script: list[dict[ListQuery[Any], Listing]], wanted: dict[str, Any], shards: int
) -> None:
    there = {
        "endpoint": {query.name for lists in script for query in lists},
        "region": {query.region for lists in script for query in lists},
        "period": {str(query.period) for lists in script for query in lists},
    }
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / f"{n}.sqlite" for n in range(shards)]
        for number, lists in enumerate(script, 1):
            for n, path in enumerate(paths):
                part = {q: one for q, one in lists.items() if QUERIES.index(q) % shards == n}
                add_day(path, day(number), part)
        if (moves := find(paths, wanted, there)) is None:
            return
    expected = expect(script, wanted)
    assert len(moves) == len(expected)
    for move in moves:
        found = expected[move.query, move.item_id]
        assert {name: getattr(move, name) for name in found} == found
        assert move.name == f"name of {move.item_id}"
        assert move.endpoint == move.query.name


# -- by example --------------------------------------------------------------------------------


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


def test_a_list_that_left_the_plan_is_not_there(path: Path) -> None:
    write(path, {US: "ab"}, {US: Listing("a", reason="dropped")}, {US: "ba"})
    moves = trends.movers(path)
    assert {move.day_before for move in moves} == {day(1)}
