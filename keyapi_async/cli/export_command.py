"""`keyapi export`: what a crawl fetched, in a form that other tools open."""

import io
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TextIO, TypeAlias, get_args

import attrs
from attrs import frozen
from cyclopts import Parameter

from keyapi_async import ENDPOINTS
from keyapi_async.cli.app import app
from keyapi_async.cli.messages import count, say
from keyapi_async.cli.options import SEVERAL, File, Moment, Quiet, Verbose, reads
from keyapi_async.cli.output import escape_controls
from keyapi_async.cli.query_options import parameter_types
from keyapi_async.cli.runner import logging_to_stderr
from keyapi_async.crawl import CrawlFile, Selection

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
    """Only what came at this time (UTC) or later; an age such as 24h is taken, too."""
    until: Moment | None = None
    """Only what came before this time."""
    snapshot: Annotated[
        int | Literal["latest", "all"], reads("a snapshot's number, latest or all", _snapshot)
    ] = "latest"
    """Of this snapshot: its number, latest or all."""


@app.command
def export(  # noqa: D417 - the options say what they are
    file: str,
    /,
    *,
    output: Annotated[File, Parameter(alias="-o")],
    choice: Choice = Choice(),
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Write what a crawl fetched as JSONL, CSV, Parquet or a DuckDB database.

    Each file appears when it is complete. CSV and Parquet hold one table: of several endpoints,
    each gets a file of its own, such as out.videos.parquet.

    Args:
        file: The SQLite file of the crawl.
        output: Where to: .jsonl, .csv, .parquet or .duckdb; `-` is JSONL to standard output.
        quiet: Say nothing on stderr but errors.
        verbose: Show the details of an error.
    """
    with logging_to_stderr(verbose=verbose):
        stored = CrawlFile(file)
        summary = stored.status()
        if summary.pending and not quiet:
            done = f"{summary.done} of {count(summary.queries, 'list')} done"
            say(f"{file}: snapshot {summary.snapshot} is unfinished: {done}")
        selection = Selection(**attrs.asdict(choice, recurse=False))
        for one in stored.export(_standard_output() if output == "-" else Path(output), selection):
            if one.path is not None and not quiet:
                say(f"{one.path}: {count(one.items, 'item')}")


def _standard_output() -> TextIO:
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8", newline="\n")
    return _Terminal() if sys.stdout.isatty() else sys.stdout


class _Terminal(io.StringIO):
    """Writes to standard output what a terminal can't take for a command."""

    def write(self, text: str, /) -> int:
        return sys.stdout.write(escape_controls(text))
