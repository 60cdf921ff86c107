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
from keyapi_async.queries import ListQuery
from keyapi_async.raw import loads

from .lines import describe_snapshot, dump, format_time, json_lines
from .selection import (
    FoundList,
    FoundPage,
    Selection,
    Text,
    find_lists,
    find_pages,
    read_columns,
    read_pages,
)


class Row(msgspec.Struct):
    """A row of a table without what holds for the whole page."""

    position: int
    place: int | None
    extra: str | None
    item: msgspec.Raw


decode_row: Final = msgspec.json.Decoder(Row).decode
_SURROGATE: Final = re.compile(rb"\\u[dD][89a-fA-F]")


def find_rows(dbs: Iterable[Database], selection: Selection) -> Iterator[FoundPage[bytes]]:
    """What is selected of some files, in the order of their lists.

    Raises:
        StoreError: A file can't be read, has no such snapshot, or an item is damaged.
    """
    for db in dbs:
        for found in find_lists(db, selection):
            yield from read_rows(db, found, selection)


def read_rows(db: Database, found: FoundList, selection: Selection) -> Iterator[FoundPage[bytes]]:
    """What is selected of one list: of each item the JSON of a `Row`.

    Raises:
        StoreError: An item is damaged.
    """
    query = found.query
    place = f"(p.page - 1) * {query.limit} + i.position" if isinstance(query, ListQuery) else "null"
    extra = f"json_quote({extra_sql(query.name)} || '')"  # as it is text now, it is quoted
    row = (
        f"""'{{"position":' || i.position || ',"place":' || ifnull({place}, 'null')"""
        f""" || ',"extra":' || {extra} || ',"item":' || i.json || '}}'"""
    )
    is_object = "(i.json GLOB '{*' OR ltrim(i.json, char(9, 10, 13, 32)) GLOB '{*')"
    column = f"CASE WHEN {is_object} THEN CAST({row} AS BLOB) END"
    try:
        for page in read_columns(db, found, selection, column):
            yield attrs.evolve(page, items=_clean(page.items))
    except (StoreError, ValueError):
        _parse(read_pages(db, found, selection))  # says which list, and what is wrong
        raise


def table_rows(pages: Iterable[FoundPage[bytes]]) -> Iterator[bytes]:
    """Lines as `columns.select` reads them: one for each page, or several where it is long.

    Raises:
        StoreError: An item is damaged, or too long.
    """
    of_list, before = None, ""
    for page in pages:
        if page.source is not of_list:
            of_list, before = page.source, dump(describe_list(page.source))
        head = f'{{"list":{before},"page":{dump(describe_page(page))},"items":['.encode()
        line = b"%b%b]}\n" % (head, b",".join(page.items))
        if len(line) <= LONGEST_LINE:
            yield line
            continue
        for row in page.items:
            line = b"%b%b]}\n" % (head, row)
            if len(line) > LONGEST_LINE:
                raise StoreError(
                    f"{page.source.file}: an item of its list {page.source.id} is too long for a "
                    f"table ({len(row)} bytes): write JSON lines (.jsonl)"
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


def _parse(pages: Iterable[FoundPage[Text]]) -> None:
    for _ in json_lines(pages):
        pass


def _clean(rows: list[bytes]) -> list[bytes]:
    """Rows without line breaks and lone surrogates (halves of an emoji), which no table takes."""
    if None in rows:
        raise ValueError("an item is no object")
    whole = b"".join(rows)
    if b"\r" in whole or b"\n" in whole:
        rows = [row.replace(b"\r", b" ").replace(b"\n", b" ") for row in rows]
    if b"\\" in whole and _SURROGATE.search(whole):
        rows = [_replace_surrogates(row) for row in rows]
    return rows


def _replace_surrogates(row: bytes) -> bytes:
    try:
        decode_row(row)
    except (msgspec.MsgspecError, RecursionError):
        found = loads(row)
        if found["extra"]:
            found["extra"] = json.dumps(loads(found["extra"].encode()), ensure_ascii=False)
        return json.dumps(found, ensure_ascii=False).encode(errors="replace")
    return row
