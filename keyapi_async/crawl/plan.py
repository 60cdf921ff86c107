"""The plan of a crawl: a tuple of queries, and what it can be expected to cost.

Nothing here sends anything.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any, Final, TypeAlias

import attrs
from attrs import frozen

from keyapi_async.converter import wire_params
from keyapi_async.errors import shown
from keyapi_async.queries import (
    HashtagDetailQuery,
    HashtagsQuery,
    ListQuery,
    MusicDetailQuery,
    MusicQuery,
    Query,
    VideosQuery,
)
from keyapi_async.usage import CREDITS_PER_REQUEST

from .jobs import Job, Options

Plan: TypeAlias = tuple[Query, ...]

ENDPOINTS: Final[Mapping[str, type[Query]]] = {
    "hashtags": HashtagsQuery,
    "hashtag_detail": HashtagDetailQuery,
    "videos": VideosQuery,
    "music": MusicQuery,
    "music_detail": MusicDetailQuery,
}
"""Endpoints by name: that of the coroutine of `client.trending`."""

USUAL_TOTALS: Final[Mapping[type[Query], int]] = {
    HashtagsQuery: 100,
    MusicQuery: 100,
    VideosQuery: 500,
}
"""How many items a list without narrowing filters usually has."""

_NAMES: Final[Mapping[type[Query], str]] = {query: name for name, query in ENDPOINTS.items()}


def endpoint_of(query: Query) -> str:
    """The name of the endpoint a query is for, such as `hashtags`."""
    return _NAMES[type(query)]


def grid(endpoint: str | type[Query], **values: Any) -> Plan:
    """Every combination of some filters, each once.

    Args:
        endpoint: A name of `ENDPOINTS` or a query class.
        values: A value, or several of them, for each parameter; what is not given is default.

    Returns:
        The queries; add grids with `+` to crawl several endpoints.

    Raises:
        ValueError: An unknown endpoint or parameter, or a value that can't be right.

    Example:
        >>> len(grid("hashtags", region=["US", "GB"], period=[7, 30]))
        4
    """
    query = _query_class(endpoint)
    _check_params(query, values)
    axes = [_axis(name, value) for name, value in values.items()]
    combinations = itertools.product(*axes)
    made = (query.of(**dict(zip(values, chosen, strict=True))) for chosen in combinations)
    return tuple(dict.fromkeys(made))


def checked(plan: Iterable[Query]) -> Plan:
    """A plan with each query once.

    Raises:
        TypeError: Something in it is no query; tells what.
    """
    queries = tuple(plan)
    for number, query in enumerate(queries, 1):
        if type(query) not in _NAMES:
            raise TypeError(
                f"a plan must have queries, as grid() makes them; number {number} is {shown(query)}"
            )
    return tuple(dict.fromkeys(queries))


def read_plan(lines: Iterable[str], name: str = "the plan") -> Plan:
    """Read queries, one JSON object a line: `{"endpoint": "hashtags", "region": "US"}`.

    Args:
        lines: The lines; empty ones are skipped.
        name: What to call them in an error.

    Raises:
        ValueError: A line is not a query; tells which and why.
    """
    made: dict[Query, None] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            made[parse_query(json.loads(line))] = None
        except (ValueError, TypeError, RecursionError) as error:
            raise ValueError(f"{name}, line {number}: {error}") from None
    return tuple(made)


def parse_query(fields: Any) -> Query:
    """Make a query of its JSON object: `endpoint`, and the parameters beside it.

    Raises:
        ValueError: It is not one.
    """
    if not isinstance(fields, dict) or "endpoint" not in fields:
        raise ValueError('it must be an object with "endpoint", and the parameters beside it')
    params = {key: value for key, value in fields.items() if key != "endpoint"}
    query = _query_class(fields["endpoint"])
    _check_params(query, params)
    return query.of(**params)


def query_text(query: Query) -> str:
    """A query for people: its endpoint, and what is not as usual."""
    usual = wire_params(type(query)())
    said = {name: value for name, value in wire_params(query).items() if value != usual[name]}
    return " ".join([endpoint_of(query), *(f"{name}={value}" for name, value in said.items())])


def details_of(query: Query, rows: Iterable[Mapping[str, Any]]) -> list[Query]:
    """The queries for the details of what is on a page, of the same region and period.

    Videos have no details, nor has what can't be asked for, such as an empty name.
    """
    if not isinstance(query, HashtagsQuery | MusicQuery):
        return []
    made: list[Query] = []
    for row in rows:
        try:
            made.append(_detail_of(query, row))
        except ValueError:
            continue
    return made


def _detail_of(query: HashtagsQuery | MusicQuery, row: Mapping[str, Any]) -> Query:
    period, region = query.period, query.region
    if isinstance(query, HashtagsQuery):
        name = row["hashtag_name"]
        return HashtagDetailQuery.of(period=period, region=region, hashtag_name=name)
    return MusicDetailQuery.of(period=period, region=region, clip_id=row["clip_id"])


@frozen(kw_only=True)
class Expectation:
    """What a plan should come to, by the usual lengths of lists: an upper estimate.

    Attributes:
        queries: Queries of the plan.
        details: Details to fetch for them, if that is wanted.
        pages: Requests: pages of lists, and details.
        credits: What they cost.
    """

    queries: int
    details: int
    pages: int
    credits: int


def expect(
    plan: Iterable[Query],
    *,
    max_items: int | None = None,
    max_pages: int | None = None,
    with_details: bool = False,
) -> Expectation:
    """Estimate what crawling a plan comes to.

    Args:
        plan: The queries.
        max_items: As for the crawl, per list.
        max_pages: As for the crawl, per list.
        with_details: As for the crawl.
    """
    options = Options(max_items=max_items, max_pages=max_pages, with_details=with_details)
    return expect_jobs((Job(query=query) for query in checked(plan)), options)


def expect_jobs(jobs: Iterable[Job], options: Options) -> Expectation:
    """Estimate what is left of a crawl comes to.

    Args:
        jobs: What is left.
        options: What is wanted of each list.
    """
    queries = pages = details = 0
    for job in jobs:
        queries += 1
        pages += usual_left(job, options)
        if options.with_details and isinstance(job.query, HashtagsQuery | MusicQuery):
            # Lists of one region and period may share some; nobody can tell how many.
            usual = _usual_items(job.query, options.max_items, options.max_pages)
            details += max(usual - job.items, 0)  # those of its items so far are jobs themselves
    requests = pages + details
    return Expectation(
        queries=queries,
        details=details,
        pages=requests,
        credits=requests * CREDITS_PER_REQUEST,
    )


def usual_pages(query: Query, max_items: int | None = None, max_pages: int | None = None) -> int:
    """How many requests a query usually takes."""
    if not isinstance(query, ListQuery):
        return 1
    return -(-_usual_items(query, max_items, max_pages) // query.limit)


def usual_left(job: Job, options: Options) -> int:
    """How many requests a job should still take, by its length or else the usual one."""
    limits = options.max_items, options.max_pages
    if job.total is None:
        return max(usual_pages(job.query, *limits) - job.pages, 0)
    return max(pages_of(job.query, job.total, *limits) - job.pages, 0)


def pages_of(query: Query, total: int, max_items: int | None, max_pages: int | None) -> int:
    """How many requests a query takes whose list has `total` items."""
    if not isinstance(query, ListQuery):
        return 1
    return -(-_items(query, total, max_items, max_pages) // query.limit) or 1


def _usual_items(query: ListQuery, max_items: int | None, max_pages: int | None) -> int:
    return _items(query, USUAL_TOTALS[type(query)], max_items, max_pages)


def _items(query: ListQuery, total: int, max_items: int | None, max_pages: int | None) -> int:
    items = max(total - (query.page - 1) * query.limit, 0)
    if max_items is not None:
        items = min(items, max_items)
    return items if max_pages is None else min(items, max_pages * query.limit)


def _query_class(endpoint: object) -> type[Query]:
    if isinstance(endpoint, type) and endpoint in _NAMES:
        return endpoint
    if not isinstance(endpoint, str) or endpoint not in ENDPOINTS:
        raise ValueError(f"endpoint must be one of {', '.join(ENDPOINTS)}, not {endpoint!r}")
    return ENDPOINTS[endpoint]


def _check_params(query: type[Query], params: Iterable[str]) -> None:
    known = attrs.fields_dict(query)
    for param in params:
        if param not in known:
            near = "".join(
                f"; did you mean {match!r}?" for match in get_close_matches(param, known, 1)
            )
            raise ValueError(
                f"{_NAMES[query]} takes no {param!r}, only {', '.join(sorted(known))}{near}"
            )


def _axis(name: str, value: Any) -> list[Any]:
    if isinstance(value, str) or not isinstance(value, Iterable):
        return [value]
    values = list(dict.fromkeys(value))
    if not values:
        raise ValueError(f"{name} must have at least one value: without any, the plan is empty")
    return values
