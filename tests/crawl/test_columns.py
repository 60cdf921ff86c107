"""The columns of what leaves a crawl."""

from __future__ import annotations

from keyapi_async.crawl.columns import column_names, fields, filters, known_names
from keyapi_async.queries import ENDPOINTS

FOR_ALL = {
    "item_id",
    "day",
    "rank",
    "query_period",
    "query_region",
    "list_complete",
    "snapshot",
    "snapshot_started_at",
    "page",
    "position",
    "place",
    "retrieved_at",
    "request_id",
    "extra",
}


def test_each_query_has_its_columns() -> None:
    assert {name: (one.kind, one.nothing) for name, one in filters("music").items()} == {
        "query_search_keyword": ("VARCHAR", "FALSE"),
        "query_period": ("BIGINT", None),
        "query_region": ("VARCHAR", None),
        "query_new_to_top_100": ("BOOLEAN", None),
        "query_commercial_music": ("BOOLEAN", None),
    }
    assert filters("hashtags")["query_industry_id"].nothing == "nothing"


def test_all_endpoints_have_these_columns() -> None:
    for endpoint in ENDPOINTS:
        have = column_names(endpoint)
        assert set(have) >= FOR_ALL
        assert len(have) == len(set(have))
        assert [one.is_key for one in fields(endpoint).values()].count(True) == 1


def test_a_model_within_an_item_gives_columns() -> None:
    found = fields("music_detail")
    assert found["clip_id"].path == ("sound", "clip_id")
    assert found["clip_id"].is_key
    assert found["liked"].path == ("liked",)
    assert found["longevity"].kind == 'STRUCT("popular_days" BIGINT, "current_popularity" DOUBLE)'
    assert found["trend"].kind == 'STRUCT("time" BIGINT, "value" DOUBLE)[]'
    assert found["liked"].kind == "BOOLEAN"
    known = known_names("music_detail")
    assert set(known) == {"sound", "liked", "disliked", "like_count"}
    assert "clip_id" in known["sound"]
    assert known["liked"] == frozenset()
