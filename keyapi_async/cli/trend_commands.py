"""`keyapi history`, `keyapi check` and `keyapi report`: more of what a crawl's file tells."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter
from rich.console import Console
from rich.table import Table

from keyapi_async import trends
from keyapi_async.cli.failures import INCOMPLETE, USAGE, CommandError
from keyapi_async.cli.layouts import sparkline, text
from keyapi_async.cli.messages import count, say, show
from keyapi_async.cli.movers_command import rank_points
from keyapi_async.cli.options import Day, File, Flag, Quiet, Verbose
from keyapi_async.cli.output import json_line
from keyapi_async.cli.runner import logging_to_stderr
from keyapi_async.cli.trend_options import Lists, writing_text

DAYS = 30
"""So many days of a history are shown; JSON has all."""
ABREAST = 4
"""So many lists stand side by side."""
CHECKED = 7
"""So many days `check` tells the credits of."""


def history(  # noqa: D417 - the options say what they are
    file: str,
    /,
    *more: Annotated[str, Parameter(metavar="[FILE ...] ITEM")],
    lists: Lists = Lists(),  # noqa: B008
    output: Annotated[File | None, Parameter(alias="-o")] = None,
    format: Literal["auto", "table", "jsonl"] = "auto",  # noqa: A002
    verbose: Verbose = False,
) -> None:
    """Run `keyapi history`.

    Args:
        file: The SQLite file of a crawl; more may follow.
        more: Last of all the thing: its id, or its name in any case, with or without #.
        output: Write to this file, which appears when it is complete.
        format: auto is a table on a terminal, else JSON lines.
        verbose: Show the details of an error.
    """
    if not more:
        raise CommandError("which item? Name it after the file: `keyapi history FILE ITEM`", USAGE)
    with logging_to_stderr(verbose=verbose):
        *files, item = file, *more
        chosen = lists.chosen()
        found = trends.history(files, chosen.pop("endpoint"), item, **chosen)
        if not found:
            raise CommandError(f"{item}: is in none of these lists")
        as_table = format == "table" or (
            format == "auto" and output is None and sys.stdout.isatty()
        )
        with writing_text(output, files) as stream:
            if as_table:
                console = Console(file=stream)
                for table in _history_tables(found):
                    console.print(table)
            else:
                encoding = stream.encoding or "utf-8"
                stream.writelines(json_line(one.to_dict(), encoding) for one in found)


def _history_tables(found: Sequence[trends.History]) -> list[Table]:
    starts = range(0, len(found), ABREAST)
    return [_overview(found), *(_days(found[first : first + ABREAST]) for first in starts)]


def _overview(found: Sequence[trends.History]) -> Table:
    table = Table(box=None, pad_edge=False)
    for title in ("Name", "List", "Now", "Best", "Days", f"Rank, {DAYS} days"):
        is_number = title in {"Now", "Best", "Days"}
        table.add_column(title, justify="right" if is_number else "left", overflow="fold")
    for one in found:
        table.add_row(
            text(trends.clean(one.name)),
            text(trends.list_of(one.query)),
            text(one.days[-1].rank),
            text(one.best_rank),
            text(one.days_listed),
            sparkline(list(rank_points(day.rank for day in one.days[-DAYS:])), DAYS),
        )
    return table


def _days(found: Sequence[trends.History]) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("\nDay", no_wrap=True)
    for one in found:
        table.add_column(f"\n{trends.list_of(one.query)}", justify="right")
    known = [{day.day: day for day in one.days} for one in found]
    for at in sorted({at for days in known for at in days})[-DAYS:]:
        cells = []
        for days in known:
            day = days.get(at)
            rank = "?" if day is None else "-" if day.rank is None else str(day.rank)
            views = trends.shorten(day.views) if day else ""
            cells.append(text(f"{rank} {views:>6}" if views else rank))
        table.add_row(text(at), *cells)
    return table


def check(
    file: str,
    /,
    *more: str,
    as_json: Annotated[Flag, Parameter(name="--json")] = False,
    verbose: Verbose = False,
) -> None:
    """Run `keyapi check`.

    Args:
        file: The SQLite file of a crawl.
        more: More such files.
        as_json: As one JSON object, with every day.
        verbose: Show the details of an error.
    """
    with logging_to_stderr(verbose=verbose):
        found = trends.health([file, *more])
    if as_json:
        show(json.dumps(found.to_dict()))
    else:
        for day in found.days[-CHECKED:]:
            risk = f", {day.credits_at_risk} more at risk" if day.credits_at_risk else ""
            complete = f"{day.complete} of {count(day.lists, 'list')} complete"
            cost = f"{count(day.credits_spent, 'credit')}{risk}"
            show(f"{day.day}: {complete}, {count(day.items, 'item')}, {cost}")
        for problem in found.problems:
            show(f"{problem.day}: {problem.kind.replace('_', ' ')}: {problem.message}")
    if found.problems:
        wrong = count(len(found.problems), "thing")
        verb = "is" if len(found.problems) == 1 else "are"
        raise CommandError(f"{wrong} {verb} wrong with {found.day}", INCOMPLETE)


def report(
    file: str,
    /,
    *more: str,
    output: Annotated[File, Parameter(alias="-o")],
    day: Day | None = None,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Run `keyapi report`.

    Args:
        file: The SQLite file of a crawl.
        more: More such files.
        output: The page; it appears when it is complete.
        day: The day looked at; by default the newest with a complete list.
        quiet: Say nothing on stderr but errors.
        verbose: Show the details of an error.
    """
    with logging_to_stderr(verbose=verbose):
        try:
            trends.report([file, *more], output, day=day)
        except OSError as error:
            raise CommandError(f"can't write {output}: {error.strerror or error}") from error
    if not quiet:
        say(f"{output}: {Path(output).stat().st_size // 1000} kB")
