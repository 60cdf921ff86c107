"""The options of `keyapi crawl`."""

import re
from collections.abc import Sequence
from typing import Annotated, Literal, TypeAlias

from attrs import frozen
from cyclopts import Group, Parameter, Token

from .options import AnyRegion, Flag, Industry, OrderBy, Period, Quiet, Verbose, Whole

PLAN = Group.create_ordered("Plan")
STORE = Group.create_ordered("Store")
RUN = Group.create_ordered("Run")

MANY = Parameter(show_default=False)
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


def age(text: str) -> float:
    """Seconds of an age such as 24h.

    Raises:
        ValueError: It is none.
    """
    found = re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)([smhdw])", text)
    if found is None:
        raise ValueError(f"must be an age such as 90m, 24h or 7d, not {text!r}")
    return float(found[1]) * _UNITS[found[2]]


def _age(_: object, tokens: Sequence[Token]) -> float:
    return age(tokens[0].value)


Endpoint: TypeAlias = Literal["hashtags", "videos", "music"]
Age: TypeAlias = Annotated[float, Parameter(converter=_age, n_tokens=1)]


@frozen(kw_only=True, eq=False, repr=False)
class Filters:
    """What to crawl: every combination of these. All but flags may be given several times."""

    region: Annotated[tuple[AnyRegion, ...], MANY] = ()
    """Country code, such as US."""
    every_region: Flag = False
    """Every region known for the endpoint."""
    period: Annotated[tuple[Period, ...], MANY] = ()
    """Days."""
    industry_id: Annotated[
        tuple[Industry, ...], Parameter(alias="--industry", show_default=False)
    ] = ()
    """Only this first-level industry (hashtags)."""
    order_by: Annotated[tuple[OrderBy, ...], MANY] = ()
    """vv is hot (videos)."""
    search_keyword: Annotated[
        tuple[str, ...], Parameter(alias="--keyword", show_default=False)
    ] = ()
    """Only sounds that match (music)."""
    new_to_top_100: Flag = False
    """Only what entered the top 100 for the first time (hashtags, music)."""
    commercial_music: Flag = False
    """Only sounds cleared for commercial use (music)."""
    input: Annotated[str | None, Parameter(alias="-i", allow_leading_hyphen=True, n_tokens=1)] = (
        None
    )
    """A file of queries, a JSON object a line, like {"endpoint": "music"}; `-` is stdin."""
    with_details: Flag = False
    """Also the detail of each hashtag and sound, once per region and period."""
    max_items: Whole | None = None
    """At most so many items of each list."""
    max_pages: Whole | None = None
    """At most so many pages of each list."""


@frozen(kw_only=True, eq=False, repr=False)
class Keeping:
    """Where it is kept, and what to do with what is there."""

    output: Annotated[str | None, Parameter(alias="-o")] = None
    """The SQLite file. If its crawl is unfinished, goes on with it."""
    resume: str | None = None
    """Go on with the crawl in this file; nothing else needs to be said."""
    status: str | None = None
    """Say what this file holds, and end."""
    simulate: Annotated[bool, Parameter(alias="-s", show_default=False)] = False
    """Say what it would take, and end; nothing is spent."""
    fresh_within: Age | None = None
    """If the snapshot is older than this, such as 24h, begin a new one of what is not newer."""
    extend: Flag = False
    """Let a changed plan take the place of the file's."""
    retry_failed: Flag = False
    """Try lists again that failed before."""


@frozen(kw_only=True, eq=False, repr=False)
class Running:
    """How it runs."""

    concurrency: Whole | None = None
    """Lists to work on at once; by default twice --rate, at least 8."""
    keep_going: Flag = False
    """Note a list that failed and go on (exit code 3)."""
    log_json: Flag = False
    """Say what happens as JSON lines; the event is sandbox, snapshot, progress, summary, resume or
    end."""
    quiet: Quiet = False
    """Say nothing on stderr but errors."""
    verbose: Verbose = False
    """Log every request to stderr, and the details of an error."""


FILTERS, KEEPING, RUNNING = Filters(), Keeping(), Running()
