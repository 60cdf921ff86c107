"""`KeyAPIClient`: puts the layers together and owns their life."""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from inspect import iscoroutinefunction
from types import TracebackType
from typing import TYPE_CHECKING, Any, NoReturn, Self
from urllib.parse import urlsplit

from .errors import ConfigurationError, excerpt
from .pacing import Pacer
from .retry import RetryPolicy, to_float
from .session import Session
from .transport import Transport
from .trending import Trending
from .usage import RequestEvent, Usage

if TYPE_CHECKING:
    import aiohttp

DEFAULT_BASE_URL = "https://api.keyapi.ai"

_DEFAULT_RETRY = RetryPolicy()


class KeyAPIClient:
    """Client of KeyAPI for one event loop; safe to use from many tasks at once.

    Use it as `async with KeyAPIClient() as client:`, or call `close()` when done.

    Args:
        api_key: The API key; by default the environment variable KEYAPI_TOKEN.
        base_url: Where the API is; by default KEYAPI_BASE_URL, else https://api.keyapi.ai.
            `http://` is accepted for this machine alone.
        qps: The most requests per second; `math.inf` switches pacing off. Default 10.
        adaptive: Step down on repeated 429s and climb back. Default True.
        margin: Share of `qps` left unused for the jitter of the path. Default 0.03.
        limiter: Entered (`async with`) for each attempt instead of pacing by `qps`, to share one
            limit between clients or machines; `qps`, `margin` and `adaptive` then don't matter.
            A 429 still pauses this client.
        timeout: Seconds for one attempt; waiting for its slot is not counted. Default 30.
        retry: When to try again.
        max_credits: Never spend more than this in this client's life; what may have been
            billed counts as spent. By default no limit.
        session: An aiohttp session to use, for a proxy or certificates. It is never closed; its
            headers, cookies and `raise_for_status` have no effect on our requests.
        trace_configs: aiohttp trace configs for the client's own session.
        on_event: Called with a `RequestEvent` for each attempt, retry, pause and change of pace.

    Attributes:
        trending: The trending endpoints.
        usage: Running counts of requests and credits.

    Raises:
        ConfigurationError: No key, a bad `base_url`, or a value out of range.
    """

    def __init__(
        self,
        api_key: str | None = None,
        *,
        base_url: str | None = None,
        qps: float = 10.0,
        adaptive: bool = True,
        margin: float = 0.03,
        limiter: AbstractAsyncContextManager[Any] | None = None,
        timeout: float = 30.0,
        retry: RetryPolicy = _DEFAULT_RETRY,
        max_credits: int | None = None,
        session: aiohttp.ClientSession | None = None,
        trace_configs: Sequence[aiohttp.TraceConfig] = (),
        on_event: Callable[[RequestEvent], None] | None = None,
    ) -> None:
        key = _api_key(api_key)
        url = _base_url(base_url)
        _number("qps", qps, "above 0, or math.inf", ok=lambda value: value > 0)
        _number("margin", margin, "from 0 to below 1", ok=lambda value: 0 <= value < 1)
        _number("timeout", timeout, "of seconds above 0", ok=lambda value: value > 0)
        if max_credits is not None:
            _number(
                "max_credits",
                max_credits,
                "of credits, whole and not negative, or None",
                ok=lambda value: isinstance(max_credits, int) and value >= 0,
            )
        if not isinstance(retry, RetryPolicy):
            raise ConfigurationError(f"retry must be a RetryPolicy, not {excerpt(retry)}")
        if limiter is not None and not isinstance(limiter, AbstractAsyncContextManager):
            raise ConfigurationError(f"limiter must work with `async with`, not {excerpt(limiter)}")
        if on_event is not None and (not callable(on_event) or iscoroutinefunction(on_event)):
            raise ConfigurationError(
                f"on_event must be a plain function (not a coroutine's), not {excerpt(on_event)}"
            )
        if session is not None and trace_configs:
            raise ConfigurationError(
                "trace_configs goes with the client's own session: give it to yours instead"
            )
        self._qps = qps
        self._base_url = url
        self._session = Session(
            Transport(
                api_key=key,
                base_url=url,
                timeout=timeout,
                http=session,
                trace_configs=trace_configs,
            ),
            Pacer(qps, margin=margin, adaptive=adaptive, limiter=limiter),
            retry,
            max_credits=max_credits,
            on_event=on_event,
        )
        self.trending = Trending(self._session)

    @property
    def usage(self) -> Usage:
        """Running counts of requests and credits."""
        return self._session.usage

    async def close(self) -> None:
        """Close the connections; calls still waiting fail with ClientClosedError."""
        await self._session.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        await self.close()

    def __repr__(self) -> str:
        state = " closed" if self._session.closed else ""
        return f"<KeyAPIClient {self._base_url} qps={self._qps:g}{state}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            "a KeyAPIClient can't be pickled or copied: it holds your API key and open "
            "connections; make one in each process"
        )


def _number(name: str, value: object, allowed: str, *, ok: Callable[[float], bool]) -> None:
    if not ok(to_float(value)):
        raise ConfigurationError(f"{name} must be a number {allowed}, not {excerpt(value)}")


def _api_key(given: str | None) -> str:
    key = os.environ.get("KEYAPI_TOKEN", "") if given is None else given
    if not isinstance(key, str) or not key.strip():
        raise ConfigurationError(
            "no API key: pass api_key= or set the environment variable KEYAPI_TOKEN"
        )
    key = key.strip()
    if not key.isprintable():
        raise ConfigurationError(
            "the API key has characters that no header can hold (a line break, perhaps)"
        )
    return key


def _base_url(given: str | None) -> str:
    url = given or os.environ.get("KEYAPI_BASE_URL") or DEFAULT_BASE_URL
    problem = ""
    try:
        problem = _url_problem(url)
    except ValueError as error:
        problem = str(error)
    if problem:
        raise ConfigurationError(f"bad base_url (or KEYAPI_BASE_URL): {problem}")
    return url.rstrip("/")


def _url_problem(url: str) -> str:
    if not isinstance(url, str) or re.search(r"[^!-~]|\\", url):
        return "it must be text, plain ASCII without spaces or backslashes"
    parts = urlsplit(url)
    if parts.username is not None or parts.password is not None:
        return "it must not hold a user name or password"
    if "?" in url or "#" in url:
        return "it must not hold a query or a fragment"
    if parts.scheme not in ("https", "http") or not parts.hostname or parts.port == 0:
        return f"it must look like {DEFAULT_BASE_URL}, not {url!r}"
    parts.hostname.encode("idna")  # a ValueError if no such host can be
    if parts.scheme == "http" and not _is_loopback(parts.hostname):
        return f"http:// would send the key in the clear to {parts.hostname}; use https://"
    return ""


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
