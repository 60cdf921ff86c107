"""The plan of a crawl: a tuple of queries, and what it can be expected to cost.

Nothing here sends anything.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any, TypeAlias

import attrs
from attrs import frozen

from keyapi_async.budget import CREDITS_PER_REQUEST
from keyapi_async.converter import wire_params
from keyapi_async.errors import ParameterError
from keyapi_async.queries import ENDPOINTS, ListQuery, Query, whole_number

from .jobs import Job, Options

Plan: TypeAlias = tuple[Query[Any], ...]
Shard: TypeAlias = tuple[int, int]
"""Which part of a plan, from 1, and the number of parts: `(2, 8)` is the second of eight."""


# -- making plans ------------------------------------------------------------------------------


def grid(endpoint: str | type[Query[Any]], **values: Any) -> Plan:
    """Every combination of some filters, each once.

    Args:
        endpoint: The name of an endpoint or its query class.
        values: A value, or several of them, for each parameter; what is not given is default.

    Returns:
        The queries; add grids with `+` to crawl several endpoints.

    Raises:
        ParameterError: An unknown endpoint or parameter, or a value that can't be right.

    Example:
        >>> len(grid("hashtags", region=["US", "GB"], period=[7, 30]))
        4
    """
    query = query_class(endpoint)
    _check_names(query, values)
    axes = [_axis(name, value) for name, value in values.items()]
    combinations = itertools.product(*axes)
    return check_plan(query(**dict(zip(values, chosen, strict=True))) for chosen in combinations)


def check_plan(plan: Iterable[Query[Any]]) -> Plan:
    """The queries of a plan, each once.

    Raises:
        ParameterError: Something in it is no query; names it.
    """
    queries = tuple(plan)
    for number, query in enumerate(queries, 1):
        if not isinstance(query, tuple(ENDPOINTS.values())):
            raise ParameterError(f"query {number} of the plan", query, "a query, as grid() makes")
    return tuple(dict.fromkeys(queries))


def read_plan(lines: Iterable[str], name: str = "the plan") -> Plan:
    """Read queries, one JSON object a line: `{"endpoint": "hashtags", "region": "US"}`.

    Args:
        lines: The lines; empty ones are skipped.
        name: What to call them in an error.

    Raises:
        ValueError: A line is not a query; tells which and why.
    """
    made: dict[Query[Any], None] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            made[parse_query(json.loads(line))] = None
        except (ValueError, TypeError, RecursionError) as error:
            raise ValueError(f"{name}, line {number}: {error}") from None
    return tuple(made)


def parse_query(fields: Any) -> Query[Any]:
    """Make a query of its JSON object: `endpoint`, and the parameters beside it.

    Raises:
        ValueError: It is not one.
    """
    if not isinstance(fields, dict) or "endpoint" not in fields:
        raise ValueError('it must be an object with "endpoint", and the parameters beside it')
    params = {key: value for key, value in fields.items() if key != "endpoint"}
    query = query_class(fields["endpoint"])
    _check_names(query, params)
    return query(**params)


def query_json(query: Query[Any]) -> str:
    """A query as a line that `read_plan` takes."""
    return json.dumps({"endpoint": query.name, **wire_params(query)}, ensure_ascii=False)


def query_text(query: Query[Any]) -> str:
    """A query for people: its endpoint, and the parameters that aren't at their default."""
    usual = wire_params(type(query)())
    changed = {name: value for name, value in wire_params(query).items() if value != usual[name]}
    return " ".join([query.name, *(f"{name}={value}" for name, value in changed.items())])


def query_class(endpoint: object) -> type[Query[Any]]:
    """The query class of an endpoint, by its name.

    Raises:
        ParameterError: There is no such endpoint.
    """
    name = endpoint.name if isinstance(endpoint, type) and issubclass(endpoint, Query) else endpoint
    if not isinstance(name, str) or name not in ENDPOINTS:
        raise ParameterError("endpoint", endpoint, f"one of {', '.join(ENDPOINTS)}")
    return ENDPOINTS[name]


def _check_names(query: type[Query[Any]], params: Iterable[str]) -> None:
    known = attrs.fields_dict(query)
    for param in params:
        if param not in known:
            near = "".join(
                f"; did you mean {match!r}?" for match in get_close_matches(param, known, 1)
            )
            allowed = f"one of {', '.join(sorted(known))}{near}"
            raise ParameterError(f"parameter of {query.name}", param, allowed)


def _axis(name: str, value: Any) -> list[Any]:
    if isinstance(value, str) or not isinstance(value, Iterable):
        return [value]
    values = list(dict.fromkeys(value))
    if not values:
        raise ParameterError(name, values, "at least one value: without any, the plan is empty")
    return values


# -- parts of plans ----------------------------------------------------------------------------


def take_shard(
    plan: Iterable[Query[Any]], shard: Shard | None, *, details: str | int | None = None
) -> Plan:
    """The queries of one part of a plan; the parts share none and are together the whole.

    A query's part follows from the query and the number of parts alone, in every process and
    version of Python: whatever is added to the plan, the others stay where they are. With
    `details`, what may share a detail (all of an endpoint, region and period) is in one part:
    the parts are then less even.

    Args:
        plan: The whole plan.
        shard: Which part, and of how many, such as `(2, 8)`; None for the whole.
        details: As for the crawl.

    Returns:
        The queries; of a small plan perhaps none.

    Raises:
        ParameterError: Something in the plan is no query, or a value can't be right.

    Example:
        >>> plan = grid("hashtags", region=["US", "GB", "DE"])
        >>> sum(len(take_shard(plan, (part, 2))) for part in (1, 2))
        3
    """
    queries, by_detail = check_plan(plan), Options(details=details).details is not None
    if shard is None:
        return queries
    number, count = _check_shard(shard)
    return tuple(one for one in queries if _hash(one, by_detail=by_detail) % count == number - 1)


def _check_shard(shard: Shard) -> Shard:
    try:
        number, count = shard
        count = whole_number("shard", count, 1)
        return whole_number("shard", number, 1, count), count
    except (TypeError, ValueError):
        allowed = "two whole numbers: which part, from 1, and of how many, such as (2, 8)"
        raise ParameterError("shard", shard, allowed) from None


def _hash(query: Query[Any], *, by_detail: bool) -> int:
    """A number that is the same for all that must be in the same part, in every process."""
    mine: Any = query
    detail = mine.detail_query if isinstance(query, ListQuery) else query
    if by_detail and detail is not None:
        key = f"{detail.path} {mine.region} {mine.period}"
    else:
        key = query.cache_key
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:8])


# -- what it should cost -----------------------------------------------------------------------


@frozen(kw_only=True)
class Expectation:
    """What a crawl should cost, by the known lengths of its lists, else the usual ones.

    Attributes:
        queries: How many queries of each endpoint are to be answered, by its name.
        done: Queries that are answered already.
        failed: Queries that failed and are left out.
        pages: Pages of lists, and details that are queries themselves.
        details: Details of list items; lists of one region and period may share some.
        credits: What all of it should cost.
    """

    queries: Mapping[str, int]
    done: int = 0
    failed: int = 0
    pages: int
    details: int
    credits: int


def expect_jobs(
    jobs: Iterable[Job], options: Options, *, done: int = 0, failed: int = 0
) -> Expectation:
    """Estimate what the rest of a crawl will cost."""
    queries: dict[str, int] = dict.fromkeys(ENDPOINTS, 0)
    pages = details = 0
    for job in jobs:
        queries[job.query.name] += 1
        pages += pages_left(job, options)
        details += _details_left(job, options)
    return Expectation(
        queries={name: count for name, count in queries.items() if count},
        done=done,
        failed=failed,
        pages=pages,
        details=details,
        credits=(pages + details) * CREDITS_PER_REQUEST,
    )


def pages_left(job: Job, options: Options) -> int:
    """How many requests a job should still take."""
    if not isinstance(job.query, ListQuery):
        return 1 - min(job.pages, 1)
    pages = -(-_items(job.query, job.total, options) // job.query.limit)
    if not pages and job.total is not None and 0 not in (options.max_items, options.max_pages):
        pages = 1  # an empty list says so on its first page
    return max(pages - job.pages, 0)


def _details_left(job: Job, options: Options) -> int:
    query = job.query
    if not isinstance(query, ListQuery) or query.detail_query is None or options.details is None:
        return 0
    items = _items(query, job.total, options)
    if isinstance(options.details, int):
        items = min(items, max(options.details - (query.page - 1) * query.limit, 0))
    return max(items - job.items, 0)  # those of its items so far are jobs themselves


def _items(query: ListQuery[Any], total: int | None, options: Options) -> int:
    items = max((query.usual_total if total is None else total) - (query.page - 1) * query.limit, 0)
    if options.max_items is not None:
        items = min(items, options.max_items)
    return items if options.max_pages is None else min(items, options.max_pages * query.limit)
