"""The values that are known of parameters that take any."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

from keyapi_async import ENDPOINTS, ListQuery, Query, reference
from keyapi_async.cli.app import EPILOGUE

LISTS: dict[str, type[ListQuery[Any]]] = {
    name: query for name, query in ENDPOINTS.items() if issubclass(query, ListQuery)
}


def known_values(query: type[Query[Any]]) -> dict[str, Mapping[str, str]]:
    """The known values of the parameters that take any, each with its name."""
    known = {"region": query.regions, "industry_id": reference.INDUSTRIES}
    return {name: values for name, values in known.items() if name in attrs.fields_dict(query)}


def list_known(*queries: type[Query[Any]]) -> str:
    """The known values of some queries, as the epilogue of a help page."""
    known = {name: values for query in queries for name, values in known_values(query).items()}
    lines = []
    if "region" in known:
        codes = dict.fromkeys(code for query in queries for code in query.regions)
        lines.append(f"Known regions: {' '.join(codes)}")
    if "industry_id" in known:
        industries = known["industry_id"].items()
        lines += ["Known industries:", *(f"{number} {name}" for number, name in industries)]
    return "\n\n".join(["\n".join(lines), EPILOGUE])
