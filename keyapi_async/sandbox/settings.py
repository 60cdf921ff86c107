"""The settings of a sandbox, checked when it is made and at each change."""

from __future__ import annotations

import ipaddress
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import date
from typing import Any, Final

from attrs import Attribute, define, field

from .days import FIRST_DAY, Calendar, is_date
from .endpoints import find_endpoint, find_list
from .faults import Fault
from .limits import WINDOWS, Window

_MAX_PORT: Final = 65_535


def check_change(settings: Settings, attribute: Attribute[Any], value: Any) -> Any:
    """Check a new value of a setting.

    Raises:
        AttributeError: A setting that can't be changed any more.
        ValueError: A value that can't be right.
    """
    name = attribute.alias or attribute.name
    if not attribute.init:
        return value
    if name in _FIXED:
        raise AttributeError(f"{name} can't be changed; make a new Sandbox")
    _check({"faults": settings.faults, "fault_rate": settings.fault_rate, name: value})
    if name == "day_seconds":
        settings.day = settings.day  # the time passed so far was at the old pace
    return value


@define(kw_only=True, eq=False, on_setattr=check_change)
class Settings:
    """How the sandbox behaves; every value has a default.

    All but host, port, api_key, seed and keepalive may be changed while it runs, from any thread;
    a change holds from the next request on.

    Raises:
        ValueError: A value that can't be right.
    """

    host: str = "127.0.0.1"
    """Where to listen; a loopback address, so that no other machine reaches it."""
    port: int = 0
    """0 takes any free port."""
    api_key: str = field(default="sandbox-key", repr=False)
    """The one key that is not answered with 401."""
    qps: float | None = None
    """Requests per second before a 429; None for no limit."""
    window: Window = "sliding"
    """How the limit is kept: in any second, per second of the clock, or as nginx does."""
    burst: int = 0
    """How many requests may arrive too early (`leaky` only)."""
    retry_after: str | None = None
    """The `Retry-After` header of a 429."""
    latency: float | tuple[float, float] = 0.0
    """Seconds before an answer; a pair is a range to draw from."""
    credits: int | None = None
    """What the account held at the start; a request costs 2. None for as many as it takes."""
    forbidden: Collection[str] = ()
    """Endpoints (names or paths) the key may not call: 403."""
    retired: Collection[str] = ()
    """Endpoints (names or paths) whose source is gone: code 0 with `data` null."""
    totals: Mapping[str, int] = field(factory=dict)
    """Lengths of the unfiltered lists by endpoint (name or path)."""
    seed: int = 0
    """Other data, latencies and chance faults."""
    _day: date = field(default=FIRST_DAY, alias="day")
    day_seconds: float | None = None
    """Seconds of the event loop's clock until the next day begins; None: it doesn't."""
    faults: Sequence[Fault] = ()
    """Faults that may happen to a request by chance."""
    fault_rate: float = 0.0
    """The share of requests they happen to, from 0 to 1."""
    bill_faults: bool = False
    """Whether requests that failed on the server's side are billed all the same."""
    keepalive: float = 75.0
    """Seconds until an idle connection is closed."""

    _calendar: Calendar = field(init=False, repr=False)

    @property
    def day(self) -> date:
        """The current day; the lists drift from day to day.

        Setting it begins that day. Requests are answered by the day of their arrival.
        """
        return self._calendar.find_day(self.day_seconds)

    @day.setter
    def day(self, value: date) -> None:
        self._day = value
        self._calendar.begin(value)

    @property
    def latency_range(self) -> tuple[float, float]:
        """The least and the longest latency."""
        return _range(self.latency)

    def __attrs_post_init__(self) -> None:
        """Refuse values that can't be right."""
        self._calendar = Calendar((self._day, 0.0))
        _check({name: getattr(self, name) for name in (*_RULES, "faults")})


_FIXED: Final = frozenset({"host", "port", "api_key", "seed", "keepalive"})


def _check(values: Mapping[str, Any]) -> None:
    for name, value in values.items():
        rule, is_right = _RULES.get(name, ("", lambda _: True))
        try:
            right = is_right(value)
        except (TypeError, ValueError, AttributeError):
            right = False
        if not right:
            raise ValueError(f"{name} must be {rule}; got {value!r}")
    if values["fault_rate"] and not values["faults"]:
        raise ValueError(f"faults must be given with fault_rate; got {values['faults']!r}")


def _range(latency: float | tuple[float, float]) -> tuple[float, float]:
    return latency if isinstance(latency, tuple) else (latency, latency)


def _is_latency(value: float | tuple[float, float]) -> bool:
    low, high = _range(value)
    return 0 <= low <= high < math.inf


def _is_rate(value: float | None) -> bool:
    return value is None or 0 < value < math.inf


def _is_count(value: object) -> bool:
    return isinstance(value, int) and value >= 0


_ENDPOINTS: Final = (
    "a collection of endpoints (names or paths)",
    lambda value: all(find_endpoint(each) for each in value),
)
_RULES: Final[dict[str, tuple[str, Callable[[Any], bool]]]] = {
    "host": (
        "a loopback address",
        lambda host: host == "localhost" or ipaddress.ip_address(host).is_loopback,
    ),
    "port": (f"from 0 to {_MAX_PORT}", lambda port: 0 <= port <= _MAX_PORT),
    "qps": ("above 0, or None", _is_rate),
    "window": (f"one of {', '.join(WINDOWS)}", WINDOWS.__contains__),
    "burst": ("0 or more", _is_count),
    "latency": ("0 or more, or a (low, high) pair of such", _is_latency),
    "credits": ("0 or more, or None", lambda value: value is None or _is_count(value)),
    "forbidden": _ENDPOINTS,
    "retired": _ENDPOINTS,
    "totals": (
        "lengths, 0 or more, by list endpoint (name or path)",
        lambda totals: all(find_list(key) and _is_count(n) for key, n in totals.items()),
    ),
    "day": ("a date", is_date),
    "day_seconds": ("above 0, or None", _is_rate),
    "fault_rate": ("from 0 to 1", lambda rate: 0 <= rate <= 1),
    "keepalive": ("0 or more", lambda seconds: seconds >= 0),
}
