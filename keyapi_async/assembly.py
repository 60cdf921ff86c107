"""Puts the layers of a client together.

The client loads it when it is made: aiohttp and cattrs, which all this takes, take their time.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any

import aiohttp

from .budget import CreditBudget
from .cache import Cache, ResponseCache
from .cached_calls import CallCache
from .converter import get_converter
from .guard import Guard
from .pacing import LentLimiter, Limit, OwnPace, Pacer
from .pool import Pool
from .retry import RetryPolicy
from .session import CallOptions, Session
from .transport import Transport
from .usage import RequestEvent


def make_session(
    key: str,
    url: str,
    *,
    qps: float,
    adaptive: bool,
    margin: float,
    limiter: AbstractAsyncContextManager[Any] | None,
    share: str | None,
    timeout: float,
    retry: RetryPolicy,
    budget: CreditBudget | None,
    cache: Cache | None,
    http: aiohttp.ClientSession | None,
    trace_configs: Sequence[aiohttp.TraceConfig],
    on_event: Callable[[RequestEvent], None] | None,
) -> Session:
    """Make a session with a pool of its own, of arguments that `KeyAPIClient` has checked.

    Raises:
        ConfigurationError: `share` can't be right.
    """
    get_converter()  # else the first call would pay for it
    rate = qps if limiter is None else math.inf
    guard = Guard(ceiling=rate, pace=rate)
    limit: Limit
    if limiter is not None:
        limit = LentLimiter(limiter)
    elif share is not None:
        from .sharing import SharedPace, open_store, share_name  # noqa: PLC0415 - for few

        store = open_store(share, share_name(key, url))
        rolling = budget if budget is not None and budget.per is not None else None
        limit = SharedPace(store, guard, margin=margin, adaptive=adaptive, budget=rolling)
    else:
        limit = OwnPace(guard, margin)
    transport = Transport(api_key=key, base_url=url, http=http, trace_configs=trace_configs)
    pool = Pool(transport, Pacer(guard, limit, adaptive=adaptive), on_event)
    options = CallOptions(timeout=timeout, retry=retry, cache=use_cache(cache, pool))
    return Session(pool, options, budget=budget)


def use_cache(cache: Cache | None, pool: Pool) -> CallCache | None:
    """Have a pool's calls use a cache, and the pool close it if it is ours."""
    if cache is None:
        return None
    if isinstance(cache, ResponseCache):
        pool.caches.add(cache)
    return CallCache(cache, base_url=pool.transport.base_url, api_key=pool.transport.secret)
