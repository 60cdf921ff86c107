"""How lists drift from day to day: measured, and held against themselves."""

from __future__ import annotations

from datetime import date, timedelta
from itertools import pairwise
from statistics import mean, median

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keyapi_async.sandbox import Sandbox, payloads, popularity
from keyapi_async.sandbox.days import FIRST_DAY, count_days
from keyapi_async.sandbox.popularity import draw, find_life

KEYS = {"hashtags": "hashtag_id", "videos": "item_id", "music": "clip_id"}
DAY = timedelta(days=1)

some_day = st.dates(date(2025, 6, 1), date(2027, 6, 1))
some_seed = st.integers(0, 50)
some_query = st.fixed_dictionaries(
    {"region": st.sampled_from(["US", "GB", "JP"]), "period": st.sampled_from(["7", "30", "120"])}
)
some_list = st.one_of(
    st.tuples(
        st.just("hashtags"),
        some_query,
        st.sampled_from([{}, {"industry_id": "28000000000"}, {"region": "all_regions"}]),
    ),
    st.tuples(
        st.just("music"),
        some_query,
        st.sampled_from([{}, {"search_keyword": "sun"}, {"commercial_music": "true"}]),
    ),
).map(lambda each: (each[0], {**each[1], **each[2]}))


@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    ("endpoint", "query"),
    [
        ("hashtags", {}),
        ("hashtags", {"region": "GB", "period": "30"}),
        ("music", {}),
        ("videos", {}),
    ],
)
def test_thirty_days(endpoint: str, query: dict[str, str], seed: int) -> None:
    """A tenth to a fifth is new each day, some of it returns; most moves little, a few jump."""
    sandbox = Sandbox(seed=seed)
    lists = [
        [item[KEYS[endpoint]] for item in sandbox.items(endpoint, day=FIRST_DAY + n * DAY, **query)]
        for n in range(31)
    ]
    seen = set(lists[0])
    new, returned, moves = list[float](), 0, list[float]()
    for before, after in pairwise(lists):
        entries = set(after) - set(before)
        new.append(len(entries) / len(after))
        returned += len(entries & seen)
        seen |= entries
        ranks = {each: rank for rank, each in enumerate(before)}
        moves += [abs(ranks[e] - r) / len(after) for r, e in enumerate(after) if e in ranks]
    assert 0.08 < mean(new) < 0.22
    assert min(new) > 0.02
    assert returned > 0.1 * sum(new) * len(lists[0])
    assert median(moves) < 0.08
    assert max(moves) > 0.4
    assert any(each in lists[0] for each in lists[-1])


@settings(deadline=None, max_examples=30)
@given(which=some_list, day=some_day, seed=some_seed)
def test_todays_differences_are_those_to_yesterday(
    which: tuple[str, dict[str, str]], day: date, seed: int
) -> None:
    endpoint, query = which
    sandbox, key = Sandbox(seed=seed, day=day), KEYS[endpoint]
    before = {item[key]: item["rank"] for item in sandbox.items(endpoint, day=day - DAY, **query)}
    for rank, item in enumerate(sandbox.items(endpoint, **query), 1):
        assert item["rank"] == rank
        was, difference = before.get(item[key]), item.get("rank_diff")
        if was is None:
            assert (item["rank_diff_type"], difference) == (4, None)
        else:
            assert item["rank_diff_type"] == (1 if rank < was else 2 if rank == was else 3)
            assert difference in (None, abs(rank - was))


@settings(deadline=None, max_examples=30)
@given(which=some_list, day=some_day, seed=some_seed)
def test_a_trend_is_yesterdays_moved_on_and_views_grow(
    which: tuple[str, dict[str, str]], day: date, seed: int
) -> None:
    endpoint, query = which
    sandbox, key = Sandbox(seed=seed, day=day), KEYS[endpoint]
    today, yesterday = (
        {item[key]: item for item in sandbox.items(endpoint, day=each, **query)}
        for each in (day, day - DAY)
    )
    for each in today.keys() & yesterday.keys():
        new, old = today[each]["trend"], yesterday[each]["trend"]
        assert len(new) == len(old)
        if query["period"] != "120":
            assert new[-1]["time"] == 86_400 * count_days(day)
        assert new[:-1] == old[1:] if new[-1]["time"] != old[-1]["time"] else new == old
        if endpoint == "hashtags":
            assert today[each]["video_views"] > yesterday[each]["video_views"]
            assert today[each]["publish_cnt"] >= yesterday[each]["publish_cnt"]


@settings(deadline=None, max_examples=20)
@given(
    endpoint=st.sampled_from(["hashtags", "music"]), query=some_query, day=some_day, seed=some_seed
)
def test_new_to_top_100_are_those_that_were_not_there_yesterday(
    endpoint: str, query: dict[str, str], day: date, seed: int
) -> None:
    sandbox, key = Sandbox(seed=seed, day=day), KEYS[endpoint]
    new = sandbox.items(endpoint, new_to_top_100="true", **query)
    listed = [item for item in sandbox.items(endpoint, **query) if item["rank_diff_type"] == 4]
    assert [item[key] for item in new] == [item[key] for item in listed]
    assert [item["rank"] for item in new] == list(range(1, len(new) + 1))
    assert {item["rank_diff_type"] for item in new} <= {4}


@settings(deadline=None, max_examples=20)
@given(query=some_query, day=some_day, seed=some_seed)
def test_an_industry_has_all_its_hashtags_of_the_unfiltered_list(
    query: dict[str, str], day: date, seed: int
) -> None:
    sandbox = Sandbox(seed=seed, day=day)
    narrow = sandbox.items("hashtags", industry_id="28000000000", **query)
    ids = [item["hashtag_id"] for item in narrow]
    listed = [
        item["hashtag_id"]
        for item in sandbox.items("hashtags", **query)
        if item.get("industry_info", {}).get("id") == 28_000_000_000
    ]
    assert [each for each in ids if each in listed] == listed[: len(ids)]


def test_caches_change_nothing() -> None:
    """A day is what it is, whichever days were asked for before."""
    days = [FIRST_DAY + n * DAY for n in (40, 3, 0)]
    first = [Sandbox().items("hashtags", day=day) for day in days]
    for function in (*vars(payloads).values(), *vars(popularity).values()):
        if hasattr(function, "cache_clear"):
            function.cache_clear()
    assert [Sandbox().items("hashtags", day=day) for day in reversed(days)] == first[::-1]


@given(seed=some_seed, index=st.integers(0, 10**12), day=st.integers(-(10**5), 10**6))
def test_a_life(seed: int, index: int, day: int) -> None:
    life = find_life(seed, "hashtags", index)
    assert 0 <= life.level(day) <= 1
    assert 0 <= life.age(day) < life.cycle
    assert 0 <= life.growth(day) <= life.growth(day + 1)


def test_draws_are_even() -> None:
    for key in ("a", "b"):
        drawn = [draw(key, number) for number in range(10_000)]
        assert 0.48 < mean(drawn) < 0.52
        assert all(900 < sum(n <= 10 * each < n + 1 for each in drawn) < 1100 for n in range(10))
        follow = [after > each for each, after in pairwise(drawn)]
        assert 0.48 < mean(follow) < 0.52
