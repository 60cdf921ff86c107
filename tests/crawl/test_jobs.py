"""The values between workers and sinks."""

from __future__ import annotations

from typing import Any

import pytest

from keyapi_async import to_dict
from keyapi_async.converter import from_json
from keyapi_async.crawl.jobs import Batch, Job, Options, Progress
from keyapi_async.models import Hashtag, Sound, Video
from keyapi_async.queries import (
    HashtagDetailQuery,
    HashtagsQuery,
    MusicDetailQuery,
    MusicQuery,
    Query,
    VideosQuery,
)


def batch(query: Query[Any], *items: Any, page: int = 1) -> Batch:
    return Batch(job=Job(query=query), page=page, items=items, request_id="r", retrieved_at=5.0)


def test_the_details_of_a_page() -> None:
    tag = HashtagsQuery(region="US", period=30, industry_id="1")
    named = from_json(Hashtag, '{"hashtag_id":"1","hashtag_name":"a"}')
    nameless = from_json(Hashtag, '{"hashtag_id":"2","hashtag_name":""}')
    assert list(batch(tag, named, nameless, page=3).details()) == [
        (41, HashtagDetailQuery(region="US", period=30, hashtag_name="a"))
    ]
    sound = from_json(Sound, '{"clip_id":"7"}')
    assert list(batch(MusicQuery(region="GB"), sound).details()) == [
        (1, MusicDetailQuery(region="GB", clip_id="7"))
    ]
    video = from_json(Video, '{"item_id":"7"}')
    assert list(batch(VideosQuery(), video).details()) == []
    assert list(batch(HashtagDetailQuery(), named).details()) == []


def test_the_records_of_a_page() -> None:
    item = from_json(Hashtag, '{"hashtag_id":"1","hashtag_name":"a"}')
    (record,) = batch(HashtagsQuery(), item, page=2).records()
    assert (record.endpoint, record.page, record.position) == ("hashtags", 2, 1)
    assert (record.item, record.request_id, record.retrieved_at) == (item, "r", 5.0)
    assert to_dict(record.item)["hashtag_id"] == "1"


@pytest.mark.parametrize(
    ("details", "place", "wanted"),
    [("all", 99, True), ("new", 99, True), (3, 3, True), (3, 4, False)],
)
def test_which_details_are_wanted(details: str | int, place: int, wanted: bool) -> None:
    assert Options(details=details).wants_detail(place) is wanted


def test_what_is_neither_done_nor_failed_is_pending() -> None:
    assert Progress(queries=9, done=4, failed=2).pending == 3
