"""Rows of tables, as DuckDB reads them. Items pass as bytes: SQLite finds what is unknown."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from typing import Final

import attrs
import msgspec

from keyapi_async.crawl.columns import LONGEST_LINE, filters
from keyapi_async.crawl.database import Database, StoreError
from keyapi_async.crawl.views import extra_sql
from keyapi_async.raw import loads

from .lines import describe_snapshot, format_time, json_lines
from .selection import (
    FoundList,
    FoundPage,
    Selection,
    Texts,
    find_lists,
    find_pages,
    make_page,
    read_pages,
    select_items,
)


class Columns(msgspec.Struct):
    """Items of a page column by column, without what holds for the whole page."""

    position: list[int]
    extra: list[str | None]
    item: list[msgspec.Raw]


decode_columns: Final = msgspec.json.Decoder(Columns).decode
_SURROGATE: Final = re.compile(rb"\\u[dD][89a-fA-F]")
_LONG: Final = LONGEST_LINE // 2
"""With a page of more bytes than this, each item of the list is a line of its own."""

# Without `|| ''`, what is unknown would be an object in the array, not its text.
_ROWS: Final = """
count(*), CASE WHEN min({is_item}) THEN CAST(
    '{{"position":' || json_group_array(i.position)
    || ',"extra":' || json_group_array({extra} || '')
    || ',"item":[' || group_concat(i.json) || ']}}'
AS BLOB) END
"""
_IS_ITEM: Final = """
typeof(i.position) = 'integer' AND
CASE WHEN i.json GLOB '{*' THEN true ELSE ltrim(i.json, char(9, 10, 13, 32)) GLOB '{*' END
"""


def find_rows(dbs: Iterable[Database], selection: Selection) -> Iterator[FoundPage[bytes]]:
    """What is selected of some files, in the order of their lists.

    Raises:
        StoreError: A file can't be read, has no such snapshot, or an item is damaged.
    """
    for db in dbs:
        for found in find_lists(db, selection):
            yield from read_rows(db, found, selection)


def read_rows(db: Database, found: FoundList, selection: Selection) -> Iterator[FoundPage[bytes]]:
    """What is selected of one list: the JSON of `Columns`.

    Where a page is long, or has to be repaired, all items of the list come as pages of one.

    Raises:
        StoreError: An item is damaged.
    """
    try:
        pages = _read_rows(db, found, selection, "i.page")
        if any(len(page.items) > _LONG or _has_lone_surrogate(page.items) for page in pages):
            pages = _read_rows(db, found, selection, "i.id")
            pages = [attrs.evolve(one, items=_replace_surrogates(one.items)) for one in pages]
        yield from pages
    except (StoreError, ValueError):
        _parse(read_pages(db, found, selection))  # says which list, and what is wrong
        raise


def _read_rows(
    db: Database, found: FoundList, selection: Selection, by: str
) -> list[FoundPage[bytes]]:
    columns = _ROWS.format(is_item=_IS_ITEM, extra=extra_sql(found.query.name))
    pages = []
    for row in select_items(db, found, selection, columns, f"GROUP BY {by} ORDER BY {by}"):
        *_, count, rows = row
        if rows is None:
            raise ValueError("an item is no object")
        rows = rows.replace(b"\r", b" ").replace(b"\n", b" ")  # a line each
        pages.append(make_page(found, row, count, rows))
    return pages


def table_rows(pages: Iterable[FoundPage[bytes]]) -> Iterator[bytes]:
    """Lines as `columns.select` reads them: one for each page.

    Raises:
        StoreError: An item is damaged, or too long.
    """
    of_list, before = None, b""
    for page in pages:
        if page.source is not of_list:
            of_list, before = page.source, msgspec.json.encode(describe_list(page.source))
        of_page = msgspec.json.encode({**describe_page(page), "places_before": page.place(0)})
        line = b'{"list":%b,"page":%b,"rows":%b}\n' % (before, of_page, page.items)
        if len(line) > LONGEST_LINE:
            raise StoreError(
                f"{page.source.file}: an item of its list {page.source.id} is too long for a "
                f"table ({len(page.items)} bytes): write JSON lines (.jsonl)"
            )
        yield line


def describe_list(found: FoundList) -> dict[str, object]:
    """What the columns hold that are the same for all items of a list."""
    columns = describe_snapshot(found)
    for column, one in filters(found.query.name).items():
        value = getattr(found.query, one.name)
        columns[column] = None if value == one.nothing else value
    return columns


def describe_page(page: FoundPage[bytes]) -> dict[str, object]:
    """What the columns hold that are the same for all items of an answer."""
    return {
        "page": page.number,
        "retrieved_at": format_time(page.retrieved_at),
        "request_id": page.request_id,
    }


def check_items(dbs: Iterable[Database], selection: Selection) -> None:
    """Find what is damaged, the slow way.

    Raises:
        StoreError: An item is damaged; the message names its file and list.
    """
    _parse(find_pages(dbs, selection))


def _parse(pages: Iterable[FoundPage[Texts]]) -> None:
    for _ in json_lines(pages):
        pass


def _has_lone_surrogate(rows: bytes) -> bool:
    """Whether there is half of an emoji, which no table takes; msgspec doesn't either."""
    # Most items have no escape at all. What is unknown of them stands before, as text in the text.
    is_escaped = rows.find(b"\\", rows.find(b',"item":[')) >= 0
    if is_escaped and _SURROGATE.search(rows):
        try:
            decode_columns(rows)
        except (msgspec.MsgspecError, RecursionError):
            return True
    return False


def _replace_surrogates(rows: bytes) -> bytes:
    if not _has_lone_surrogate(rows):
        return rows
    found = loads(rows)
    found["extra"] = [
        one and json.dumps(loads(one.encode()), ensure_ascii=False) for one in found["extra"]
    ]
    return json.dumps(found, ensure_ascii=False).encode(errors="replace")
