"""`keyapi sandbox`: a local KeyAPI for any program to be pointed at."""

import asyncio
import shlex
import signal
from typing import Annotated, Any, Literal

import attrs
from attrs import frozen
from cyclopts import Parameter, validators

from keyapi_async.cli.failures import INTERRUPTED, USAGE, CommandError
from keyapi_async.cli.messages import say
from keyapi_async.cli.options import ABOVE_0, AT_LEAST_0, Day, Quiet, Verbose, Whole
from keyapi_async.cli.runner import perform
from keyapi_async.cli.signals import on_signal


@Parameter(name="*")
@frozen(kw_only=True, eq=False, repr=False)
class SandboxOptions:
    """How the sandbox behaves; None leaves a setting at the sandbox's default."""

    port: Annotated[Whole, Parameter(validator=validators.Number(gte=0, lte=65_535))] = 0
    """Where to listen; 0 takes any free port."""
    qps: Annotated[float | None, ABOVE_0] = None
    """Requests per second before a 429; by default no limit."""
    window: Literal["sliding", "fixed", "leaky"] = "sliding"
    """How that limit is kept."""
    burst: Annotated[Whole, AT_LEAST_0] = 0
    """Requests allowed to arrive too early (leaky only)."""
    retry_after: str | None = None
    """The Retry-After header of a 429."""
    latency: Annotated[float, AT_LEAST_0] = 0.0
    """Seconds before an answer."""
    credits: Annotated[Whole | None, AT_LEAST_0] = None
    """What the account holds; a request costs 2. By default as many as it takes."""
    fault_rate: Annotated[float, Parameter(validator=validators.Number(gte=0, lte=1))] = 0.0
    """Share of requests that fail with 500, 502, 503 or a reset, 0 to 1."""
    seed: Whole = 0
    """Another seed makes other data and other chance faults."""
    day: Day | None = None
    """The day of its lists, such as 2026-02-01."""
    day_seconds: Annotated[float | None, ABOVE_0] = None
    """Seconds from one day to the next; by default the day stays."""


def sandbox(  # noqa: D417 - the options say what they are
    *,
    settings: SandboxOptions = SandboxOptions(),
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Run `keyapi sandbox`.

    Args:
        quiet: Write nothing but errors to stderr.
        verbose: Show the details of an error.
    """
    given = attrs.asdict(settings, filter=lambda _, value: value is not None)
    perform(_serve(given, quiet=quiet), verbose=verbose)


async def _serve(settings: dict[str, Any], *, quiet: bool) -> None:
    """Serve until a signal comes; Ctrl-C is an interruption, the others are a normal end."""
    # Here and not above: it takes a web server, which nothing else of the command needs.
    from keyapi_async.sandbox import Fault, Sandbox  # noqa: PLC0415

    faults = (Fault.status(500), Fault.status(503), Fault.html(502), Fault.reset())
    try:
        sandbox = Sandbox(**settings, faults=faults)
    except ValueError as error:
        raise CommandError(str(error), USAGE) from None
    came: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    with on_signal(came.set_result):
        async with sandbox:
            print(f"export KEYAPI_BASE_URL={shlex.quote(sandbox.url)}")  # noqa: T201
            print(f"export KEYAPI_TOKEN={shlex.quote(sandbox.api_key)}", flush=True)  # noqa: T201
            if not quiet:
                say("serving made-up data; Ctrl-C stops it")
            if await came == signal.SIGINT:
                raise CommandError("interrupted", INTERRUPTED)
