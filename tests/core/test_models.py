"""Models of what is received: every documented field typed, wrong types found out."""

from __future__ import annotations

import json
from typing import Any

import attrs
import pytest

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
)
from tests.core.documented_bodies import ENDPOINTS, LISTS, example, example_item
from tests.core.full_items import FULL, IDS, Path, at, places
from tests.core.one_answer import item_path, read, read_item

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
