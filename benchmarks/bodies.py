"""Answers to measure with, made of the sandbox's data: the same bytes in every run."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

from keyapi_async.sandbox.answers import Answer, to_json
from keyapi_async.sandbox.endpoints import (
    ENDPOINTS,
    DetailEndpoint,
    ListEndpoint,
    find_endpoint,
    find_list,
    parse_query,
)
from keyapi_async.sandbox.payloads import make_rows, render_detail

PAGE_SIZE = 20
TREND_POINTS = 7
CREATORS = 3

_NUMBER = "@@@@@@@@"
"""Stands where the page's number goes, so that no two pages share an id."""


def body(endpoint: str) -> bytes:
    """The whole body of an endpoint's answer; a list's first page of many."""
    shape = find_endpoint(endpoint)
    if not isinstance(shape, DetailEndpoint):
        return page(endpoint, 1, pages=5)
    data = render_detail(shape, parse_query(shape, {}).scene)
    return Answer.success(data or b"", "a-request-id").body


def page(endpoint: str, number: int, *, pages: int, total: int | None = None) -> bytes:
    """One page of a list of so many; `total` in items, if it is to be wrong."""
    shape = find_list(endpoint)
    place = {
        "page": number,
        shape.size_key: PAGE_SIZE,
        shape.total_key: pages * PAGE_SIZE if total is None else total,
        "has_more": number < pages,
    }
    items = f"{number:08d}".join(_items(endpoint))
    data = f'{{"{shape.items_key}":[{items}],"pagination":{to_json(place)}}}'
    return Answer.success(data.encode(), "a-request-id").body


def endpoint_of(path: str) -> str | None:
    """The endpoint at a path."""
    return next((each.name for each in ENDPOINTS if each.path == path), None)


def is_list(endpoint: str) -> bool:
    """Whether it has pages."""
    return isinstance(find_endpoint(endpoint), ListEndpoint)


@cache
def _items(name: str) -> list[str]:
    endpoint = find_list(name)
    query = parse_query(endpoint, {})
    found = map(json.loads, make_rows(endpoint, query.scene))
    kept = [item for item in found if _is_usual(item)][:PAGE_SIZE]
    id_fields = {"hashtag_id", "item_id", "id", "clip_id"}
    for index, item in enumerate(kept):
        item.update(dict.fromkeys(id_fields & item.keys(), f"7{_NUMBER}{index:010d}"))
    return ",".join(map(to_json, kept)).split(_NUMBER)


def _is_usual(item: dict[str, Any]) -> bool:
    """Whether a hashtag or sound has the usual number of points and creators."""
    trend = len(item.get("trend", range(TREND_POINTS)))
    return trend == TREND_POINTS and len(item.get("creators", range(CREATORS))) == CREATORS
