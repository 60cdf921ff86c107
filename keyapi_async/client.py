"""`KeyAPIClient`: puts the layers together and owns their life."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from inspect import iscoroutinefunction
from types import EllipsisType, TracebackType
from typing import TYPE_CHECKING, Any, NoReturn, Self
from urllib.parse import urlsplit

from .budget import CreditBudget
from .cache import Cache, ResponseCache
from .errors import ConfigurationError, ParameterError, excerpt
from .retry import RetryPolicy, to_float
from .trending import Trending
from .usage import RequestEvent, Usage

if TYPE_CHECKING:
    import aiohttp

    from .session import Session

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
        limiter: Entered (`async with`) for each attempt instead of pacing by `qps`, and left when
            the attempt has ended; `qps`, `margin` and `adaptive` then don't matter. What it raises
            on entering reaches the caller, and nothing is sent. A 429 still pauses this client.
        share: `file:PATH` (made if it isn't there) or `redis://HOST`: all processes that name it
            with the same key have one pace, one pause and, where `max_credits` is a `CreditBudget`
            with `per`, one budget. Of differing `qps` or budgets the smaller holds. Redis takes
            `pip install 'keyapi-async[redis]'`.
        timeout: Seconds for one attempt; waiting for its slot is not counted. Default 30.
        retry: When to try again.
        max_credits: Never spend more than this in this client's life, or a `CreditBudget`; what
            may have been billed counts as spent. By default no limit.
        cache: Keep responses there: a `ResponseCache`, or anything that is a `Cache`. Equal
            calls under way are then one request. By default every call is sent.
        allow_unknown: Take a `region` that looks like a misspelt known one. Default False.
        session: An aiohttp session to use, for a proxy or certificates. It is never closed; its
            headers, cookies and `raise_for_status` have no effect on our requests, its
            middlewares run.
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
        share: str | None = None,
        timeout: float = 30.0,
        retry: RetryPolicy = _DEFAULT_RETRY,
        max_credits: int | CreditBudget | None = None,
        cache: ResponseCache | Cache | None = None,
        allow_unknown: bool = False,
        session: aiohttp.ClientSession | None = None,
        trace_configs: Sequence[aiohttp.TraceConfig] = (),
        on_event: Callable[[RequestEvent], None] | None = None,
    ) -> None:
        key, url = _find_key(api_key), base_url or _address()
        problem = (
            _key_problem(key)
            or _address_problem(url)
            or _number("qps", qps, "of at least 0.000001, or math.inf", low=1e-6)
            or _number("margin", margin, "from 0 to below 1", low=0.0, below=1.0)
            or _call_problem(timeout=timeout, retry=retry, max_credits=max_credits, cache=cache)
            or _hook_problem(limiter, session, trace_configs, on_event)
            or _share_problem(share, qps, limiter)
        )
        made: Session | None = None
        if not problem:
            # Not above: aiohttp and cattrs take as long to load as all the rest. Not later: a
            # program starts up here, while a request would lose its slot and its time by it.
            from .assembly import make_session  # noqa: PLC0415

            try:
                made = make_session(
                    key,
                    url.rstrip("/"),
                    qps=qps,
                    adaptive=adaptive,
                    margin=margin,
                    limiter=limiter,
                    share=share,
                    timeout=timeout,
                    retry=retry,
                    budget=_budget(max_credits),
                    cache=cache,
                    http=session,
                    trace_configs=trace_configs,
                    on_event=on_event,
                )
            except ConfigurationError as error:
                problem = str(error)
        if made is None:
            # Or tracebacks that show local variables would show the key, or a URL's password.
            api_key = key = base_url = url = share = ""
            raise ConfigurationError(problem)
        self._qps = qps
        self._allow_unknown = allow_unknown
        self._set_up(made)

    def _set_up(self, session: Session) -> None:
        self._session = session
        self.trending = Trending(session, allow_unknown=self._allow_unknown)

    def with_options(
        self,
        *,
        timeout: float | None = None,
        deadline: float | None = None,
        retry: RetryPolicy | None = None,
        max_credits: int | CreditBudget | None = None,
        priority: float | None = None,
        cache: ResponseCache | Cache | EllipsisType | None = ...,
    ) -> Self:
        """A client whose calls are made in another way: what is given differs, the rest is shared.

        Connections, pace, pause, budget and cache are those of this client; closing this one
        closes all, and there is nothing else to close.

        Args:
            timeout: Seconds for one attempt.
            deadline: Seconds for a whole call, waiting and retries included; for a pager, per
                page. `DeadlineError` tells when it can't be kept.
            retry: When to try again.
            max_credits: Limits what the calls of the new client may cost, beside this one's.
            priority: Calls of a higher one go first, among equals first come, first served.
                Default 0.
            cache: Keep responses there; None for nowhere.

        Returns:
            The client; its `usage` counts its own calls alone, which are in this one's, too.

        Raises:
            ConfigurationError: A value can't be right.
        """
        session, before = self._session, self._session.options
        problem = _call_problem(
            timeout=before.timeout if timeout is None else timeout,
            retry=before.retry if retry is None else retry,
            max_credits=max_credits,
            cache=None if cache is ... else cache,
            deadline=deadline,
            priority=priority,
        )
        if problem:
            raise ConfigurationError(problem)
        from .assembly import use_cache  # noqa: PLC0415 - loaded when the first client was made

        options = type(before)(
            timeout=before.timeout if timeout is None else timeout,
            deadline=before.deadline if deadline is None else deadline,
            retry=before.retry if retry is None else retry,
            priority=before.priority if priority is None else priority,
            cache=before.cache if cache is ... else use_cache(cache, session.pool),
        )
        made = object.__new__(type(self))
        made._qps, made._allow_unknown = self._qps, self._allow_unknown
        budget = _budget(max_credits)
        made._set_up(type(session)(session.pool, options, budget=budget, parent=session))
        return made

    @property
    def usage(self) -> Usage:
        """Running counts of requests and credits."""
        usage, pool = self._session.usage, self._session.pool
        usage.pace = pool.pacer.pace  # another client of the pool may have changed it
        return usage

    async def close(self, drain: float = 0.0) -> None:
        """Close the connections; calls still under way fail with ClientClosedError.

        What `with_options` made is closed with the client it was made of; closing it by itself
        does nothing.

        Args:
            drain: Seconds that they are given to end before; no new ones may begin.

        Raises:
            ClientClosedError: It is used in another event loop.
            ParameterError: `drain` can't be right.
        """
        if not to_float(drain) >= 0:
            raise ParameterError("drain", drain, "a number of seconds of at least 0")
        if self._session.parent is None:
            await self._session.pool.close(drain)

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
        session: Session | None = getattr(self, "_session", None)
        if session is None:
            return "<KeyAPIClient that could not be made>"
        state = " closed" if session.pool.closed else ""
        return f"<KeyAPIClient {session.pool.transport.base_url} qps={self._qps:g}{state}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            "a KeyAPIClient can't be pickled or copied: it holds your API key and open "
            "connections; make one in each process"
        )


def _number(name: str, value: object, allowed: str, *, low: float, below: float = math.inf) -> str:
    """What is wrong with a number, if something is; one above `low` may be infinite."""
    number = to_float(value)
    is_right = low <= number < below or (number == below == math.inf)
    return "" if is_right else f"{name} must be a number {allowed}, not {excerpt(value)}"


def _call_problem(
    *,
    timeout: object,
    retry: object,
    max_credits: object,
    cache: object,
    deadline: object = None,
    priority: object = None,
) -> str:
    """What is wrong with the options of calls, if something is."""
    budget = max_credits
    if budget is not None and not isinstance(budget, CreditBudget):
        is_whole = isinstance(budget, int) and not isinstance(budget, bool) and budget >= 0
        if not is_whole:
            allowed = "a whole number of credits that is not negative, a CreditBudget, or None"
            return f"max_credits must be {allowed}, not {excerpt(budget)}"
    if not isinstance(retry, RetryPolicy):
        return f"retry must be a RetryPolicy, not {excerpt(retry)}"
    if cache is not None and not isinstance(cache, Cache):
        return f"cache must have the coroutines get and set, not be {excerpt(cache)}"
    if deadline is not None and (problem := _seconds("deadline", deadline)):
        return problem
    if priority is not None and not math.isfinite(to_float(priority)):
        return f"priority must be a number, not {excerpt(priority)}"
    return _seconds("timeout", timeout)


def _seconds(name: str, value: object) -> str:
    return _number(name, value, "of seconds above 0", low=5e-324)


def _hook_problem(limiter: object, session: object, trace_configs: object, on_event: object) -> str:
    """What is wrong with what a program lends to the client, if something is."""
    if limiter is not None and not isinstance(limiter, AbstractAsyncContextManager):
        return f"limiter must work with `async with`, not {excerpt(limiter)}"
    if on_event is not None and (not callable(on_event) or iscoroutinefunction(on_event)):
        return f"on_event must be a plain function (not a coroutine's), not {excerpt(on_event)}"
    if session is not None:
        import aiohttp  # noqa: PLC0415 - whoever has a session has loaded it

        if not isinstance(session, aiohttp.ClientSession):
            return f"session must be an aiohttp.ClientSession, not {excerpt(session)}"
        if trace_configs:
            return "trace_configs goes with the client's own session: give it to yours instead"
    return ""


def _share_problem(share: object, qps: float, limiter: object) -> str:
    """What is wrong with sharing a pace, if something is."""
    if share is None:
        return ""
    if limiter is not None:
        return "share and limiter exclude each other: both say how fast requests leave"
    return "share needs a pace: qps can't be math.inf" if math.isinf(qps) else ""


def _budget(max_credits: int | CreditBudget | None) -> CreditBudget | None:
    return CreditBudget(max_credits) if isinstance(max_credits, int) else max_credits


def _find_key(given: object) -> str:
    key = os.environ.get("KEYAPI_TOKEN", "") if given is None else given
    return key.strip() if isinstance(key, str) else ""


def _key_problem(key: str) -> str:
    if not key:
        return "no API key: pass api_key= or set the environment variable KEYAPI_TOKEN"
    if not key.isprintable():
        return "the API key has characters that no header can hold (a line break, perhaps)"
    return ""


def _address() -> str:
    names = ("KEYAPI_BASE_URL", "KEYAPI_API_BASE_URL")
    return next(filter(None, map(os.environ.get, names)), DEFAULT_BASE_URL)


def _address_problem(url: object) -> str:
    try:
        problem = _url_problem(url)
    except ValueError as error:
        problem = str(error)
    return f"bad base_url (or KEYAPI_BASE_URL): {problem}" if problem else ""


def _url_problem(url: object) -> str:
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
    import ipaddress  # noqa: PLC0415 - for few

    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
