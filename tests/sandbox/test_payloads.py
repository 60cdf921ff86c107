"""Lists and pages: exact, and the same for the same seed."""

from __future__ import annotations

from typing import Any

import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from keyapi_async.sandbox import Sandbox
from keyapi_async.sandbox.endpoints import find_list, parse_query
from keyapi_async.sandbox.payloads import cut_page, make_rows

LISTS = {"hashtags": "hashtag_id", "videos": "item_id", "music": "clip_id"}
SANDBOX = Sandbox()


def items(endpoint: str, **params: str) -> list[dict[str, Any]]:
    return SANDBOX.items(endpoint, **params)


@pytest.mark.parametrize(("endpoint", "sizes"), [("hashtags", {100}), ("videos", {500})])
def test_lists_have_the_usual_length(endpoint: str, sizes: set[int]) -> None:
    assert {len(items(endpoint, region=region)) for region in ("US", "GB", "VN")} == sizes


def test_music_lists_have_98_to_100_sounds() -> None:
    regions = [f"R{number}" for number in range(30)]
    assert {len(items("music", region=region)) for region in regions} == {98, 99, 100}


@pytest.mark.parametrize(("endpoint", "key"), LISTS.items())
def test_ids_are_unique_and_ranks_run_from_1(endpoint: str, key: str) -> None:
    listed = items(endpoint)
    assert len({item[key] for item in listed}) == len(listed)
    if endpoint != "videos":
        assert [item["rank"] for item in listed] == list(range(1, len(listed) + 1))


@pytest.mark.parametrize("endpoint", LISTS)
def test_the_same_seed_gives_the_same_list(endpoint: str) -> None:
    again = Sandbox().items(endpoint)
    make_rows.cache_clear()
    assert again == Sandbox().items(endpoint) == items(f"/v1/tiktok/trending/{endpoint}")
    assert again != Sandbox(seed=1).items(endpoint)
    assert again != items(endpoint, region="JP")


@pytest.mark.parametrize(
    ("endpoint", "params"),
    [
        ("hashtags", {"period": "30"}),
        ("music", {"period": "120"}),
        ("videos", {"order_by": "like"}),
    ],
)
def test_another_period_or_order_ranks_anew(endpoint: str, params: dict[str, str]) -> None:
    key = LISTS[endpoint]
    one, other = ([item[key] for item in items(endpoint, **each)] for each in ({}, params))
    assert 0.2 < len(set(one) & set(other)) / len(one) < 0.8
    common = [each for each in one if each in other]
    assert common != [each for each in other if each in one]


@pytest.mark.parametrize(
    ("endpoint", "flag", "field", "value"),
    [
        ("hashtags", "new_to_top_100", "rank_diff_type", 4),
        ("music", "new_to_top_100", "rank_diff_type", 4),
        ("music", "commercial_music", "if_cml", True),
    ],
)
def test_a_flag_keeps_only_its_rows_in_their_order(
    endpoint: str, flag: str, field: str, value: object
) -> None:
    key = LISTS[endpoint]
    expected = [item[key] for item in items(endpoint) if item[field] == value]
    narrowed = items(endpoint, **{flag: "true"})
    assert [item[key] for item in narrowed] == expected
    assert [item["rank"] for item in narrowed] == list(range(1, len(expected) + 1))
    assert 0 < len(expected) < len(items(endpoint))


def test_an_industry_has_fewer_hashtags_all_its_own() -> None:
    listed = items("hashtags", industry_id="28000000000")
    assert {item["industry_info"]["id"] for item in listed} == {28_000_000_000}
    assert 0 < len(listed) < 100
    assert items("hashtags", industry_id="1") == []


def test_a_search_finds_fewer_sounds_with_the_keyword_in_their_title() -> None:
    listed = items("music", search_keyword="lluvia")
    assert all("lluvia" in item["title"] and item["is_search"] for item in listed)
    assert 0 < len(listed) < 98


def test_totals_can_be_chosen() -> None:
    sandbox = Sandbox(totals={"hashtags": 7, "/v1/tiktok/trending/videos": 0})
    assert len(sandbox.items("hashtags")) == 7
    assert sandbox.items("videos") == []
    assert len(sandbox.items("hashtags", industry_id="28000000000")) < 7


@settings(deadline=None)
@given(total=st.integers(0, 70), limit=st.integers(1, 40), name=st.sampled_from(sorted(LISTS)))
def test_pages_put_together_are_the_list(total: int, limit: int, name: str) -> None:
    endpoint = find_list(name)
    query = parse_query(endpoint, {"limit": str(limit)}, total=total)
    collected = list[str]()
    while (page := cut_page(endpoint, query)).has_more:
        assert len(page.rows) == min(limit, 20)
        collected += page.rows
        query = evolve(query, page=query.page + 1)
    collected += page.rows
    assert tuple(collected) == make_rows(endpoint, query.scene)
    assert (page.total, page.limit) == (total, limit)
    past = cut_page(endpoint, evolve(query, page=query.page + 1))
    assert (past.rows, past.has_more) == ((), False)
