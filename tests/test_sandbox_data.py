"""The sandbox's made-up data: exact lists, and the habits of the real ones."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keyapi_async.sandbox import Sandbox
from keyapi_async.sandbox.data import Listing, render_detail, rows, true_page
from keyapi_async.sandbox.endpoints import find_endpoint, parse_query

EXAMPLES = Path(__file__).parent / "examples"
LISTS = {"hashtags": "hashtag_id", "videos": "item_id", "music": "clip_id"}
SANDBOX = Sandbox()


def items(endpoint: str, **params: str) -> list[dict[str, Any]]:
    return SANDBOX.items(endpoint, **params)


def detail(endpoint: str, **params: str) -> dict[str, Any]:
    data = render_detail(0, parse_query(find_endpoint(endpoint), params))
    assert data is not None
    parsed: dict[str, Any] = json.loads(data)
    return parsed


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
    rows.cache_clear()
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
def test_another_period_or_order_ranks_the_same_items_anew(
    endpoint: str, params: dict[str, str]
) -> None:
    key = LISTS[endpoint]
    one, other = ([item[key] for item in items(endpoint, **each)] for each in ({}, params))
    assert one != other
    assert set(one) == set(other)


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
    endpoint = find_endpoint(name)
    query = parse_query(endpoint, {"limit": str(limit)})
    listing = Listing(0, endpoint, query.filters, total)
    number, collected = 1, list[str]()
    while (page := true_page(listing, number, query)).has_more:
        assert len(page.rows) == min(limit, 20)
        collected += page.rows
        number += 1
    collected += page.rows
    assert tuple(collected) == rows(listing)
    assert (page.total, page.limit) == (total, limit)
    past = true_page(listing, number + 1, query)
    assert (past.rows, past.has_more) == ((), False)


def test_hashtags_leave_out_what_they_lack() -> None:
    listed = [item for region in ("US", "GB", "DE") for item in items("hashtags", region=region)]
    assert not any(value is None for item in listed for value in item.values())
    share = sum("industry_info" in item for item in listed) / len(listed)
    assert 0.4 < share < 0.6
    for key in ("creators", "rank_diff", "x_experiment"):
        assert 0 < sum(key in item for item in listed) < len(listed)
    assert {item["rank_diff_type"] for item in listed} == {1, 2, 3, 4}
    assert {type(item["industry_info"]["id"]) for item in listed if "industry_info" in item} == {
        int
    }
    assert {type(item["country_info"]["id"]) for item in listed} == {str}
    for key in ("video_views", "publish_cnt"):
        assert 0 < sum(item[key] > 2**40 for item in listed) < len(listed) / 2


def test_hashtag_names_are_of_every_kind() -> None:
    names = [item["hashtag_name"] for item in items("hashtags")]
    assert any(name.isdigit() for name in names)
    assert any(not name.isascii() and name.isalpha() for name in names)
    assert any("🐶" in name for name in names)


def test_music_sends_null_for_what_it_lacks() -> None:
    listed = items("music")
    for key in ("on_list_times", "rank_diff", "related_items"):
        assert 0 < sum(item[key] is None for item in listed) < len(listed)
    assert 0 < sum("cml_mid" in item and "music_url" in item for item in listed) < len(listed)
    related = [each for item in listed for each in item["related_items"] or ()]
    assert {type(each["item_id"]) for each in related} == {int}
    assert {len(str(each["item_id"])) for each in related} == {19}


@pytest.mark.parametrize(
    ("period", "points", "step"), [("7", {3, 7}, 1), ("30", {30}, 1), ("120", {17}, 7)]
)
def test_trends_fit_the_period(period: str, points: set[int], step: int) -> None:
    trends = [item["trend"] for item in items("hashtags", period=period)]
    assert {len(trend) for trend in trends} == points
    gaps = {b["time"] - a["time"] for trend in trends for a, b in pairwise(trend)}
    assert gaps == {step * 86_400}
    values = [point["value"] for trend in trends for point in trend]
    assert {repr(value) for value in values} >= {"0", "1", "1.0"}
    assert all(0 <= value <= 1 for value in values)


def test_long_trends_go_by_the_month() -> None:
    assert len(detail("hashtag_detail", period="365")["info"]["trend"]) == 12
    assert len(detail("hashtag_detail", period="1095")["info"]["trend"]) == 36


def test_a_hashtag_is_the_same_in_list_and_detail() -> None:
    for item in items("hashtags")[:10]:
        info = detail("hashtag_detail", hashtag_name=item["hashtag_name"])["info"]
        for key in ("hashtag_id", "hashtag_name", "video_url"):
            assert info[key] == item[key]


def test_a_sound_is_the_same_in_list_and_detail() -> None:
    for item in items("music")[:10]:
        sound = detail("music_detail", clip_id=item["clip_id"])["sound"]
        for key in ("clip_id", "author", "title", "if_cml", "song_id", "duration"):
            assert sound[key] == item[key]


def test_details_vary() -> None:
    infos = [detail("hashtag_detail", hashtag_name=f"tag{n}")["info"] for n in range(30)]
    for key in ("description", "related_items", "industry_info"):
        assert 0 < sum(key in info for info in infos) < 30
    for info in infos:
        assert sum(each["score"] for each in info["audience_ages"]) == 100
    ages = [each["age_level"] for info in infos for each in info["audience_ages"]]
    assert ages != sorted(ages)
    sounds = [detail("music_detail", clip_id=str(n))["sound"] for n in range(30)]
    for key in ("audience_ages", "music_url", "related_items"):
        assert 0 < sum(sound[key] is None for sound in sounds) < 30


def keys_of(value: object, path: str = "") -> set[str]:
    """Return the path of every key in a JSON value, list items taken together."""
    if isinstance(value, dict):
        nested = (keys_of(each, f"{path}.{key}") for key, each in value.items())
        return {f"{path}.{key}" for key in value}.union(*nested)
    if isinstance(value, list):
        return set().union(*(keys_of(each, f"{path}[]") for each in value))
    return set()


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.json")), ids=lambda path: path.stem)
def test_every_key_of_the_documented_example_is_sent(path: Path) -> None:
    example = json.loads(path.read_text(encoding="utf-8"))["data"]
    endpoint = find_endpoint(path.stem)
    sent = set[str]()
    if endpoint.items_key:
        sent = keys_of({endpoint.items_key: items(endpoint.name)})
        # The pagination is compared where there is a server, in test_sandbox.py.
        example.pop("pagination")
    else:
        key = "hashtag_name" if "info" in example else "clip_id"
        sent = sent.union(*(keys_of(detail(endpoint.name, **{key: str(n)})) for n in range(10)))
    assert keys_of(example) <= sent


def test_items_is_for_lists() -> None:
    with pytest.raises(ValueError, match="path must be that of a list; got 'music_detail'"):
        items("music_detail")
    with pytest.raises(ValueError, match="path must be the path of an endpoint or one of hashtags"):
        items("hashtag")
    with pytest.raises(ValueError, match="Invalid parameter: period"):
        items("hashtags", period="8")
