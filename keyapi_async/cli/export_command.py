"""`keyapi export`: what a crawl fetched, in a form that other tools open."""

import io
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Literal, TextIO, TypeAlias, get_args

import attrs
from attrs import frozen
from cyclopts import Parameter
from rich.console import Console

from keyapi_async import ENDPOINTS
from keyapi_async.cli.app import app
from keyapi_async.cli.display import choose_form
from keyapi_async.cli.messages import count, say
from keyapi_async.cli.options import SEVERAL, File, Flag, Moment, Quiet, Verbose, reads
from keyapi_async.cli.output import escape_controls
from keyapi_async.cli.query_options import parameter_types
from keyapi_async.cli.runner import logging_to_stderr
from keyapi_async.cli.status_command import incomplete_lines, newest_day
from keyapi_async.crawl import CrawlFile, Selection, export_files

_KINDS = [parameter_types(query).get("period") for query in ENDPOINTS.values()]
_PERIODS = tuple(dict.fromkeys(days for kind in _KINDS for days in get_args(kind)))
if TYPE_CHECKING:
    Endpoint: TypeAlias = str
    Period: TypeAlias = int
else:
    Endpoint = Literal[tuple(ENDPOINTS)]
    Period = Literal[_PERIODS]


def _snapshot(text: str) -> int | str:
    return text if text in ("latest", "all") else int(text)


@Parameter(name="*")
@frozen(kw_only=True, eq=False, repr=False)
class Choice:
    """Which items."""

    endpoints: Annotated[tuple[Endpoint, ...], SEVERAL, Parameter(name="--endpoint")] = ()
    """Only of this endpoint; may be given several times, like region and period."""
    regions: Annotated[tuple[str, ...], SEVERAL, Parameter(name="--region")] = ()
    """Only of lists of this region."""
    periods: Annotated[tuple[Period, ...], SEVERAL, Parameter(name="--period")] = ()
    """Only of lists of this period."""
    since: Moment | None = None
    """Only what was fetched at this time (UTC) or later; or an age such as 24h."""
    until: Moment | None = None
    """Only what was fetched before this time."""
    snapshot: Annotated[
        int | Literal["latest", "all"] | None,
        reads("a snapshot's number, latest or all", _snapshot),
    ] = None
    """Of this snapshot: its number, latest or all. By default the latest, and for a lake all."""
    complete_only: Flag = False
    """Only of lists that are complete."""


@app.command
def export(  # noqa: D417 - the options say what they are
    file: str,
    /,
    *files: str,
    output: Annotated[File, Parameter(alias="-o")],
    choice: Choice = Choice(),
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Write what crawls fetched as JSONL, CSV, Parquet, a DuckDB database or a lake.

    Each file appears when it is complete. CSV and Parquet are a file for each endpoint, such as
    out.videos.parquet. A folder (lake/) becomes a data set of Parquet files by endpoint and day, of
    which only those are written that are new or have changed.

    Args:
        file: The SQLite file of a crawl.
        files: More of them.
        output: Where to: .jsonl, .csv, .parquet, .duckdb or a folder; `-` is JSONL to standard
            output.
        quiet: Write nothing but errors to stderr.
        verbose: Show the details of an error.
    """
    paths = [file, *files]
    selection = Selection(**attrs.asdict(choice, recurse=False))
    with logging_to_stderr(verbose=verbose):
        if not quiet:
            for line in _warnings(paths, names_incomplete=not selection.complete_only):
                say(line)
        target = _standard_output() if output == "-" else output
        form = choose_form(quiet=quiet, verbose=verbose)
        with _showing_progress(is_live=form == "live" and output != "-") as progress:
            written = export_files(paths, target, selection, progress=progress)
        for one in written:
            if one.path is not None and not quiet:
                say(f"{one.path}: {count(one.items, 'item')}")
        if not written and not quiet:
            say(f"{output}: nothing new to write")


@contextmanager
def _showing_progress(*, is_live: bool) -> Iterator[Callable[[int], None] | None]:
    """On a terminal, show how many items are written so far."""
    if not is_live:
        yield None
        return
    with Console(stderr=True).status("") as line:
        yield lambda items: line.update(count(items, "item"))


def _warnings(paths: Sequence[str], *, names_incomplete: bool) -> Iterator[str]:
    """What the newest snapshots lack: lists, and in some files the newest day."""
    newest = {path: CrawlFile(path).status() for path in paths}
    for path, summary in newest.items():
        if names_incomplete and not summary.complete:
            lacking = CrawlFile(path).incomplete(summary.snapshot)
            lists = count(len(lacking), "list")
            where = f"{path}: snapshot {summary.snapshot} of {summary.day}"
            yield f"{where} is incomplete: {lists} lacking"
            yield from incomplete_lines(lacking)
    yield from newest_day(newest)[1]


def _standard_output() -> TextIO:
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8", newline="\n")
    return _Terminal() if sys.stdout.isatty() else sys.stdout


class _Terminal(io.StringIO):
    """Writes to standard output without control characters, which a terminal would obey."""

    def write(self, text: str, /) -> int:
        return sys.stdout.write(escape_controls(text))
