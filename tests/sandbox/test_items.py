"""The made-up hashtags, videos and sounds: the habits of the real ones."""

from __future__ import annotations

import json
from datetime import date
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from keyapi_async.sandbox import Sandbox
from keyapi_async.sandbox.days import FIRST_DAY
from keyapi_async.sandbox.endpoints import DetailEndpoint, ListEndpoint, find_endpoint, parse_query
from keyapi_async.sandbox.items import Place, Scene, make_hashtag
from keyapi_async.sandbox.payloads import render_detail

EXAMPLES = Path(__file__).parent.parent / "examples"
SANDBOX = Sandbox()


def items(endpoint: str, **params: str) -> list[dict[str, Any]]:
    return SANDBOX.items(endpoint, **params)


def detail(name: str, day: date = FIRST_DAY, **params: str) -> dict[str, Any]:
    endpoint = find_endpoint(name)
    assert isinstance(endpoint, DetailEndpoint)
    data = render_detail(endpoint, parse_query(endpoint, params, day=day).scene)
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
    views = [item["video_views"] for item in listed]
    assert 0 < sum(count > 2**40 for count in views) < len(listed) / 20
    assert sum(10**5 <= count <= 10**10 for count in views) > 0.95 * len(listed)
    assert all(0 < item["publish_cnt"] < item["video_views"] for item in listed)


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


@pytest.mark.parametrize("period", ["7", "30", "120"])
@pytest.mark.parametrize("region", ["US", "all_regions"])
def test_a_hashtag_is_the_same_in_list_and_detail(region: str, period: str) -> None:
    place = {"region": region, "period": period}
    for item in items("hashtags", **place)[:30]:
        info = detail("hashtag_detail", hashtag_name=item["hashtag_name"], **place)["info"]
        only_in_lists = {"creators", "rank", "rank_diff", "rank_diff_type", "x_experiment"}
        expected = {key: value for key, value in item.items() if key not in only_in_lists}
        assert info.items() >= expected.items()
        assert ("industry_info" in info) == ("industry_info" in item)
        assert info["video_views"] < info["video_views_all"]
        assert info["publish_cnt"] <= info["publish_cnt_all"]


def test_a_sound_is_the_same_in_list_and_detail() -> None:
    only_in_lists = {"on_list_times", "rank", "rank_diff", "rank_diff_type", "related_items"}
    only_in_lists |= {"cml_mid", "music_url", "x_experiment"}
    for item in items("music", period="30")[:30]:
        sound = detail("music_detail", clip_id=item["clip_id"], period="30")["sound"]
        expected = {key: value for key, value in item.items() if key not in only_in_lists}
        assert sound.items() >= expected.items()


def test_the_same_hashtags_and_sounds_are_listed_in_several_regions() -> None:
    for endpoint, keys in (
        ("hashtags", ("hashtag_id", "hashtag_name", "industry_info", "is_promoted")),
        ("music", ("clip_id", "song_id", "title", "author", "duration", "if_cml", "cover")),
    ):
        one, other = (
            {item[keys[0]]: item for item in items(endpoint, region=region)}
            for region in ("US", "GB")
        )
        common = one.keys() & other.keys()
        assert 20 < len(common) < 90
        for each in common:
            assert [one[each].get(key) for key in keys] == [other[each].get(key) for key in keys]
            assert one[each]["trend"] != other[each]["trend"] or endpoint == "music"


def test_videos_belong_to_one_region() -> None:
    one, other = ({item["item_id"] for item in items("videos", region=r)} for r in ("US", "GB"))
    assert not one & other


def test_ids_lead_back_to_their_items() -> None:
    """However far a list goes: what the lists call it, the detail knows it by."""
    names, ids = set[str](), set[str]()
    for index in (*range(3000), 10**9, 10**9 + 1):
        place = Place(Scene({"region": "US", "period": "7"}), index, 1)
        item = make_hashtag(place)
        names.add(str(item["hashtag_name"]))
        ids.add(str(item["hashtag_id"]))
        if index % 100 < 3:
            info = detail("hashtag_detail", hashtag_name=str(item["hashtag_name"]), region="US")
            assert info["info"]["hashtag_id"] == item["hashtag_id"]
    assert len(names) == len(ids) == 3002


@pytest.mark.parametrize("name", ["", "ufc0", "ufc007", "ufc12345678901", "ufc²", "cleanufc", "x"])
def test_any_other_name_has_an_id_of_its_own(name: str) -> None:
    [info, other] = [
        detail("hashtag_detail", hashtag_name=each)["info"] for each in (f"{name}?", f"{name}!")
    ]
    assert info["hashtag_id"] != other["hashtag_id"]
    assert len(info["hashtag_id"]) == 19


def test_what_is_on_no_list_lives_from_day_to_day_as_well() -> None:
    days = [date(2026, 3, day) for day in range(1, 30)]
    infos = [detail("hashtag_detail", day, hashtag_name="mybrand")["info"] for day in days]
    for before, after in pairwise(infos):
        assert after["trend"][:-1] == before["trend"][1:]
        for key in ("video_views", "video_views_all"):
            assert after[key] > before[key]
        for key in ("hashtag_id", "audience_ages", "related_hashtags"):
            assert after[key] == before[key]
    sounds = [detail("music_detail", day, clip_id="my-sound")["sound"] for day in days]
    assert len({sound["title"] for sound in sounds}) == 1
    assert len({sound["longevity"]["current_popularity"] for sound in sounds}) > 3


@pytest.mark.parametrize("clip_id", ["x", "7" * 18, "7" * 19, "1" * 19, "²" * 19, "7" * 5000])
def test_any_clip_id_will_do(clip_id: str) -> None:
    assert detail("music_detail", clip_id=clip_id)["sound"]["clip_id"] == clip_id


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
