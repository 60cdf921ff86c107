"""`keyapi sandbox`: a local KeyAPI for any program to be pointed at."""

import asyncio
import shlex
import signal
from typing import TYPE_CHECKING, Any, Literal

from .app import app
from .errors import naming_options, say
from .options import Quiet, Verbose, Whole
from .run import perform

if TYPE_CHECKING:
    from keyapi_async.sandbox import Sandbox


@app.command(group_parameters="Options")
def sandbox(
    *,
    port: Whole = 0,
    qps: float | None = None,
    window: Literal["sliding", "fixed", "leaky"] = "sliding",
    burst: Whole = 0,
    retry_after: str | None = None,
    latency: float = 0.0,
    credits: Whole | None = None,  # noqa: A002 - the option is called so
    fault_rate: float = 0.0,
    seed: Whole = 0,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Serve a local KeyAPI with made-up data, to try any program against.

    Prints what to export for a client to find it.

    Args:
        port: Where to listen; 0 takes any free port.
        qps: Requests per second before a 429; by default no limit.
        window: How that limit is kept.
        burst: Requests that may come too early (leaky only).
        retry_after: The Retry-After header of a 429.
        latency: Seconds before an answer.
        credits: What the account holds; a request costs 2. By default as many as it takes.
        fault_rate: Share of requests that fail with 500, 502, 503 or a reset, 0 to 1.
        seed: Other data and other luck.
        quiet: Say nothing on stderr but errors.
        verbose: Show the details of an error.
    """
    settings = {
        "port": port,
        "qps": qps,
        "window": window,
        "burst": burst,
        "retry_after": retry_after,
        "latency": latency,
        "credits": credits,
        "seed": seed,
    }
    perform(serve(settings, fault_rate=fault_rate, quiet=quiet), verbose=verbose)


async def serve(settings: dict[str, Any], *, fault_rate: float, quiet: bool) -> None:
    """Serve until SIGTERM (then return) or Ctrl-C (then raise).

    Args:
        settings: Of the sandbox.
        fault_rate: How often a request suffers one of the common faults.
        quiet: Print nothing but the two exports.

    Raises:
        CommandError: A setting can't be right.
    """
    # Here and not above: it takes a web server, which nothing else of the command needs.
    from keyapi_async.sandbox import Fault, Sandbox  # noqa: PLC0415

    faults = (Fault.status(500), Fault.status(503), Fault.html(502), Fault.reset())
    with naming_options():
        sandbox = Sandbox(**settings, fault_rate=fault_rate, faults=faults)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    # Not loop.add_signal_handler: Windows has none.
    before = signal.signal(signal.SIGTERM, lambda *_: loop.call_soon_threadsafe(stop.set))
    try:
        async with sandbox:
            _announce(sandbox, quiet=quiet)
            await stop.wait()
    finally:
        signal.signal(signal.SIGTERM, before)


def _announce(sandbox: "Sandbox", *, quiet: bool) -> None:
    print(f"export KEYAPI_BASE_URL={shlex.quote(sandbox.url)}")  # noqa: T201
    print(f"export KEYAPI_TOKEN={shlex.quote(sandbox.api_key)}", flush=True)  # noqa: T201
    if not quiet:
        say("serving made-up data; Ctrl-C stops it")
