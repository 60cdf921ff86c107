"""What a sandbox can be told; checked when it is made."""

from __future__ import annotations

import ipaddress
import math
from collections.abc import Collection, Mapping, Sequence

from attrs import define, field

from keyapi_async.sandbox.endpoints import find_endpoint, find_paths
from keyapi_async.sandbox.faults import Fault
from keyapi_async.sandbox.limits import Window

_WINDOWS = ("sliding", "fixed", "leaky")
_MAX_PORT = 65_535


@define(kw_only=True, eq=False)
class Settings:
    """How the sandbox behaves; every value has a default.

    Raises:
        ValueError: A value that can't be right.
    """

    host: str = "127.0.0.1"
    """Where to listen; a loopback address, as there is nothing here for anybody else."""
    port: int = 0
    """0 takes any free port."""
    api_key: str = field(default="sandbox-key", repr=False)
    """The one key that is not answered with 401."""
    qps: float | None = None
    """Requests per second before a 429; None for no limit."""
    window: Window = "sliding"
    """How the limit is kept: in any second, per second of the clock, or as nginx does."""
    burst: int = 0
    """How many requests may come too early (``leaky`` only)."""
    retry_after: str | None = None
    """The ``Retry-After`` header of a 429."""
    latency: float | tuple[float, float] = 0.0
    """Seconds before an answer; a pair is a range to draw from."""
    credits: int | None = None
    """What the account holds; a request costs 2. None for as many as it takes."""
    forbidden: Collection[str] = ()
    """Endpoints (names or paths) the key may not call: 403."""
    retired: Collection[str] = ()
    """Endpoints (names or paths) whose source is gone: code 0 with ``data`` null."""
    totals: Mapping[str, int] = field(factory=dict)
    """Lengths of the unfiltered lists by endpoint (name or path)."""
    seed: int = 0
    """Other data, latencies and chance faults."""
    faults: Sequence[Fault] = ()
    """What may happen to a request by chance."""
    fault_rate: float = 0.0
    """How often it does, from 0 to 1."""
    bill_faults: bool = False
    """Whether requests that failed on the server's side are billed all the same."""
    keepalive: float = 75.0
    """Seconds until an idle connection is closed."""

    def __attrs_post_init__(self) -> None:
        """Refuse values that can't be right."""
        low, high = self.latency_range
        allowed = {
            "host": (_is_loopback(self.host), "a loopback address"),
            "port": (0 <= self.port <= _MAX_PORT, f"from 0 to {_MAX_PORT}"),
            "qps": (self.qps is None or 0 < self.qps < math.inf, "above 0, or None"),
            "window": (self.window in _WINDOWS, f"one of {', '.join(_WINDOWS)}"),
            "burst": (self.burst >= 0, "0 or more"),
            "latency": (0 <= low <= high < math.inf, "0 or more, or a (low, high) pair of such"),
            "credits": (self.credits is None or self.credits >= 0, "0 or more, or None"),
            "totals": (min(self.totals.values(), default=0) >= 0, "0 or more each"),
            "fault_rate": (0 <= self.fault_rate <= 1, "from 0 to 1"),
            "faults": (bool(self.faults) or not self.fault_rate, "given with fault_rate"),
            "keepalive": (self.keepalive >= 0, "0 or more"),
        }
        for name, (is_right, rule) in allowed.items():
            if not is_right:
                raise ValueError(f"{name} must be {rule}; got {getattr(self, name)!r}")
        find_paths((*self.forbidden, *self.retired))
        for endpoint in map(find_endpoint, self.totals):
            if endpoint.items_key is None:
                raise ValueError(f"totals must be for lists; got {endpoint.name!r}")

    @property
    def latency_range(self) -> tuple[float, float]:
        """The least and the longest latency."""
        if isinstance(self.latency, tuple):
            return self.latency
        return self.latency, self.latency


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
