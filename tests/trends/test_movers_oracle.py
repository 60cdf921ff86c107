"""Movers against a naive oracle, on days with gaps, partial lists, shards and filters."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keyapi_async import HashtagsQuery, ListQuery, ParameterError, VideosQuery, trends
from tests.trends.scripted import Listing, add_day, day

QUERIES: tuple[ListQuery[Any], ...] = (
    HashtagsQuery(region="US"),
    HashtagsQuery(region="GB"),
    HashtagsQuery(),
    HashtagsQuery(region="US", period=30),
    VideosQuery(),
)

listings = st.builds(
    Listing,
    items=st.lists(st.sampled_from("abcdefg"), unique=True),
    state=st.sampled_from(["done"] * 6 + ["failed", "pending"]),
    reason=st.sampled_from(["exhausted"] * 4 + ["max_items", "empty_page"]),
    views=st.dictionaries(st.sampled_from("abcdefg"), st.integers(0, 3)),
)
scripts = st.lists(st.dictionaries(st.sampled_from(QUERIES), listings), min_size=1, max_size=6)
filters = st.fixed_dictionaries(
    {},
    optional={
        "endpoint": st.sampled_from(["hashtags", ["hashtags", "videos"]]),
        "region": st.sampled_from(["US", "GB", ["US", "GB"]]),
        "period": st.sampled_from([7, "30", [7, 30]]),
        "kind": st.sampled_from(["new", ["risen", "dropped"]]),
        "min_change": st.integers(0, 3),
        "since": st.integers(1, 4).map(lambda days: timedelta(days=days)),
    },
)


def many(value: Any) -> list[str]:
    return [str(one) for one in value] if isinstance(value, list) else [str(value)]


def expect(
    script: Sequence[Mapping[ListQuery[Any], Listing]], wanted: Mapping[str, Any]
) -> dict[tuple[Any, str], dict[str, Any]]:
    """The moves, found in the simplest way there is."""
    chosen = {
        query
        for lists in script
        for query in lists
        if all(
            str({"endpoint": query.name, "region": query.region, "period": query.period}[name])
            in many(wanted[name])
            for name in ("endpoint", "region", "period")
            if name in wanted
        )
    }
    whole = [
        number
        for number, lists in enumerate(script)
        if any(query in chosen and one.is_complete for query, one in lists.items())
    ]
    if not whole:
        return {}
    newest = whole[-1]
    latest = newest - (wanted["since"].days if "since" in wanted else 1)
    found = {}
    for query in chosen:
        now = script[newest].get(query)
        befores = [
            n for n in range(latest + 1) if query in script[n] and script[n][query].is_complete
        ]
        if now is None or not now.is_complete or not befores:
            continue
        before = script[befores[-1]][query]
        below = max(len(now.items), len(before.items)) + 1
        for item in {*now.items, *before.items}:
            rank = now.items.index(item) + 1 if item in now.items else None
            rank_before = before.items.index(item) + 1 if item in before.items else None
            past = [
                (n, lists[query].items.index(item) + 1 if item in lists[query].items else None)
                for n, lists in enumerate(script[: newest + 1])
                if query in lists and (lists[query].is_complete or item in lists[query].items)
            ]
            listed = [(n, place) for n, place in past if place is not None]
            if rank is None:
                kind = "dropped"
            elif rank_before is None:
                kind = "returned" if listed[0][0] < befores[-1] else "new"
            else:
                kind = ["same", "fallen", "risen"][(rank > rank_before) - (rank < rank_before)]
            change = (rank_before or below) - (rank or below)
            if kind not in many(wanted.get("kind", [*trends.KINDS])):
                continue
            if abs(change) < wanted.get("min_change", 0):
                continue
            streak = 0
            while streak < len(past) and past[-1 - streak][1] is not None:
                streak += 1
            has_views = query.views is not None
            views = now.views.get(item) if has_views and rank else None
            views_before = before.views.get(item) if has_views and rank_before else None
            found[query, item] = {
                "kind": kind,
                "rank": rank,
                "rank_before": rank_before,
                "change": change,
                "views": views,
                "views_before": views_before,
                "growth": views / views_before - 1 if views is not None and views_before else None,
                "day": day(newest + 1),
                "day_before": day(befores[-1] + 1),
                "first_seen": day(listed[0][0] + 1),
                "days_listed": len(listed),
                "streak": streak,
                "best_rank": min(place for _, place in listed),
                "ranks": tuple((day(n + 1), place) for n, place in past),
                "regions": tuple(
                    sorted(
                        other.region
                        for other, one in script[newest].items()
                        if (other.name, other.period) == (query.name, query.period)
                        and other.region != "all_regions"
                        and item in one.items
                    )
                ),
            }
    return found


def find(
    paths: list[Path], wanted: dict[str, Any], there: Mapping[str, set[str]]
) -> list[trends.Move] | None:
    """The moves; None if a wanted value is nowhere, or not with the others."""
    try:
        return list(trends.movers(paths, **wanted))
    except ParameterError as error:
        name, value = error.parameter, error.value
    if value in there[name]:  # but not with the other values
        assert len(wanted.keys() & there.keys()) > 1
    return None


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(script=scripts, wanted=filters, shards=st.integers(1, 2))
def test_movers_are_what_a_naive_oracle_finds(
    script: list[dict[ListQuery[Any], Listing]], wanted: dict[str, Any], shards: int
) -> None:
    there = {
        "endpoint": {query.name for lists in script for query in lists},
        "region": {query.region for lists in script for query in lists},
        "period": {str(query.period) for lists in script for query in lists},
    }
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / f"{n}.sqlite" for n in range(shards)]
        for number, lists in enumerate(script, 1):
            for n, path in enumerate(paths):
                part = {q: one for q, one in lists.items() if QUERIES.index(q) % shards == n}
                add_day(path, day(number), part)
        if (moves := find(paths, wanted, there)) is None:
            return
    expected = expect(script, wanted)
    assert len(moves) == len(expected)
    for move in moves:
        found = expected[move.query, move.item_id]
        assert {name: getattr(move, name) for name in found} == found
        assert move.name == f"name of {move.item_id}"
        assert move.endpoint == move.query.name
