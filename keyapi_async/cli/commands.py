"""The commands: what help says of each, and which function runs it.

The module of a function is imported when its command is asked for, as all together take as long
to load as the rest of the program.
"""

from __future__ import annotations

from typing import Final

from keyapi_async import ENDPOINTS, DetailQuery
from keyapi_async.cli.app import app
from keyapi_async.cli.known_values import LISTS, list_known

COMMANDS: Final = {
    "crawl_command:crawl": """Every list of a grid, into one SQLite file, exactly once.

        Every combination of the filters is a list; all but flags may be given several times.

        The same command goes on where it ended; when all is done, it does nothing.""",
    "status_command:status": "Print what the file of a crawl holds, also while it runs; of "
    "several, also the sum.",
    "export_command:export": """Write what crawls fetched as JSONL, CSV, Parquet, a DuckDB \
database or a lake.

        Each file appears when it is complete. CSV and Parquet are a file for each endpoint, such
        as out.videos.parquet. A folder (lake/) becomes a data set of Parquet files by endpoint and
        day, of which only those are written that are new or have changed.""",
    "movers_command:movers": """Say what moved from one day to another: new, risen, dropped, ...

        Only complete lists are compared. Several files are one history.""",
    "trend_commands:history": "Show the ranks and views of one thing by day, in every list it was "
    "ever in.",
    "trend_commands:check": """Check the newest day: empty, shrunken, frozen and incomplete lists, \
missing days, fields.

        Exit code 3 when something is wrong.""",
    "trend_commands:report": "Write a page on what moved, for people without a terminal: one file "
    "that needs no network.",
    "sandbox_command:sandbox": """Serve a local KeyAPI with made-up data, to try any program \
against.

        Prints what to export for a client to find it.""",
}
"""Each function, and its description."""


def add_commands() -> None:
    """Add every command to the app."""
    for kind in ENDPOINTS.values():
        app.command(
            f"{__package__}.query_commands:{kind.name}",
            name=kind.noun if issubclass(kind, DetailQuery) else kind.name,
            help=(kind.__doc__ or "").partition("\n")[0],
            help_epilogue=list_known(kind),
        )
    for function, text in COMMANDS.items():
        known = list_known(*LISTS.values()) if function == "crawl_command:crawl" else None
        app.command(f"{__package__}.{function}", help=text, help_epilogue=known)
