"""What each endpoint takes: the documented queries, and nothing that can't be right."""

from __future__ import annotations

import pytest

from tests.sandbox.bare_client import BASE, DETAIL, HASHTAGS, Http


@pytest.mark.parametrize(
    ("path", "params"),
    [
        (HASHTAGS, {"page": "0"}),
        (HASHTAGS, {"page": "-1"}),
        (HASHTAGS, {"page": "1" * 19}),
        (HASHTAGS, {"page": "²"}),
        (HASHTAGS, {"limit": "0"}),
        (HASHTAGS, {"limit": "ten"}),
        (HASHTAGS, {"period": "365"}),
        (DETAIL, {"period": "8"}),
        (BASE + "music/detail", {"period": "1095"}),
        (BASE + "videos", {"order_by": "views"}),
        (HASHTAGS, {"new_to_top_100": "True"}),
        (BASE + "music", {"commercial_music": ""}),
        (BASE + "music", {"search_keyword": ""}),
        (BASE + "videos", {"region": ""}),
        (DETAIL, {"hashtag_name": ""}),
        (BASE + "music/detail", {"clip_id": ""}),
    ],
)
async def test_bad_parameters_are_named(http: Http, path: str, params: dict[str, str]) -> None:
    status, body = await http.get(path, **params)
    [name] = params
    assert status == 400
    assert body == {"code": 400, "data": None, "message": f"Invalid parameter: {name}"}
    [record] = http.sandbox.requests
    assert (record.code, record.credits, record.page) == (400, 0, None)
