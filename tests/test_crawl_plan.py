"""Plans: grids, lines, and what they should cost. Nothing is sent."""

from __future__ import annotations

import json
from typing import Any

import pytest
from crawls import query_json

from keyapi_async.crawl import ENDPOINTS, Expectation, expect, grid, read_plan
from keyapi_async.crawl.plan import details_of, endpoint_of, pages_of, usual_pages
from keyapi_async.queries import (
    HashtagDetailQuery,
    HashtagsQuery,
    MusicDetailQuery,
    MusicQuery,
    VideosQuery,
)
from keyapi_async.trending import Trending


def test_a_grid_has_every_combination_once() -> None:
    plan = grid("hashtags", region=["US", "GB", "US"], period=(7, "30"), new_to_top_100=True)
    assert [(query.region, query.period) for query in plan] == [  # type: ignore[attr-defined]
        ("US", 7),
        ("US", 30),
        ("GB", 7),
        ("GB", 30),
    ]
    assert plan[0] == HashtagsQuery(region="US", new_to_top_100=True)
    assert grid(HashtagsQuery, region=["US", "GB"], period=7) == (
        HashtagsQuery(region="US"),
        HashtagsQuery(region="GB"),
    )
    assert grid("videos") == (VideosQuery(),)


def test_values_of_a_grid_that_mean_the_same_are_one_query() -> None:
    assert len(grid("hashtags", period=[7, "7"], industry_id=[None, "nothing"])) == 1


@pytest.mark.parametrize(
    ("endpoint", "values", "problem"),
    [
        ("sounds", {}, "endpoint must be one of hashtags, .*music_detail, not 'sounds'"),
        ("hashtags", {"period": [7, 8]}, "period must be one of 7, 30, 120, not 8"),
        ("videos", {"region": ""}, "region must be"),
        ("music", {"region": []}, "region must have at least one value: without any, the plan is"),
        (
            "hashtags",
            {"regoin": "US"},
            "hashtags takes no 'regoin', only industry_id, .*, region; did you mean 'region'[?]$",
        ),
        (VideosQuery, {"industry_id": []}, "videos takes no 'industry_id', only limit, order_by, "),
        (dict, {}, "endpoint must be one of hashtags, .*, not <class 'dict'>"),
    ],
)
def test_a_grid_refuses_what_cannot_be_right(
    endpoint: Any, values: dict[str, Any], problem: str
) -> None:
    with pytest.raises(ValueError, match=problem):
        grid(endpoint, **values)


def test_endpoints_are_called_as_the_coroutines_of_the_client() -> None:
    assert all(callable(getattr(Trending, name)) for name in ENDPOINTS)
    assert [endpoint_of(query()) for query in ENDPOINTS.values()] == list(ENDPOINTS)


def test_a_plan_goes_to_lines_and_back() -> None:
    plan = (
        grid("hashtags", industry_id=[None, 22000000000])
        + grid("music", search_keyword="señor 🎉")
        + grid("videos", limit=5, page=2)
        + (HashtagDetailQuery(hashtag_name="a"), MusicDetailQuery(clip_id="1"))
    )
    lines = [query_json(query) for query in plan]
    assert json.loads(lines[0])["endpoint"] == "hashtags"
    assert read_plan([*lines, "", "  \n", lines[0]]) == plan


def test_lines_take_python_values_and_documented_ones() -> None:
    given = read_plan(
        ['{"endpoint": "hashtags", "period": 30, "new_to_top_100": true}', '{"endpoint": "music"}']
    )
    assert given == (HashtagsQuery(period=30, new_to_top_100=True), MusicQuery())


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("nonsense", "plan.jsonl, line 2: Expecting value"),
        ("[]", 'line 2: it must be an object with "endpoint"'),
        ('{"region": "US"}', 'line 2: it must be an object with "endpoint"'),
        ('{"endpoint": ["music"]}', r"line 2: endpoint must be one of .* not \['music'\]"),
        ('{"endpoint": "videos", "industry_id": 1}', "line 2: videos takes no 'industry_id', only"),
        ('{"endpoint": "videos", "period": 8}', "line 2: period must be one of 7, 30, 120, not 8"),
        ("[" * 100_000, "line 2: "),
    ],
)
def test_a_line_that_is_no_query_is_named(line: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        read_plan(['{"endpoint": "music"}', line], "plan.jsonl")


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, (3, 0, 35, 70)),
        ({"max_items": 30}, (3, 0, 6, 12)),
        ({"max_pages": 3}, (3, 0, 9, 18)),
        ({"max_items": 0}, (3, 0, 0, 0)),
        ({"with_details": True}, (3, 200, 235, 470)),
        ({"with_details": True, "max_items": 30}, (3, 60, 66, 132)),
    ],
)
def test_what_a_plan_should_cost(options: dict[str, Any], expected: tuple[int, ...]) -> None:
    plan = grid("hashtags") + grid("videos") + grid("music")
    queries, details, pages, credits_ = expected
    assert expect(plan, **options) == Expectation(
        queries=queries, details=details, pages=pages, credits=credits_
    )


def test_what_one_query_should_cost() -> None:
    assert usual_pages(VideosQuery(limit=7)) == 72
    assert usual_pages(VideosQuery(page=24)) == 2
    assert usual_pages(VideosQuery(page=99)) == 0
    assert usual_pages(HashtagDetailQuery()) == pages_of(HashtagDetailQuery(), 9, None, None) == 1
    assert pages_of(VideosQuery(), 41, None, None) == 3
    assert pages_of(VideosQuery(), 0, None, None) == 1  # the page that says so


def test_details_of_what_is_on_a_page() -> None:
    tag = HashtagsQuery(region="US", period=30, industry_id="1")
    assert details_of(tag, [{"hashtag_name": "a"}, {"hashtag_name": ""}]) == [
        HashtagDetailQuery(region="US", period=30, hashtag_name="a")
    ]
    assert details_of(MusicQuery(region="GB"), [{"clip_id": "7"}]) == [
        MusicDetailQuery(region="GB", clip_id="7")
    ]
    assert details_of(VideosQuery(), [{"item_id": "7"}]) == []
