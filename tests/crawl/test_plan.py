"""Plans: grids, lines, and what they should cost. Nothing is sent."""

from __future__ import annotations

import json
from typing import Any

import pytest

from keyapi_async import ParameterError
from keyapi_async.crawl import Expectation, expect, grid, query_json, query_text, read_plan
from keyapi_async.crawl.jobs import Job, Options
from keyapi_async.crawl.plan import check_plan, pages_left
from keyapi_async.queries import (
    ENDPOINTS,
    HashtagDetailQuery,
    HashtagsQuery,
    MusicDetailQuery,
    MusicQuery,
    Query,
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
        ("music", {"region": []}, "region must be at least one value: without any, the plan is"),
        (
            "hashtags",
            {"regoin": "US"},
            "parameter of hashtags must be .*, region; did you mean 'region'[?], not 'regoin'$",
        ),
        (VideosQuery, {"industry_id": []}, "parameter of videos must be one of limit, order_by, "),
        (dict, {}, "endpoint must be one of hashtags, .*, not <class 'dict'>"),
    ],
)
def test_a_grid_refuses_what_cannot_be_right(
    endpoint: Any, values: dict[str, Any], problem: str
) -> None:
    with pytest.raises(ParameterError, match=problem):
        grid(endpoint, **values)


def test_endpoints_are_called_as_the_coroutines_of_the_client() -> None:
    assert all(callable(getattr(Trending, name)) for name in ENDPOINTS)
    assert [query.name for query in ENDPOINTS.values()] == list(ENDPOINTS)


@pytest.mark.parametrize(
    ("plan", "problem"),
    [
        (["hashtags"], "query 1 of the plan must be a query, as grid.. makes, not 'hashtags'"),
        ([HashtagsQuery(), Query()], r"query 2 of the plan must be a query, .* not Query\(\)"),
    ],
)
def test_what_is_no_query_is_named(plan: Any, problem: str) -> None:
    with pytest.raises(ParameterError, match=problem):
        check_plan(plan)


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
        ('{"endpoint": "videos", "industry_id": 1}', "line 2: parameter of videos must be one of"),
        ('{"endpoint": "videos", "period": 8}', "line 2: period must be one of 7, 30, 120, not 8"),
        ("[" * 100_000, "line 2: "),
    ],
)
def test_a_line_that_is_no_query_is_named(line: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        read_plan(['{"endpoint": "music"}', line], "plan.jsonl")


def test_a_query_for_people_names_what_is_not_as_usual() -> None:
    assert query_text(HashtagsQuery()) == "hashtags"
    assert query_text(VideosQuery(region="GB", page=2)) == "videos page=2 region=GB"
    assert query_text(HashtagDetailQuery(hashtag_name="a")) == "hashtag_detail hashtag_name=a"


@pytest.mark.parametrize(
    ("options", "details", "pages"),
    [
        ({}, 0, 35),
        ({"max_items": 30}, 0, 6),
        ({"max_pages": 3}, 0, 9),
        ({"max_items": 0}, 0, 0),
        ({"details": "all"}, 200, 35),
        ({"details": "new"}, 200, 35),
        ({"details": 7}, 14, 35),
        ({"details": "all", "max_items": 30}, 60, 6),
        ({"details": 40, "max_items": 30}, 60, 6),
    ],
)
def test_what_a_plan_should_cost(options: dict[str, Any], details: int, pages: int) -> None:
    plan = grid("hashtags") + grid("videos") + grid("music")
    assert expect(plan, **options) == Expectation(
        queries={"hashtags": 1, "videos": 1, "music": 1},
        details=details,
        pages=pages,
        credits=2 * (pages + details),
    )


def test_a_plan_is_counted_by_endpoint_and_each_query_once() -> None:
    told = expect(grid("music") * 2 + grid("hashtags", region=["US", "GB"]))
    assert (told.queries, told.pages) == ({"hashtags": 2, "music": 1}, 15)


@pytest.mark.parametrize(
    ("query", "pages"),
    [
        (VideosQuery(), 25),
        (VideosQuery(limit=7), 72),
        (VideosQuery(page=24), 2),
        (VideosQuery(page=99), 0),
        (HashtagDetailQuery(), 1),
    ],
)
def test_what_one_query_should_cost(query: Query[Any], pages: int) -> None:
    assert pages_left(Job(query=query), Options()) == pages


@pytest.mark.parametrize(
    ("job", "options", "pages"),
    [
        ({"total": 41}, {}, 3),
        ({"total": 41, "pages": 2}, {}, 1),
        ({"total": 41, "pages": 9}, {}, 0),
        ({"total": 0}, {}, 1),  # the page that says so
        ({"total": 0, "pages": 1}, {}, 0),
        ({"total": 0}, {"max_pages": 0}, 0),
        ({"total": 0}, {"max_items": 0}, 0),
    ],
)
def test_what_is_left_of_a_list(job: dict[str, int], options: dict[str, int], pages: int) -> None:
    assert pages_left(Job(query=VideosQuery(), **job), Options(**options)) == pages


def test_a_detail_that_is_stored_costs_nothing_more() -> None:
    assert pages_left(Job(query=HashtagDetailQuery(), pages=1), Options()) == 0


def test_the_top_of_a_list_is_not_on_its_second_page() -> None:
    assert expect(grid("hashtags", page=2), details=20).details == 0
    assert expect(grid("hashtags", page=2), details=25).details == 5


@pytest.mark.parametrize(
    ("name", "value"),
    [("details", "some"), ("details", 0), ("details", True), ("max_items", -1), ("max_pages", "x")],
)
def test_options_that_cannot_be_right_are_refused(name: str, value: object) -> None:
    with pytest.raises(ParameterError, match=f"{name} must be .*, not {value!r}"):
        expect(grid("hashtags"), **{name: value})  # type: ignore[arg-type]
