"""`keyapi movers`: what moved from day to day, for people, programs and chats."""

import csv
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, TextIO, TypeAlias

import attrs
from attrs import frozen
from cyclopts import Group, Parameter
from rich.console import Console
from rich.table import Table
from rich.text import Text

from keyapi_async import TrendPoint, trends
from keyapi_async.cli.failures import USAGE, CommandError
from keyapi_async.cli.layouts import sparkline, text
from keyapi_async.cli.messages import count, say
from keyapi_async.cli.options import AT_LEAST_0, Day, File, Flag, Quiet, Verbose, Whole, reads
from keyapi_async.cli.output import json_line
from keyapi_async.cli.runner import logging_to_stderr, perform
from keyapi_async.cli.trend_options import Lists, Since, writing_text

Form: TypeAlias = Literal["auto", "table", "jsonl", "csv", "md"]

TOP = 20
"""So many moves people are shown."""

_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_ENDINGS: dict[str, Form] = {".jsonl": "jsonl", ".csv": "csv", ".md": "md"}
_COLORS = {"risen": "green", "fallen": "red", "dropped": "yellow", "same": "default"}


def _kinds(value: str) -> tuple[str, ...]:
    return tuple(filter(None, value.split(",")))


@Parameter(name="*", group=Group.create_ordered("Moves"))
@frozen(kw_only=True, eq=False, repr=False)
class Moves:
    """Which moves."""

    day: Day | None = None
    """The day looked at; by default the newest with a complete list."""
    since: Since | None = None
    """The day it is compared with, or how long before; by default the complete one before."""
    kind: Annotated[
        tuple[str, ...],
        reads("kinds such as new,risen", _kinds, metavar="KIND,...", show_default=False),
    ] = ()
    """Only these: new, returned, risen, fallen, same, dropped."""
    top: Annotated[Whole | None, AT_LEAST_0] = None
    """Only so many, those that matter most, first."""
    min_change: Annotated[Whole, AT_LEAST_0] = 0
    """Only those that gained or lost so many places."""


@Parameter(name="*", group=Group.create_ordered("Post"))
@frozen(kw_only=True, eq=False, repr=False)
class Post:
    """Telling a chat."""

    post: Annotated[str | None, Parameter(metavar="URL")] = None
    """Send them to this webhook (Slack, Discord), once a day; by default to KEYAPI_WEBHOOK."""
    again: Flag = False
    """Send what was sent before once more."""
    always: Flag = False
    """Send a message even if nothing moved."""


def movers(  # noqa: D417 - the options say what they are
    file: str,
    /,
    *more: str,
    lists: Lists = Lists(),  # noqa: B008
    moves: Moves = Moves(),
    output: Annotated[File | None, Parameter(alias="-o")] = None,
    format: Form = "auto",  # noqa: A002
    post: Post = Post(),
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Run `keyapi movers`.

    Args:
        file: The SQLite file of a crawl.
        more: More such files.
        output: Write to this file, which appears when it is complete.
        format: auto goes by the name of the file; without one it is a table of the top 20 on a
            terminal, else JSON lines. md is Markdown.
        quiet: Say nothing on stderr but errors.
        verbose: Show the details of an error.
    """
    with logging_to_stderr(verbose=verbose):
        found = trends.movers(
            [file, *more],
            **lists.chosen(),
            day=moves.day,
            since=moves.since,
            kind=moves.kind or None,
            top=moves.top,
            min_change=moves.min_change,
        )
        if not quiet:
            say(f"{found.day}: {' '.join(trends.write_notes(found))}" if found.day else _NO_DAY)
    if post.post is not None:
        perform(_post(found, post, quiet=quiet), verbose=verbose)
        if output is None:
            return
    with logging_to_stderr(verbose=verbose), writing_text(output, [file, *more]) as stream:
        _write(found, _form(format, output), stream)


_NO_DAY = "no list is complete on any day"


async def _post(found: trends.Movers, post: Post, *, quiet: bool) -> None:
    url = os.environ.get("KEYAPI_WEBHOOK", "").strip() if post.post == "" else str(post.post)
    if not url:
        raise CommandError("--post needs an address: set KEYAPI_WEBHOOK, or --post URL", USAGE)
    outcome = await trends.post(found, url, again=post.again, always=post.always)
    if not quiet:
        say(_OUTCOMES[outcome])


_OUTCOMES = {
    "sent": "posted",
    "quiet": "nothing moved; nothing is posted without --always",
    "sent before": "posted before; --again posts it once more",
}


def _form(form: Form, output: str | None) -> Form:
    if form != "auto":
        return form
    ending = Path(output or "").suffix.lower()
    return _ENDINGS.get(ending) or ("table" if output is None and sys.stdout.isatty() else "jsonl")


def _write(found: trends.Movers, form: Form, stream: TextIO) -> None:
    if form == "jsonl":
        encoding = stream.encoding or "utf-8"
        stream.writelines(json_line(move.to_dict(), encoding) for move in found)
    elif form == "csv":
        _write_csv(found, stream)
    else:
        ordered = sorted(found, key=lambda move: -move.weight)
        shown = ordered[: TOP if found.top is None else None]
        if form == "md":
            stream.write(trends.write_digest(found, shown) + "\n")
        else:
            Console(file=stream).print(_table(shown))
            if len(ordered) > len(shown):
                say(
                    f"the {TOP} that matter most of {count(len(ordered), 'move')}; --top shows more"
                )


def _write_csv(found: trends.Movers, stream: TextIO) -> None:
    rows = iter(found)
    filters = dict.fromkeys(
        f"query_{name}" for one in found.comparisons for name in trends.query_object(one.query)
    )
    names = [attribute.name for attribute in attrs.fields(trends.Move)]
    place = names.index("query")
    writer = csv.DictWriter(stream, [*names[:place], *filters, *names[place + 1 :]], restval="")
    writer.writeheader()
    writer.writerows(_csv_row(move) for move in rows)


def _csv_row(move: trends.Move) -> dict[str, Any]:
    row = move.to_dict()
    row |= {f"query_{name}": value for name, value in row.pop("query").items()}
    row["regions"] = " ".join(row["regions"])
    row["ranks"] = " ".join(f"{day}={'' if rank is None else rank}" for day, rank in row["ranks"])
    return {name: _defuse(value) for name, value in row.items()}


def _defuse(value: Any) -> Any:
    """Text that a spreadsheet would run as a formula, behind an apostrophe."""
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


def _table(moves: Iterable[trends.Move]) -> Table:
    table = Table(box=None, expand=True, pad_edge=False)
    for title, shape in _COLUMNS.items():
        table.add_column(title, no_wrap=True, overflow="ellipsis", **shape)
    for move in moves:
        table.add_row(
            text(move.rank),
            Text(trends.change_text(move), _COLORS.get(move.kind, "cyan")),
            text(trends.clean(move.name)),
            text(trends.list_of(move.query)),
            text(trends.shorten(move.views)),
            text(trends.percent(move.growth)),
            sparkline(list(rank_points(rank for _, rank in move.ranks))),
        )
    return table


_COLUMNS: dict[str, dict[str, Any]] = {
    "#": {"width": 3, "justify": "right"},
    "Move": {"width": 8},
    "Name": {"ratio": 1},
    "List": {"ratio": 1},
    "Views": {"width": 5, "justify": "right"},
    "Growth": {"width": 6, "justify": "right"},
    "Ranks": {"width": 12},
}


def rank_points(ranks: Iterable[int | None]) -> Iterator[TrendPoint]:
    """Ranks as a trend: the best on top, 0 where it was not listed."""
    known = list(ranks)
    worst = max((rank for rank in known if rank is not None), default=1)
    for rank in known:
        yield TrendPoint(value=None if rank is None else 1 - (rank - 1) / worst)
