"""QPS limiters as real servers have them; the API doesn't document its own."""

from __future__ import annotations

import math
from collections import deque
from typing import Final, Literal, TypeAlias, get_args

from attrs import define, field

Window: TypeAlias = Literal["sliding", "fixed", "leaky"]
WINDOWS: Final[tuple[str, ...]] = get_args(Window)

# Float clock readings are off by less than this, which must not refuse a request.
_ROUNDING = 1e-6


@define
class SlidingWindow:
    """At most `capacity` requests in any `seconds`; refused ones don't count."""

    capacity: int
    seconds: float
    _admitted: deque[float] = field(factory=deque, init=False)

    def admits(self, now: float) -> bool:
        """Forget what left the window, then look for room."""
        while self._admitted and now - self._admitted[0] >= self.seconds - _ROUNDING:
            self._admitted.popleft()
        if len(self._admitted) >= self.capacity:
            return False
        self._admitted.append(now)
        return True


@define
class FixedWindow:
    """At most `capacity` requests between two ticks of the clock; refused ones don't count."""

    capacity: int
    seconds: float
    _window: int = field(default=-1, init=False)
    _admitted: int = field(default=0, init=False)

    def admits(self, now: float) -> bool:
        """Count from zero in each window."""
        window = math.floor((now + _ROUNDING) / self.seconds)
        if window != self._window:
            self._window, self._admitted = window, 0
        if self._admitted >= self.capacity:
            return False
        self._admitted += 1
        return True


@define
class LeakyBucket:
    """nginx's `limit_req rate=<qps>r/s burst=<burst> nodelay`; refused ones don't count."""

    qps: float
    burst: int
    _excess: float = field(default=0.0, init=False)
    _last: float | None = field(default=None, init=False)

    def admits(self, now: float) -> bool:
        """Drain the bucket, then see whether one more request would make it overflow."""
        excess = 0.0
        if self._last is not None:
            excess = max(0.0, self._excess - self.qps * (now - self._last) + 1)
        if excess > self.burst + _ROUNDING:
            return False
        self._excess, self._last = excess, now
        return True


Limiter: TypeAlias = SlidingWindow | FixedWindow | LeakyBucket


def make_limiter(qps: float | None, window: Window, burst: int) -> Limiter | None:
    """Return a limiter of that kind; None when there is no limit."""
    if qps is None:
        return None
    if window == "leaky":
        return LeakyBucket(qps=qps, burst=burst)
    # A rate that is no whole number still allows whole requests: 0.5/s is one every two seconds.
    capacity = max(1, math.floor(qps))
    kind = SlidingWindow if window == "sliding" else FixedWindow
    return kind(capacity=capacity, seconds=capacity / qps)
