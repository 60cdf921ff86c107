"""Crawls of scripted days, stored as a crawl stores them."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from attrs import evolve, field, frozen

from keyapi_async import ListQuery
from keyapi_async.crawl.database import writing
from keyapi_async.crawl.jobs import Options
from keyapi_async.crawl.store import options_json, query_key

FIRST = date(2026, 2, 1)


def day(number: int) -> date:
    """The first day is 1."""
    return FIRST + timedelta(days=number - 1)


@frozen
class Listing:
    """One list: the ids of its items by rank, or its items.

    A list has `rank` in its items only if `views` are given, one for each.
    """

    items: Sequence[Any] = ()
    state: str = "done"
    reason: str | None = "exhausted"
    views: Mapping[str, int] = field(factory=dict)

    @property
    def is_complete(self) -> bool:
        return self.state == "done" and self.reason in ("exhausted", "max_items", "max_pages")

    def cut(self, reason: str | None = "empty_page") -> Listing:
        return evolve(self, reason=reason)


def item(query: ListQuery[Any], item_id: str, rank: int, views: int | None) -> dict[str, Any]:
    made = {query.item_key: item_id, query.label: f"name of {item_id}"}
    if query.views is not None:
        made |= {"rank": rank, query.views: views}
    return made


def add_day(
    path: Path,
    at: date,
    lists: Mapping[ListQuery[Any], Listing],
    *,
    options: Options | None = None,
    zone: str | None = "UTC",
    hour: int = 6,
    credits_spent: int = 0,
    planned: int = 1,
) -> None:
    """Add a snapshot of one day."""
    begun = datetime(at.year, at.month, at.day, hour, tzinfo=UTC).timestamp()
    with writing(path, create=True) as db, db.transaction() as connection:
        snapshot = insert(
            connection,
            "snapshots",
            started_at=begun,
            options=options_json(options or Options(), zone),
            day=at.isoformat(),
        )
        insert(
            connection,
            "runs",
            snapshot=snapshot,
            pid=1,
            started_at=begun,
            seen_at=begun,
            ended_at=begun + 60,
            credits_spent=credits_spent,
        )
        for query, listing in lists.items():
            add_list(connection, snapshot, query, listing, begun, planned)


def add_list(
    connection: sqlite3.Connection,
    snapshot: int,
    query: ListQuery[Any],
    listing: Listing,
    at: float,
    planned: int,
) -> None:
    endpoint, params = query_key(query)
    connection.execute(
        "INSERT INTO queries (endpoint, params, planned) VALUES (?, ?, ?) "
        "ON CONFLICT DO UPDATE SET planned = excluded.planned",
        (endpoint, params, planned),
    )
    (found,) = connection.execute(
        "SELECT id FROM queries WHERE endpoint = ? AND params = ?", (endpoint, params)
    ).fetchone()
    stored = insert(
        connection,
        "lists",
        snapshot=snapshot,
        query=found,
        state=listing.state,
        stop_reason=listing.reason if listing.state == "done" else None,
        items=len(listing.items),
    )
    page = 0
    for place, one in enumerate(listing.items):
        if place % query.limit == 0:
            number = query.page + place // query.limit
            page = insert(
                connection,
                "pages",
                list=stored,
                page=number,
                retrieved_at=at,
                credits=2,
                status="ok",
            )
        row = one if isinstance(one, dict) else item(query, one, place + 1, listing.views.get(one))
        insert(
            connection,
            "items",
            list=stored,
            page=page,
            position=place % query.limit + 1,
            item_id=str(row[query.item_key]),
            json=json.dumps(row),
        )


def insert(connection: sqlite3.Connection, table: str, **values: object) -> int:
    names, marks = ", ".join(values), ", ".join("?" * len(values))
    done = connection.execute(
        f"INSERT INTO {table} ({names}) VALUES ({marks})", tuple(values.values())
    )
    return done.lastrowid or 0
