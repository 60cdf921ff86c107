"""The options that commands share, and how values on the command line are read."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Literal, TypeAlias

from attrs import frozen
from cyclopts import Group, Parameter, Token

from keyapi_async import reference

FILTERS = Group.create_ordered("Filters")
PAGES = Group.create_ordered("Pages")
OUTPUT = Group.create_ordered("Output")
REQUESTS = Group.create_ordered("Requests")


def _whole(_: object, tokens: Sequence[Token]) -> int:
    # cyclopts would round 20.5
    if not re.fullmatch(r"[+-]?[0-9]{1,18}", tokens[0].value):
        raise ValueError(f"must be a whole number, not {tokens[0].value!r}")
    return int(tokens[0].value)


def _file(_: object, tokens: Sequence[Token]) -> str:
    # `-` is standard output, so leading hyphens are let through to here
    name = tokens[0].value
    if name.startswith("-") and name != "-":
        raise ValueError(f"{name} looks like an option; write ./{name} for a file of that name")
    return name


def _offer(*choices: Mapping[str, str]) -> Callable[[object], dict[str, str]]:
    """Completion of values that stay an open set."""

    def offer(_: object) -> dict[str, str]:
        return {value: name for known in choices for value, name in known.items()}

    return offer


Whole: TypeAlias = Annotated[int, Parameter(converter=_whole, n_tokens=1)]
File: TypeAlias = Annotated[
    str,
    Parameter(alias="-o", converter=_file, n_tokens=1, allow_leading_hyphen=True, metavar="FILE"),
]
Flag: TypeAlias = Annotated[bool, Parameter(show_default=False)]
Quiet: TypeAlias = Annotated[bool, Parameter(alias="-q", show_default=False)]
Verbose: TypeAlias = Annotated[bool, Parameter(alias="-v", show_default=False)]
Period: TypeAlias = Literal[7, 30, 120]
LongPeriod: TypeAlias = Literal[7, 30, 120, 365, 1095]
OrderBy: TypeAlias = Literal["vv", "like", "comment", "repost"]
AnyRegion: TypeAlias = Annotated[
    str, Parameter(completer=_offer({"all_regions": "All regions"}, reference.REGIONS))
]
Region: TypeAlias = Annotated[str, Parameter(completer=_offer(reference.REGIONS))]
VideoRegion: TypeAlias = Annotated[str, Parameter(completer=_offer(reference.VIDEO_REGIONS))]
Industry: TypeAlias = Annotated[str, Parameter(completer=_offer(reference.INDUSTRIES))]


@frozen(kw_only=True, eq=False, repr=False)
class Paging:
    """How much of a list to fetch, and how."""

    limit: Whole | None = None
    """Stop after exactly so many items; by default all."""
    page_size: Whole = 20
    """Items per request, 1 to 20; each request costs 2 credits."""
    start_page: Whole = 1
    """The first page to fetch."""
    prefetch: Whole = 2
    """Pages fetched ahead, within --rate."""

    def arguments(self) -> dict[str, Any]:
        """The same as arguments of the client's iterators."""
        return {
            "max_items": self.limit,
            "page_size": self.page_size,
            "start_page": self.start_page,
            "prefetch": self.prefetch,
        }


@frozen(kw_only=True, eq=False, repr=False)
class Output:
    """Where items go, and in which form."""

    output: File | None = None
    """Write to this file, which appears when it is complete; `-` is standard output."""
    format: Literal["auto", "table", "jsonl"] = "auto"
    """auto is a table on a terminal, else JSON lines."""
    quiet: Quiet = False
    """Say nothing on stderr but errors."""
    verbose: Verbose = False
    """Log every request to stderr, and the details of an error."""


@frozen(kw_only=True, eq=False, repr=False)
class Requests:
    """Whom to ask, how fast and at what cost."""

    sandbox: Flag = False
    """Ask a sandbox with made-up data within this command; it needs no key."""
    rate: float = 10.0
    """Most requests per second; inf for no limit."""
    max_credits: Whole | None = None
    """Never spend more than this."""


Pages: TypeAlias = Annotated[Paging, Parameter(name="*", group=PAGES)]
Out: TypeAlias = Annotated[Output, Parameter(name="*", group=OUTPUT)]
Ask: TypeAlias = Annotated[Requests, Parameter(name="*", group=REQUESTS)]
PAGING = Paging()
OUT = Output()
ASK = Requests()
