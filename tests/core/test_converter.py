"""Models as plain data, and back from their JSON."""

from __future__ import annotations

import json
import pickle

import pytest

from keyapi_async import (
    Hashtag,
    HashtagDetail,
    InvalidResponseError,
    Model,
    MusicDetail,
    Sound,
    SoundDetail,
    Video,
    VideosQuery,
    to_dict,
)
from keyapi_async.converter import filters, from_json
from tests.core.documented_bodies import ENDPOINTS, example
from tests.core.full_items import FULL, IDS, at, places
from tests.core.one_answer import read, read_item


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
    fields = "items number size total has_more request_id retrieved_at from_cache"
    assert plain.keys() == set(fields.split())
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


# -- from the text of one --------------------------------------------------------------------------

TEXTS = {
    Hashtag: '{"hashtag_id": 1,"hashtag_name" :"a", "novel": 1.0, "e": "\\u00e9"}',
    Video: '{"item_id":"1","title":"cut \\ud83d"}',
    Sound: '{"clip_id":7,"big":123456789012345678901234567890}',
    HashtagDetail: '{"hashtag_id":"1","hashtag_name":"a","trend":null,"x":[1e2]}',
    MusicDetail: '{"sound": {"clip_id": "1",  "x": 1.0},"liked":true, "y":2.50}',
}


@pytest.mark.parametrize("cls", TEXTS)
def test_a_model_made_of_its_text_has_it_letter_for_letter(cls: type[Model]) -> None:
    model = from_json(cls, TEXTS[cls])
    assert type(model) is cls
    assert model.raw_json == TEXTS[cls]
    assert model.raw == json.loads(TEXTS[cls])
    assert model.raw_json == TEXTS[cls]  # also once it is parsed
    twin = pickle.loads(pickle.dumps(model))
    assert (twin, twin.raw, twin.extra) == (model, model.raw, model.extra)


def test_the_sound_of_a_music_detail_made_of_its_text_has_its_own() -> None:
    detail = from_json(MusicDetail, TEXTS[MusicDetail])
    assert detail.sound.raw_json == '{"clip_id": "1",  "x": 1.0}'
    assert (detail.sound.raw, detail.sound.extra) == ({"clip_id": "1", "x": 1.0}, {"x": 1.0})
    assert (detail.extra, detail.request_id) == ({"y": 2.5}, None)


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_what_was_received_makes_the_same_model_again(endpoint: str) -> None:
    model = read_item(endpoint, {**FULL[endpoint], "novel": 1})
    twin = from_json(type(model), model.raw_json)
    assert (twin, twin.raw, twin.extra) == (model, model.raw, {"novel": 1})


@pytest.mark.parametrize("text", ["", "null", "[]", "{}", '{"hashtag_id": 1', '"\ud800"', "NaN"])
def test_a_text_that_is_no_model_is_an_invalid_response(text: str) -> None:
    with pytest.raises(InvalidResponseError) as caught:
        from_json(Hashtag, text)
    assert str(caught.value.path).startswith("data")
    assert caught.value.__context__ is None


def test_the_filters_of_a_query_are_all_but_its_page() -> None:
    assert filters(VideosQuery(page=3, period=30)) == {
        "period": "30",
        "limit": "20",
        "region": "US",
        "order_by": "vv",
    }
