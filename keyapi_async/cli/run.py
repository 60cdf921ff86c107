"""Runs what a command asks for: a client, an output, and what to say meanwhile."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from typing import Any, Protocol, TypeVar

from rich.console import RenderableType

from keyapi_async import KeyAPIClient, KeyAPIError, Pager, StopReason
from keyapi_async.models import Model
from keyapi_async.trending import Trending
from keyapi_async.usage import RequestEvent, Usage

from .errors import AUTHENTICATION, CommandError, naming_options, say
from .options import Output, Requests
from .output import Sink
from .progress import Progress
from .tables import Layout

T = TypeVar("T", bound=Model)

logger = logging.getLogger("keyapi_async")


class Watcher(Protocol):
    """Who is told what the client does."""

    usage: Usage

    def on_event(self, event: RequestEvent) -> None:
        """Note something."""
        ...


def list_items(
    make: Callable[[Trending], Pager[T]], layout: Layout[T], out: Output, ask: Requests
) -> None:
    """Write every item of a list, page after page."""
    perform(_list_items(make, layout, out, ask), verbose=out.verbose)


def show_one(
    fetch: Callable[[Trending], Awaitable[T]],
    panel: Callable[[T], RenderableType],
    out: Output,
    ask: Requests,
) -> None:
    """Write one thing in detail."""
    perform(_show_one(fetch, panel, out, ask), verbose=out.verbose)


def perform(work: Coroutine[Any, Any, None], *, verbose: bool) -> None:
    """Run a coroutine to its end; with `verbose` it logs to stderr, errors in full."""
    handler = logging.StreamHandler() if verbose else logging.NullHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    level = logger.level
    logger.addHandler(handler)
    try:
        logger.setLevel(logging.DEBUG if verbose else level)
        asyncio.run(work)
    except Exception as error:
        logger.debug("%s", _details(error), exc_info=True)
        raise
    finally:
        logger.setLevel(level)
        logger.removeHandler(handler)


@asynccontextmanager
async def connected(ask: Requests, progress: Watcher) -> AsyncIterator[KeyAPIClient]:
    """A client of the API, or of a sandbox that lives as long.

    Raises:
        CommandError: There is no key, or an option can't be right.
    """
    async with AsyncExitStack() as stack:
        key = url = None
        if ask.sandbox:
            # Here and not above: it takes a web server, which nothing else of the command needs.
            from keyapi_async.sandbox import Sandbox  # noqa: PLC0415

            sandbox = await stack.enter_async_context(Sandbox())
            key, url = sandbox.api_key, sandbox.url
        else:
            _check_key()
        with naming_options(qps="--rate"):
            client = KeyAPIClient(
                key,
                base_url=url,
                qps=ask.rate,
                max_credits=ask.max_credits,
                on_event=progress.on_event,
            )
        progress.usage = client.usage
        yield await stack.enter_async_context(client)


async def _list_items(
    make: Callable[[Trending], Pager[T]], layout: Layout[T], out: Output, ask: Requests
) -> None:
    progress = _progress(layout.noun, out, ask)
    async with connected(ask, progress) as client:
        with naming_options():
            pager = make(client.trending)
        with Sink(out.output, out.format, layout.table) as sink, progress:
            async with aclosing(pager.pages()) as pages:
                async for page in pages:
                    with progress.aside():
                        sink.write(page.items)
                    progress.arrived(len(page.items), pager.total)
        if pager.stop_reason is StopReason.EMPTY_PAGE and not out.quiet:
            say(f"an empty page ended the list: {sink.count} of {pager.total} {layout.noun} came")


async def _show_one(
    fetch: Callable[[Trending], Awaitable[T]],
    panel: Callable[[T], RenderableType],
    out: Output,
    ask: Requests,
) -> None:
    progress = _progress("asking", out, ask)
    async with connected(ask, progress) as client:
        with Sink[T](out.output, out.format, lambda models, _: panel(models[0])) as sink:
            with progress, naming_options():
                model = await fetch(client.trending)
            sink.write([model])


def _progress(noun: str, out: Output, ask: Requests) -> Progress:
    return Progress(noun, quiet=out.quiet, verbose=out.verbose, made_up=ask.sandbox)


def _check_key() -> None:
    key = os.environ.get("KEYAPI_TOKEN", "").strip()
    if not key:
        problem = "no API key: set the environment variable KEYAPI_TOKEN, or try --sandbox"
        raise CommandError(problem, AUTHENTICATION)
    if not key.isprintable():
        problem = "KEYAPI_TOKEN has characters that no key has (a line break, perhaps)"
        raise CommandError(problem, AUTHENTICATION)


def _details(error: Exception) -> str:
    if not isinstance(error, KeyAPIError):
        return "the command failed"
    body = getattr(error, "body", b"")
    return f"{type(error).__name__} params={dict(error.params)} body={body!r}"
