"""What was received: JSON as it was sent, and the text of every item letter for letter."""

from __future__ import annotations

import copy
import json

import pytest

from keyapi_async import Video, from_dict
from keyapi_async.raw import loads, position_of
from tests.core.one_answer import read_body

VIDEOS = b'{"code": 0, "data": {"videos": [%b], "pagination": {"page": 1, "has_more": false}}}'


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (b"[0, 1, 1.0, -0.5]", [0, 1, 1.0, -0.5]),
        (b"1180591620717411303424", 2**70),
        (b'"\\ud83d\\udc36 \xf0\x9f\x90\xb6"', "\U0001f436 \U0001f436"),
        (b'"cut \\ud83d"', "cut \ud83d"),
        (b'{"big": 1180591620717411303424, "cut": "\\ud83d"}', {"big": 2**70, "cut": "\ud83d"}),
        (b'{"a": 1, "a": 2}', {"a": 2}),
        (b'{"a": 1, "a": 2, "b": "\\ud83d"}', {"a": 2, "b": "\ud83d"}),
        (b"\xef\xbb\xbf{}", {}),
        (b" \r\n\t{} \n", {}),
    ],
)
def test_json_is_read_as_sent(text: bytes, value: object) -> None:
    read = loads(text)
    assert read == value
    assert repr(read) == repr(value)  # 1 is not 1.0 here


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b"{}{}",
        b"{'a': 1}",
        b"NaN",
        b"[Infinity]",
        b'{"cut": "\\ud83d", "a": NaN}',
        b'{"cut": "\\ud83d", "a": -Infinity}',
        b"1e999",
        b'{"cut": "\\ud83d", "a": 1e999}',
        b"9" * 5000,
        b"9" * 10**6,
        b"[" * 100_000,
        b"[" * 100_000 + b"]" * 100_000,
        b'{"a":' * 100_000,
        b'"\xff"',
        b'{"a": "\x00"}',
    ],
    ids=lambda text: repr(text[:20]) + str(len(text)),
)
def test_what_is_not_json_is_refused(text: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        loads(text)


def test_an_odd_value_of_a_field_nobody_knows_costs_no_page() -> None:
    body = (
        b'{"code": 0, "data": {"info": {"hashtag_id": "1", "hashtag_name": "x",'
        b' "big": 1e999, "cut": "\xff"}}}'
    )
    detail = read_body("hashtag_detail", body)
    assert (detail.hashtag_name, detail.extra) == ("x", {"big": float("inf"), "cut": "\ufffd"})


@pytest.mark.parametrize(
    "value", ["1.0", "1e2", '"\\u00e9 \\/"', "123456789012345678901234567890", "[ 1 ]"]
)
def test_the_text_of_an_item_is_what_was_received_letter_for_letter(value: str) -> None:
    texts = ['{"item_id": "1",  "x": ' + value + "}", '{"x":' + value + ', "item_id":"2"}']
    place = '{"page": 1, "has_more": false}'
    data = '{"videos": [' + " , ".join(texts) + '], "pagination": ' + place + "}"
    body = b'{"code": 0, "data": %b}' % data.encode()
    page = read_body("videos", body)
    assert [item.raw_json for item in page.items] == texts
    assert page.raw_json == data
    parsed = [item.raw for item in page.items]
    page.raw.clear()
    assert [item.raw_json for item in page.items] == texts  # also once it is parsed, or changed
    assert page.raw_json == data
    assert [json.loads(text) for text in texts] == parsed


def test_an_item_with_half_an_emoji_has_a_text_too() -> None:
    page = read_body("videos", VIDEOS % b'{"item_id": "1", "title": "cut \\ud83d"}')
    assert json.loads(page.items[0].raw_json)["title"] == "cut \ud83d"


def test_an_item_that_is_no_utf8_has_a_text_too() -> None:
    page = read_body("videos", VIDEOS % b'{"item_id": "1", "cut": "\xff"}')
    assert json.loads(page.items[0].raw_json) == {"item_id": "1", "cut": "\ufffd"}


@pytest.mark.parametrize("title", ["A", "cut \ud83d"])
def test_an_item_made_of_a_dict_or_copied_has_a_text_too(title: str) -> None:
    item = from_dict(Video, {"item_id": "1", "title": title})
    for each in (item, copy.copy(item)):
        assert json.loads(each.raw_json) == {"item_id": "1", "title": title}


def test_what_stands_beside_the_data_does_not_matter_to_it() -> None:
    data = b'{"info": {"hashtag_id": "1", "hashtag_name": "x", "u": [1]}}'
    body = b'{"zz": ' + b"7" * 5000 + b', "code": 0, "data": ' + data + b"}"
    detail = read_body("hashtag_detail", body)
    assert (detail.extra, detail.raw["hashtag_name"]) == ({"u": [1]}, "x")


@pytest.mark.parametrize("count", [0, 1, 20, 21, 1000])
def test_a_page_of_any_length_knows_its_items(count: int) -> None:
    items = ",".join(f'{{"item_id": "{number}"}}' for number in range(count))
    page = read_body("videos", VIDEOS % items.encode())
    assert [item.raw["item_id"] for item in page.items] == [str(n) for n in range(count)]


def test_an_item_knows_where_in_its_list_it_stood() -> None:
    page = read_body("videos", VIDEOS % b'{"item_id": "1"}, {"item_id": "2"}, {"item_id": "3"}')
    assert [position_of(item) for item in page.items] == [1, 2, 3]
    assert position_of(Video(item_id="1")) == 1  # made by hand


def test_changing_what_a_page_was_made_of_changes_nothing_for_its_items() -> None:
    page = read_body("videos", VIDEOS % b'{"item_id": "1"}')
    page.raw.clear()
    item = page.items[0]
    assert (item.raw_json, item.raw) == ('{"item_id": "1"}', {"item_id": "1"})


def test_changing_what_an_item_was_made_of_changes_nothing_for_its_page() -> None:
    page = read_body("videos", VIDEOS % b'{"item_id": "1"}, {"item_id": "2"}')
    page.items[0].raw.clear()
    assert (page.items[0].raw, page.items[1].raw) == ({}, {"item_id": "2"})
    assert page.raw["videos"] == [{"item_id": "1"}, {"item_id": "2"}]


def test_changing_what_a_detail_was_made_of_changes_nothing_for_its_sound() -> None:
    detail = read_body("music_detail", b'{"code": 0, "data": {"sound": {"clip_id": "1"}}}')
    detail.raw.clear()
    assert detail.sound.raw == {"clip_id": "1"}


def test_changing_what_a_model_made_by_hand_was_made_of_changes_nothing() -> None:
    Video(item_id="1").raw["note"] = 1
    assert (Video(item_id="2").raw, Video(item_id="2").extra) == ({}, {})
