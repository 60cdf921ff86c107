"""Models as plain data, and back from their JSON."""

from __future__ import annotations

import json

import pytest

from keyapi_async import SoundDetail, to_dict
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
