"""The options of `keyapi crawl`, and the plan that they make."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import attrs
from attrs import frozen
from cyclopts import Group, Parameter

from keyapi_async.cli.failures import USAGE, CommandError, option
from keyapi_async.cli.known_values import LISTS, known_values
from keyapi_async.cli.options import Age, File, Flag, Quiet, Verbose, Whole, reads
from keyapi_async.crawl import Plan, Shard, grid, read_plan

PLAN = Group.create_ordered("Plan")
STORE = Group.create_ordered("Store")

_UNFILTERED = {"region": "all_regions", "industry_id": "nothing"}
"""What may be asked for beside every known value."""


def _details(text: str) -> str | int:
    kind, _, number = text.partition(":")
    if text in ("new", "all"):
        return text
    if kind != "top" or int(number) < 1:
        raise ValueError
    return int(number)


def _shard(text: str) -> Shard:
    number, count = map(int, text.split("/"))
    if not 1 <= number <= count:
        raise ValueError
    return number, count


@Parameter(name="*", group=PLAN)
@frozen(kw_only=True, eq=False, repr=False)
class Choice:
    """Which lists, in addition to the filters."""

    every_region: Flag = False
    """Every region known for the endpoint; with --region all_regions, that one too."""
    every_industry: Flag = False
    """Every industry known; with --industry-id nothing, also the list without a filter."""
    input: Annotated[File | None, Parameter(alias="-i")] = None
    """A file of queries, a JSON object a line, like {"endpoint": "music"}; `-` is stdin."""
    shard: Annotated[
        Shard | None,
        reads("a part such as 2/8, from 1/8 to 8/8", _shard, metavar="I/N"),
    ] = None
    """Only part I of N, each into a file of its own; a list's part is always the same."""
    print_plan: Flag = False
    """Print the queries as -i takes them, and exit."""


@Parameter(name="*", group=PLAN)
@frozen(kw_only=True, eq=False, repr=False)
class Limits:
    """How much of each list."""

    details: Annotated[
        str | int | None,
        reads("new, all or top:N such as top:20", _details, metavar="new|top:N|all"),
    ] = None
    """Also the details of items: those new to the file, of the top N of each list, or all."""
    max_items: Whole | None = None
    """Most items to fetch of each list."""
    max_pages: Whole | None = None
    """Most pages to fetch of each list."""


@Parameter(name="*", group=STORE)
@frozen(kw_only=True, eq=False, repr=False)
class Target:
    """Where the crawl is stored."""

    output: Annotated[File | None, Parameter(alias="-o")] = None
    """The SQLite file. If its crawl is unfinished, goes on with it."""
    resume: File | None = None
    """Go on with the crawl in this file; its plan and limits are in it."""
    simulate: Annotated[Flag, Parameter(alias="-s")] = False
    """Dry run: estimate requests and credits, and exit; it needs no key."""


@Parameter(name="*", group=STORE)
@frozen(kw_only=True, eq=False, repr=False)
class Continuation:
    """How to go on with the crawl of a file."""

    daily: Annotated[str | None, Parameter(requires_equals=True, metavar="[ZONE]")] = None
    """Begin a new snapshot each calendar day, in local time or as in --daily=Europe/Berlin."""
    fresh_within: Age | None = None
    """Begin a new snapshot if the newest is older than this, such as 24h."""
    extend: Flag = False
    """Let a changed plan replace the one in the file."""
    retry_failed: Flag = False
    """Retry lists that failed before."""


@Parameter(name="*", group=Group.create_ordered("Run"))
@frozen(kw_only=True, eq=False, repr=False)
class Run:
    """How it runs."""

    concurrency: Whole | None = None
    """Lists to work on at once; by default twice --rate, at least 8."""
    keep_going: Flag = False
    """Go on when a list fails (exit code 3 at the end)."""
    wait_outage: Annotated[Age, Parameter(show_default=lambda _: "10m")] = 600.0
    """How long to wait for a server that is down; 0s ends the crawl at once."""
    log_json: Flag = False
    """Write JSON lines: sandbox, snapshot, signal, progress, summary, resume, end."""
    quiet: Quiet = False
    """Write nothing but errors to stderr."""
    verbose: Verbose = False
    """Log every request to stderr, and the details of an error."""


def changed_options(*groups: Any) -> list[str]:
    """The options that aren't at their default."""
    return [
        option(field.name)
        for group in groups
        for field in attrs.fields(type(group))
        if getattr(group, field.name) != field.default
    ]


def make_plan(endpoints: tuple[str, ...], choice: Choice, filters: dict[str, Any]) -> Plan:
    """Make the queries asked for.

    Raises:
        CommandError: None are asked for, or something that can't be.
    """
    every = {"region": choice.every_region, "industry_id": choice.every_industry}
    asked = {name: option(name) for name, values in filters.items() if values}
    asked |= {name: _every(name) for name, wanted in every.items() if wanted}
    plan: Plan = () if choice.input is None else _read(choice.input)
    used: set[str] = set()
    for endpoint in endpoints:
        names = asked.keys() & attrs.fields_dict(LISTS[endpoint])
        axes = {name: values for name, values in filters.items() if name in names}
        for name in names:
            if every.get(name):
                axes[name] = _every_value(endpoint, name, filters.get(name, ()))
        plan += grid(endpoint, **axes)
        used |= names
    for name, typed in asked.items():
        if name not in used:
            what = " or ".join(endpoints) or "what comes from a file"
            raise CommandError(f"{typed} says nothing about {what}", USAGE)
    if not plan:
        allowed = f"name endpoints ({' '.join(LISTS)}), -i FILE or --resume"
        raise CommandError(f"nothing to crawl: {allowed}", USAGE)
    return tuple(dict.fromkeys(plan))


def _every(name: str) -> str:
    return f"--every-{name.removesuffix('_id')}"


def _every_value(endpoint: str, name: str, given: tuple[str, ...]) -> list[str]:
    """Every known value of a parameter, and the one for no filter if that is given."""
    unfiltered = _UNFILTERED[name]
    if set(given) - {unfiltered}:
        problem = f"{_every(name)} leaves nothing to say to {option(name)} but {unfiltered}"
        raise CommandError(problem, USAGE)
    known = known_values(LISTS[endpoint])[name]
    beside = [] if name == "region" and unfiltered not in known else dict.fromkeys(given)
    return [*beside, *(value for value in known if value != unfiltered)]


def _read(name: str) -> Plan:
    called = "standard input" if name == "-" else name
    try:
        data = sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
        plan = read_plan(data.decode("utf-8-sig").split("\n"), called)
    except UnicodeDecodeError:
        raise CommandError(f"{called} is not UTF-8", USAGE) from None
    except ValueError as error:
        raise CommandError(str(error), USAGE) from None
    except OSError as error:
        raise CommandError(f"can't read {called}: {error.strerror or error}") from None
    if not plan:
        raise CommandError(f"{called} holds no query", USAGE)
    return plan
