"""`keyapi export`: what a crawl brought home, in a form that other tools open."""

import io
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from time import time
from typing import Annotated, Literal, TypeAlias

from cyclopts import Parameter, Token

from keyapi_async.crawl.export import Selection, write_lines
from keyapi_async.crawl.export import export as export_to
from keyapi_async.crawl.store import opened
from keyapi_async.crawl.summary import summarize

from .app import app
from .crawling import age
from .errors import naming_options, say
from .options import File, Flag, LongPeriod, Quiet, Verbose

Endpoint: TypeAlias = Literal["hashtags", "hashtag_detail", "videos", "music", "music_detail"]


def moment(text: str) -> float:
    """Unix time of a date, a time (UTC unless it says otherwise), or an age such as 24h.

    Raises:
        ValueError: It is none of them.
    """
    try:
        return time() - age(text)
    except ValueError:
        pass
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(
            f"must be a date or time such as 2026-11-21 or 2026-11-21T06:00, "
            f"or an age such as 24h, not {text!r}"
        ) from None
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()


def _moment(_: object, tokens: Sequence[Token]) -> float:
    return moment(tokens[0].value)


Moment: TypeAlias = Annotated[float, Parameter(converter=_moment, n_tokens=1)]


@contextmanager
def _ending_well() -> Iterator[None]:
    """Let SIGTERM end it as Ctrl-C does: with nothing half done left behind."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@app.command(group_parameters="Options")
def export(
    file: str,
    /,
    *,
    output: File,
    endpoint: tuple[Endpoint, ...] = (),
    region: tuple[str, ...] = (),
    period: tuple[LongPeriod, ...] = (),
    since: Moment | None = None,
    until: Moment | None = None,
    all_snapshots: Flag = False,
    quiet: Quiet = False,
    verbose: Verbose = False,  # noqa: ARG001 - all commands take it
) -> None:
    """Write what a crawl brought home as JSONL, CSV, Parquet or a DuckDB database.

    Each file appears when it is complete. CSV and Parquet hold one table: of several endpoints,
    each gets a file of its own, such as out.videos.parquet.

    Args:
        file: The SQLite file of the crawl.
        output: Where to: .jsonl, .csv, .parquet or .duckdb; `-` is JSONL to standard output.
        endpoint: Only of this endpoint; may be given several times, like region and period.
        region: Only of lists of this region.
        period: Only of lists of this period.
        since: Only what came at this time (UTC) or later; an age such as 24h is taken, too.
        until: Only what came before this time.
        all_snapshots: Of every snapshot; by default of the newest.
        quiet: Say nothing on stderr but errors.
        verbose: Show the details of an error.
    """
    selection = Selection(
        endpoints=endpoint,
        regions=region,
        periods=period,
        since=since,
        until=until,
        all_snapshots=all_snapshots,
    )
    with _ending_well(), opened(Path(file)) as store:
        summary = summarize(store, failures=0)
        if summary.pending and not quiet:
            say(
                f"{file}: snapshot {summary.snapshot} is unfinished: "
                f"{summary.done} of {summary.queries} lists are done"
            )
        if output == "-":
            if isinstance(sys.stdout, io.TextIOWrapper):
                sys.stdout.reconfigure(encoding="utf-8", newline="\n")
            write_lines(store, selection, sys.stdout)
            return
        with naming_options():
            written = export_to(store, Path(output), selection)
    for one in written:
        if not quiet:
            say(f"{one.path}: {one.items} items")
