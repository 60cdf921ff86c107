"""The made-up hashtags, videos and sounds: the habits of the real ones."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from keyapi_async.sandbox import Sandbox
from keyapi_async.sandbox.data import render_detail
from keyapi_async.sandbox.endpoints import DetailEndpoint, ListEndpoint, find_endpoint, parse_query

EXAMPLES = Path(__file__).parent.parent / "examples"
SANDBOX = Sandbox()


def items(endpoint: str, **params: str) -> list[dict[str, Any]]:
    return SANDBOX.items(endpoint, **params)


def detail(name: str, **params: str) -> dict[str, Any]:
    endpoint = find_endpoint(name)
    assert isinstance(endpoint, DetailEndpoint)
    data = render_detail(0, endpoint, parse_query(endpoint, params).filters)
    assert data is not None
    parsed: dict[str, Any] = json.loads(data)
    return parsed


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
    if isinstance(endpoint, ListEndpoint):
        sent = keys_of({endpoint.items_key: items(endpoint.name)})
        # The pagination is compared where there is a server, in test_service.py.
        example.pop("pagination")
    else:
        key = "hashtag_name" if "info" in example else "clip_id"
        sent = sent.union(*(keys_of(detail(endpoint.name, **{key: str(n)})) for n in range(10)))
    assert keys_of(example) <= sent
