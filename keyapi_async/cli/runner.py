"""What a command runs in: an event loop, a log, a client."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

from keyapi_async import KeyAPIClient, KeyAPIError, ResponseCache
from keyapi_async.cli.display import Display
from keyapi_async.cli.failures import AUTHENTICATION, CommandError
from keyapi_async.cli.messages import printable
from keyapi_async.cli.options import Requests
from keyapi_async.cli.signals import on_signal

logger = logging.getLogger("keyapi_async")


def perform(work: Coroutine[Any, Any, None], *, verbose: bool) -> None:
    """Run a coroutine to its end, or until a signal cancels it.

    Raises:
        KeyboardInterrupt: There was a signal.
    """

    async def run() -> None:
        task = asyncio.current_task()
        with on_signal(lambda _: task and task.cancel()):
            await work

    with logging_to_stderr(verbose=verbose):
        try:
            asyncio.run(run())
        except asyncio.CancelledError:
            raise KeyboardInterrupt from None


# -- the log -----------------------------------------------------------------------------------


class _Formatter(logging.Formatter):
    """Lines without what a server could do to a terminal."""

    def format(self, record: logging.LogRecord) -> str:
        return "\n".join(map(printable, super().format(record).split("\n")))


@contextmanager
def logging_to_stderr(*, verbose: bool) -> Iterator[None]:
    """If `verbose`, log requests to stderr, and the details of an error."""
    if not verbose:
        yield
        return
    handler = logging.StreamHandler()
    handler.setFormatter(_Formatter("%(asctime)s %(levelname)s %(message)s"))
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    try:
        yield
    except Exception as error:
        params = dict(error.params) if isinstance(error, KeyAPIError) else {}
        body = getattr(error, "body", b"")
        logger.debug("%s params=%s body=%r", type(error).__name__, params, body, exc_info=True)
        raise
    finally:
        logger.setLevel(level)
        logger.removeHandler(handler)


# -- the client --------------------------------------------------------------------------------


@asynccontextmanager
async def open_client(
    requests: Requests, display: Display, reuse: float | None = None
) -> AsyncIterator[KeyAPIClient]:
    """A client of the API, or of a sandbox that is stopped with it.

    Args:
        requests: How to ask.
        display: Told what the client does.
        reuse: Take responses no older than so many seconds from the user's cache.

    Raises:
        CommandError: There is no key.
        ConfigurationError: KEYAPI_BASE_URL can't be right.
    """
    async with AsyncExitStack() as stack:
        key = url = None
        if requests.sandbox:
            # Here and not above: it takes a web server, which nothing else of the command needs.
            from keyapi_async.sandbox import Sandbox  # noqa: PLC0415

            display.tell("sandbox", "asking a sandbox: the data is made up, no key is used")
            sandbox = await stack.enter_async_context(Sandbox())
            key, url = sandbox.api_key, sandbox.url
        else:
            _check_key()
        if requests.share is None and requests.max_credits and requests.max_credits.per:
            display.tell("budget", "without --share, --max-credits counts this run alone")
        client = KeyAPIClient(
            key,
            base_url=url,
            qps=requests.rate,
            share=requests.share,
            max_credits=requests.max_credits,
            cache=None if reuse is None else ResponseCache(reuse, path=_cache_file()),
            on_event=display.on_event,
        )
        display.usage = client.usage
        yield await stack.enter_async_context(client)


def _cache_file() -> Path:
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "keyapi")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder / "responses.sqlite"


def _check_key() -> None:
    key = os.environ.get("KEYAPI_TOKEN", "").strip()
    if not key:
        problem = "no API key: set the environment variable KEYAPI_TOKEN, or try --sandbox"
        raise CommandError(problem, AUTHENTICATION)
    if not key.isprintable():
        problem = "KEYAPI_TOKEN has characters that no key has (a line break)"
        raise CommandError(problem, AUTHENTICATION)
