"""The options that commands share, and how values on the command line are read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from time import time
from typing import Annotated, Any, Literal, TypeAlias

from attrs import frozen
from cyclopts import CycloptsError, Group, Parameter, Token, convert, validators

from keyapi_async import CreditBudget

FILTERS = Group.create_ordered("Filters")


def reads(what: str, read: Callable[[str], Any], **more: Any) -> Parameter:
    """A parameter whose value a function parses, with a clear message when it can't.

    Args:
        what: What is accepted, for that message.
        read: Parses the text; raises a ValueError.
        more: Other settings of the parameter.
    """

    def converter(_: object, tokens: Sequence[Token]) -> Any:
        text = tokens[0].value
        try:
            return read(text)
        except (CycloptsError, ValueError, OverflowError):
            raise ValueError(f"must be {what}, not {text!r}") from None

    return Parameter(converter=converter, n_tokens=1, **more)


def _file(name: str) -> str:
    # `-` is a standard stream, so leading hyphens are let through to here
    if name.startswith("-") and name != "-":
        raise ValueError
    return name


def _seconds(text: str) -> float:
    age: Any = convert(timedelta, [text])
    return float(age.total_seconds())


def _budget(text: str) -> CreditBudget:
    credits_, slash, per = text.partition("/")
    return CreditBudget(int(credits_), _seconds(per) if slash else None)


def _unix_time(text: str) -> float:
    moment: Any = convert(timedelta | datetime, [text])
    if isinstance(moment, timedelta):
        return time() - moment.total_seconds()
    return float((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())


AT_LEAST_0 = Parameter(validator=validators.Number(gte=0))
REQUESTS = Group.create_ordered("Requests")
ABOVE_0 = Parameter(validator=validators.Number(gt=0))
SEVERAL = Parameter(show_default=False)

_FILE = "a file (write ./-name for one that begins with a hyphen)"
_MOMENT = "a date or time such as 2026-11-21 or 2026-11-21T06:00, or an age such as 24h"
File: TypeAlias = Annotated[str, reads(_FILE, _file, allow_leading_hyphen=True, metavar="FILE")]
Whole: TypeAlias = Annotated[int, reads("a whole number", int)]
Age: TypeAlias = Annotated[float, reads("an age such as 90m, 24h or 7d", _seconds, metavar="AGE")]
Day: TypeAlias = Annotated[date, reads("a date such as 2026-11-21", date.fromisoformat)]
Moment: TypeAlias = Annotated[float, reads(_MOMENT, _unix_time, metavar="TIME|AGE")]
Budget: TypeAlias = Annotated[
    CreditBudget,
    reads("a number of credits such as 500, or per a time such as 1000/24h", _budget),
    Parameter(metavar="N|N/AGE", accepts_keys=False),
]
Flag: TypeAlias = Annotated[bool, Parameter(show_default=False)]
AllowUnknown: TypeAlias = Annotated[
    Flag, Parameter(group=FILTERS, help="Send regions and industries that aren't known here, too.")
]
Reuse: TypeAlias = Annotated[
    Age | None,
    Parameter(
        group=REQUESTS,
        help="Take what was fetched at most this long ago, such as 1h, for nothing.",
    ),
]
Quiet: TypeAlias = Annotated[Flag, Parameter(alias="-q")]
Verbose: TypeAlias = Annotated[Flag, Parameter(alias="-v")]


@Parameter(name="*", group=Group.create_ordered("Pages"))
@frozen(kw_only=True, eq=False, repr=False)
class Paging:
    """How much of a list to fetch, and how."""

    max_items: Annotated[Whole | None, AT_LEAST_0, Parameter(name="--limit")] = None
    """Stop after exactly this many items; by default all."""
    page_size: Whole = 20
    """Items per request, 1 to 20; each request costs 2 credits."""
    start_page: Whole = 1
    """The first page to fetch."""
    prefetch: Whole = 2
    """Pages fetched ahead, within --rate."""


@Parameter(name="*", group=Group.create_ordered("Output"))
@frozen(kw_only=True, eq=False, repr=False)
class Output:
    """Where items go, and in which form."""

    output: Annotated[File | None, Parameter(alias="-o")] = None
    """Write to this file, which appears when it is complete; `-` is standard output."""
    format: Literal["auto", "table", "jsonl"] = "auto"
    """auto is a table on a terminal, else JSON lines."""
    quiet: Quiet = False
    """Write nothing but errors to stderr."""
    verbose: Verbose = False
    """Log every request to stderr, and the details of an error."""


@Parameter(name="*", group=REQUESTS)
@frozen(kw_only=True, eq=False, repr=False)
class Requests:
    """Which server to ask, how fast and for how many credits."""

    sandbox: Flag = False
    """Ask a sandbox within this command: made-up data, no key."""
    rate: Annotated[float, ABOVE_0] = 10.0
    """Most requests per second; inf for no limit."""
    max_credits: Budget | None = None
    """Never spend more than this: 500 in this run; 1000/24h, with --share, of all runs."""
    share: Annotated[str | None, Parameter(metavar="URL", env_var="KEYAPI_SHARE")] = None
    """One rate, pause and 1000/24h for all runs that name it: file:PATH or redis://HOST."""

    @property
    def credits(self) -> int | None:
        """The most credits."""
        return None if self.max_credits is None else self.max_credits.credits
