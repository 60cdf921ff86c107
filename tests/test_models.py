"""Models: every documented field typed and reachable, nothing lost, wrong types found out."""

from __future__ import annotations

import copy
import json
import pickle
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import attrs
import pytest
from attrs.exceptions import FrozenInstanceError
from contract import DETAILS, ENDPOINTS, LISTS, example, example_item, item_path, read, read_item

from keyapi_async import (
    Hashtag,
    HashtagDetail,
    InvalidResponseError,
    MusicDetail,
    Page,
    Sound,
    SoundDetail,
    TrendPoint,
    Video,
    to_dict,
)

CLASSES: dict[str, type[Any]] = {
    "hashtags": Hashtag,
    "hashtag_detail": HashtagDetail,
    "videos": Video,
    "music": Sound,
    "music_detail": SoundDetail,
}
IDENTITIES = {
    "hashtags": {"hashtag_id": "1", "hashtag_name": "clean"},
    "hashtag_detail": {"hashtag_id": "1", "hashtag_name": "clean"},
    "videos": {"item_id": "1"},
    "music": {"clip_id": "1"},
    "music_detail": {"clip_id": "1"},
}
IDS = {"hashtag_id", "item_id", "clip_id", "song_id", "cml_mid", "id"}

# One item of each kind with every field there is; what is a fraction here is a float.
TREND = [{"time": 1769472000, "value": 0.5}]
COUNTRY = {"id": "US", "value": "United States", "label": "US"}
INDUSTRY = {"id": 11000000000, "value": "Vehicles", "label": "label_11000000000"}
AUDIENCE = {
    "audience_ages": [{"age_level": 3, "score": 65.5}],
    "audience_interests": [
        {"interest_info": {"id": "10058", "value": "Sports", "label": "x"}, "score": 263.5}
    ],
    "audience_countries": [{"country_info": COUNTRY, "score": 780.5}],
}
# fmt: off
LONGEVITY = {"popular_days": 3, "current_popularity": 0.5}
HASHTAG = {
    "hashtag_id": "7244", "hashtag_name": "clean", "is_promoted": False,
    "publish_cnt": 48892, "video_views": 2**41,
    "country_info": COUNTRY, "industry_info": INDUSTRY, "trend": TREND,
}
SOUND = {
    "clip_id": "6703723351497508865", "song_id": "6703723270476138498", "cml_mid": 67,
    "title": "New Sun", "author": "Chihei", "duration": 60, "cover": "c", "link": "l",
    "music_url": "m", "url_title": "New-Sun", "country_code": "US", "if_cml": False,
    "is_search": True, "promoted": False, "on_list_times": 2,
    "rank": 1, "rank_diff": -3, "rank_diff_type": 3, "trend": TREND,
    "related_items": [{"item_id": 7587114666132868383, "cover_uri": "u"}],
}
FULL: dict[str, dict[str, Any]] = {
    "hashtags": {
        **HASHTAG,
        "creators": [{"nick_name": "becky mae", "avatar_url": "a"}],
        "rank": 1, "rank_diff": 3, "rank_diff_type": 4,
    },
    "hashtag_detail": {
        **HASHTAG,
        **AUDIENCE,
        "description": "all clean", "video_url": "v", "longevity": LONGEVITY,
        "publish_cnt_all": 34146, "video_views_all": 2**42,
        "related_hashtags": [{"hashtag_id": "166", "hashtag_name": "paddy", "video_url": "p"}],
        "related_items": [{"item_id": 7587114666132868383, "cover_uri": "u"}],
    },
    "videos": {
        "item_id": "7587", "id": "7587", "title": "This pup \U0001f436", "duration": 9,
        "cover": "c", "item_url": "i", "region": "United States", "country_code": "US",
    },
    "music": SOUND,
    "music_detail": {**SOUND, **AUDIENCE, "longevity": LONGEVITY},
}
# fmt: on

Path = tuple[str | int, ...]


def places(value: object, path: Path = ()) -> Iterator[Path]:
    """Every field and list item within a JSON value."""
    pairs: Any = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else ()
    )
    for key, inner in pairs:
        yield (*path, key)
        yield from places(inner, (*path, key))


def at(value: Any, path: Path) -> Any:
    """What stands at a path of a JSON value, or of a model."""
    for key in path:
        value = (
            getattr(value, key) if isinstance(key, str) and attrs.has(type(value)) else value[key]
        )
    return value


def written(endpoint: str, path: Path) -> str:
    return item_path(endpoint) + "".join(
        f"[{key}]" if isinstance(key, int) else f".{key}" for key in path
    )


def changed(endpoint: str, path: Path, *value: object) -> dict[str, Any]:
    """The full item with the value at `path` replaced, or taken away."""
    item: dict[str, Any] = json.loads(json.dumps(FULL[endpoint]))  # nothing in it is shared
    holder = at(item, path[:-1])
    if value:
        holder[path[-1]] = value[0]
    else:
        del holder[path[-1]]
    return item


def fault(endpoint: str, item: object) -> InvalidResponseError:
    with pytest.raises(InvalidResponseError) as caught:
        read_item(endpoint, item)
    return caught.value


EVERY_PLACE = [(endpoint, path) for endpoint in FULL for path in places(FULL[endpoint])]
EVERY_FIELD = [(endpoint, path) for endpoint, path in EVERY_PLACE if isinstance(path[-1], str)]
OPTIONAL = [
    (endpoint, path)
    for endpoint, path in EVERY_FIELD
    if len(path) > 1 or path[0] not in IDENTITIES[endpoint]
]
ids = [".".join(map(str, place)) for place in EVERY_PLACE]


# -- what is documented ----------------------------------------------------------------------------


def assert_mirrors(model: Any, received: Any, key: str = "") -> None:
    """Each leaf of what was received is an attribute with the same value; ids are strings."""
    if isinstance(received, dict):
        for name, value in received.items():
            assert_mirrors(getattr(model, name), value, name)
    elif isinstance(received, list):
        assert isinstance(model, tuple)
        for one, value in zip(model, received, strict=True):
            assert_mirrors(one, value)
    elif key in IDS:
        assert model == (None if received is None else str(received))
    elif received is None:
        assert model in (None, ())
    else:
        assert model == received
        assert isinstance(model, bool) == isinstance(received, bool)


@pytest.mark.parametrize("endpoint", LISTS)
def test_every_field_of_a_documented_list_is_typed_and_raw_is_as_received(endpoint: str) -> None:
    data = example(endpoint)["data"]
    page = read(endpoint, data)
    assert type(page) is Page
    assert type(page.items[0]) is CLASSES[endpoint]
    assert_mirrors(page.items, data[LISTS[endpoint]])
    assert page.raw == data
    assert page.items[0].raw == data[LISTS[endpoint]][0]
    assert page.items[0].extra == {}


def test_every_field_of_the_documented_hashtag_detail_is_typed() -> None:
    data = example("hashtag_detail")["data"]
    detail = read("hashtag_detail", data)
    assert type(detail) is HashtagDetail
    assert_mirrors(detail, data["info"])
    assert detail.raw == data["info"]
    assert detail.extra == {}


def test_every_field_of_the_documented_music_detail_is_typed() -> None:
    data = example("music_detail")["data"]
    detail = read("music_detail", data)
    assert (type(detail), type(detail.sound)) == (MusicDetail, SoundDetail)
    assert_mirrors(detail, data)
    assert detail.raw == data
    assert detail.sound.raw == data["sound"]
    assert detail.extra == detail.sound.extra == {}
    judged = read("music_detail", {**data, "liked": True, "disliked": False, "like_count": 2**41})
    assert (judged.liked, judged.disliked, judged.like_count) == (True, False, 2**41)


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_the_full_items_of_these_tests_have_every_field_there_is(endpoint: str) -> None:
    assert FULL[endpoint].keys() >= example_item(endpoint).keys()
    model = read_item(endpoint, FULL[endpoint])
    assert_mirrors(model, FULL[endpoint])
    for path in [(), *places(FULL[endpoint])]:
        here = at(model, path)
        if attrs.has(type(here)):
            names = set(attrs.fields_dict(type(here))) - {"raw"}
            assert names == at(FULL[endpoint], path).keys()


# -- what may be missing ---------------------------------------------------------------------------


@pytest.mark.parametrize(("endpoint", "path"), OPTIONAL)
def test_a_field_may_be_missing_or_null(endpoint: str, path: Path) -> None:
    absent = () if isinstance(at(FULL[endpoint], path), list) else None
    for item in (changed(endpoint, path), changed(endpoint, path, None)):
        model = read_item(endpoint, item)
        assert at(model, path) == absent
        assert model.raw == item
        assert_mirrors(model, item)


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_an_identity_is_enough_and_indispensable(endpoint: str) -> None:
    model = read_item(endpoint, IDENTITIES[endpoint])
    assert model == CLASSES[endpoint](**IDENTITIES[endpoint])
    empty = {name: getattr(model, name) for name in FULL[endpoint].keys() - IDENTITIES[endpoint]}
    assert set(empty.values()) <= {None, ()}
    for name in IDENTITIES[endpoint]:
        where = f"{item_path(endpoint)}.{name}"
        error = fault(endpoint, changed(endpoint, (name,)))
        assert error.path == where
        assert str(error) == f"{where}: Object missing required field `{name}`"
        assert fault(endpoint, changed(endpoint, (name,), None)).path == where


def test_a_music_detail_may_say_nothing_of_the_account() -> None:
    detail = read("music_detail", {"sound": {"clip_id": "1"}})
    assert detail == MusicDetail(sound=SoundDetail(clip_id="1"))
    assert (detail.liked, detail.disliked, detail.like_count) == (None, None, None)


# -- what is wrong ---------------------------------------------------------------------------------


def wrong_values(path: Path, right: object) -> list[Any]:
    """Values of other types than the right one's; an id may be a number or a text."""
    if path[-1] in IDS:
        return [True, 7.5, 7.0, [], {}]
    match right:
        case bool():
            return [0, 1, 1.0, "true", [], {}]
        case int():
            return [True, 7.5, 7.0, "7", [], {}]
        case float():
            return [True, "0.5", [], {}]
        case str():
            return [True, 7, 7.5, [], {}]
        case list():
            return [True, 7, 7.5, "x", {}]
        case _:
            return [True, 7, 7.5, "x", []] + [None] * isinstance(path[-1], int)


@pytest.mark.parametrize(("endpoint", "path"), EVERY_PLACE, ids=ids)
def test_a_wrong_type_is_an_invalid_response_with_its_path(endpoint: str, path: Path) -> None:
    where = written(endpoint, path)
    for value in wrong_values(path, at(FULL[endpoint], path)):
        error = fault(endpoint, changed(endpoint, path, value))
        assert error.path == where
        assert str(error).startswith(f"{where}: Expected `")
        assert error.maybe_billed


@pytest.mark.parametrize(
    ("endpoint", "index", "change", "path"),
    [
        ("hashtags", 3, {"rank": "1"}, "data.list[3].rank"),
        ("hashtags", 0, {"trend": [{}, {}, {"value": "x"}]}, "data.list[0].trend[2].value"),
        ("hashtags", 2, {"industry_info": {"id": 1.5}}, "data.list[2].industry_info.id"),
        ("videos", 19, {"item_id": None}, "data.videos[19].item_id"),
        ("music", 1, {"related_items": [None]}, "data.sound_list[1].related_items[0]"),
    ],
)
def test_the_path_says_which_item_of_a_page(
    endpoint: str, index: int, change: dict[str, Any], path: str
) -> None:
    items = [dict(FULL[endpoint]) for _ in range(20)]
    items[index] |= change
    with pytest.raises(InvalidResponseError) as caught:
        read(endpoint, {**example(endpoint)["data"], LISTS[endpoint]: items})
    assert caught.value.path == path


@pytest.mark.parametrize("endpoint", LISTS)
@pytest.mark.parametrize("item", [None, [], "x", 5, True, {}])
def test_an_item_that_is_no_item_is_found_out(endpoint: str, item: object) -> None:
    assert str(fault(endpoint, item).path).startswith(item_path(endpoint))


@pytest.mark.parametrize("name", ["liked", "disliked", "like_count"])
def test_a_wrong_type_beside_the_sound_has_its_path_too(name: str) -> None:
    with pytest.raises(InvalidResponseError) as caught:
        read("music_detail", {"sound": {"clip_id": "1"}, name: "x"})
    assert caught.value.path == f"data.{name}"


# -- numbers ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [0, 1, -1, 2**40, 2**53 + 1, 2**63, 2**64, 2**80, 10**400])
def test_counts_and_ids_are_exact_however_large(number: int) -> None:
    item = {**FULL["hashtags"], "video_views": number, "hashtag_id": number}
    hashtag = read_item("hashtags", item)
    assert (hashtag.video_views, hashtag.hashtag_id) == (number, str(number))
    assert hashtag.raw == item


@pytest.mark.parametrize("number", [0, 1, 1.0, 0.48, 2**80, 1e300, -1])
def test_a_trend_value_may_be_whole_or_not(number: float) -> None:
    item = {**FULL["hashtags"], "trend": [{"value": number}]}
    hashtag = read_item("hashtags", item)
    assert hashtag.trend == (TrendPoint(value=number),)
    assert type(hashtag.trend[0].value) is float
    assert type(hashtag.raw["trend"][0]["value"]) is type(number)


def test_a_number_that_no_float_can_hold_is_an_invalid_response() -> None:
    error = fault("hashtags", {**FULL["hashtags"], "trend": [{"value": 10**400}]})
    assert error.path == "data.list[0].trend[0].value"


@pytest.mark.parametrize(
    ("endpoint", "path"), [(e, path) for e, path in EVERY_FIELD if path[-1] in IDS]
)
def test_an_id_is_a_text_whatever_the_wire_has(endpoint: str, path: Path) -> None:
    for value in (7244, "7244"):
        assert at(read_item(endpoint, changed(endpoint, path, value)), path) == "7244"


# -- nothing is lost -------------------------------------------------------------------------------


@pytest.mark.parametrize("endpoint", ENDPOINTS)
@pytest.mark.parametrize(
    "new", [{"novel": {"a": [1, None]}}, {"raw": 5}, {"raw": None}, {"extra": 1, "raw": {}}]
)
def test_unknown_fields_are_in_extra_whatever_their_name(
    endpoint: str, new: dict[str, Any]
) -> None:
    item = {**FULL[endpoint], **new}
    model = read_item(endpoint, item)
    assert model.extra == new
    assert model.raw == item
    assert to_dict(model)["extra"] == new
    assert model == read_item(endpoint, FULL[endpoint])


def test_unknown_fields_of_smaller_objects_are_in_raw() -> None:
    item = {**FULL["hashtags"], "trend": [{"time": 1, "novel": 2}]}
    hashtag = read_item("hashtags", item)
    assert hashtag.extra == {}
    assert hashtag.raw == item


def test_unknown_fields_of_a_music_detail_are_in_extra() -> None:
    detail = read("music_detail", {"sound": {"clip_id": "1"}, "novel": 1, "raw": 2})
    assert detail.extra == {"novel": 1, "raw": 2}
    assert to_dict(detail)["extra"] == {"novel": 1, "raw": 2}


def test_a_model_as_plain_data() -> None:
    video = read_item("videos", {"item_id": 7587, "title": "pup", "novel": [1]})
    assert to_dict(video) == {
        "item_id": "7587",
        "id": None,
        "title": "pup",
        "duration": None,
        "cover": None,
        "item_url": None,
        "region": None,
        "country_code": None,
        "extra": {"novel": [1]},
    }


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_plain_data_is_ready_for_json_and_has_every_field(endpoint: str) -> None:
    plain = to_dict(read_item(endpoint, FULL[endpoint]))
    expected = {**json.loads(json.dumps(FULL[endpoint])), "extra": {}}
    for path in places(expected):
        if path[-1] in IDS:
            at(expected, path[:-1])[path[-1]] = str(at(expected, path))
    assert plain == expected  # lists are lists: a tuple would not be equal
    assert json.loads(json.dumps(plain)) == plain


def test_a_page_and_a_music_detail_as_plain_data() -> None:
    plain = to_dict(read("music", example("music")["data"]))
    assert plain.keys() == {"items", "number", "size", "total", "has_more", "request_id"}
    assert [plain["items"][0][name] for name in ("clip_id", "related_items", "extra")] == [
        *("6703723351497508865", [], {})
    ]
    assert to_dict(read("music_detail", {"sound": {"clip_id": "1"}, "liked": True})) == {
        "sound": to_dict(SoundDetail(clip_id="1")),
        "liked": True,
        "disliked": None,
        "like_count": None,
        "extra": {},
    }


# -- values ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_models_are_values(endpoint: str) -> None:
    model, same = (read_item(endpoint, FULL[endpoint]) for _ in range(2))
    other = read_item(endpoint, {**FULL[endpoint], "trend": [], "title": "other"})
    assert model == same != other
    assert len({model, same, other}) == 2
    assert model.raw is not same.raw
    assert "raw" not in repr(model)
    for path in [(), *places(FULL[endpoint])]:
        part = at(model, path)
        if attrs.has(type(part)):
            assert not hasattr(part, "__dict__")
            with pytest.raises(FrozenInstanceError):
                setattr(part, attrs.fields(type(part))[0].name, None)


@pytest.mark.parametrize("endpoint", [*LISTS, *DETAILS])
def test_copies_and_pickles_keep_raw(endpoint: str) -> None:
    data = {**example(endpoint)["data"], "novel": 1}
    model = read(endpoint, data)
    for twin in (pickle.loads(pickle.dumps(model)), copy.copy(model), copy.deepcopy(model)):
        assert twin == model
        assert hash(twin) == hash(model)
        assert twin.raw == model.raw == (data if endpoint != "hashtag_detail" else data["info"])
        if endpoint in LISTS:
            assert twin.items[0].raw == data[LISTS[endpoint]][0]


# -- small comforts --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("time", "moment"),
    [
        (1769472000, datetime(2026, 1, 27, tzinfo=UTC)),
        (0, datetime(1970, 1, 1, tzinfo=UTC)),
        (-1, datetime(1969, 12, 31, 23, 59, 59, tzinfo=UTC)),
        (None, None),
        (10**12, None),
        (10**15, None),
        (-(10**15), None),
        (2**80, None),
        (-(10**400), None),
    ],
)
def test_the_time_of_a_trend_point(time: int | None, moment: datetime | None) -> None:
    assert TrendPoint(time=time).at == moment
    assert moment is None or moment.tzinfo is UTC


@pytest.mark.parametrize(
    ("name", "url"),
    [
        ("ufc324", "https://www.tiktok.com/tag/ufc324"),
        ("café/?#", "https://www.tiktok.com/tag/caf%C3%A9%2F%3F%23"),
        ("\U0001f436", "https://www.tiktok.com/tag/%F0%9F%90%B6"),
        ("cut \ud83d", "https://www.tiktok.com/tag/cut%20%3F"),
    ],
)
def test_the_url_of_a_hashtag(name: str, url: str) -> None:
    assert Hashtag(hashtag_id="1", hashtag_name=name).url == url
