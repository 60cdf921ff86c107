"""The options that commands about trends share."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from typing import Annotated, Any, TextIO, TypeAlias

import attrs
from attrs import frozen
from cyclopts import Parameter, convert

from keyapi_async.cli.failures import CommandError
from keyapi_async.cli.options import FILTERS, SEVERAL, reads
from keyapi_async.crawl import PartFile, is_one_of


def _day_or_age(text: str) -> date | timedelta:
    try:
        return date.fromisoformat(text)
    except ValueError:
        age: Any = convert(timedelta, [text])
        return timedelta(days=-(-age // timedelta(days=1)))


Since: TypeAlias = Annotated[
    date | timedelta,
    reads("a date such as 2026-11-21 or an age such as 7d", _day_or_age, metavar="DATE|AGE"),
]


@Parameter(name="*", group=FILTERS)
@frozen(kw_only=True, eq=False, repr=False)
class Lists:
    """Which lists; each option may be given several times."""

    endpoint: Annotated[tuple[str, ...], SEVERAL] = ()
    """Only lists of this endpoint, such as hashtags."""
    region: Annotated[tuple[str, ...], SEVERAL] = ()
    """Only lists of this region."""
    period: Annotated[tuple[str, ...], SEVERAL] = ()
    """Only lists of this period, in days."""
    industry: Annotated[tuple[str, ...], SEVERAL] = ()
    """Only lists of this industry id; nothing for those of all industries."""

    def chosen(self) -> dict[str, Any]:
        """What was chosen, as the library takes it."""
        options: dict[str, Any] = attrs.asdict(self, recurse=False)
        return {name: value or None for name, value in options.items()}


@contextmanager
def writing_text(output: str | None, files: Iterable[str]) -> Iterator[TextIO]:
    """Where a text goes: standard output, or a file that appears when it is complete.

    Args:
        output: The file; None or `-` for standard output.
        files: Those that are read.

    Raises:
        CommandError: The file can't be written, or is one of those.
    """
    if output is None or output == "-":
        yield sys.stdout
        return
    if is_one_of(output, files):
        raise CommandError(f"{output} is the crawl's own file: choose another name")
    try:
        with (
            PartFile(output) as file,
            file.part.open("w", encoding="utf-8", errors="replace", newline="") as stream,
        ):
            yield stream
    except OSError as error:
        raise CommandError(f"can't write {output}: {error.strerror or error}") from error
