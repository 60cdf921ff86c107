"""What a 429 does to the pace: the pause that all calls share, and the cut if it comes again.

The limit of KeyAPI is not documented, so the configured rate is a guess. The guard keeps a wrong
guess from being punished over and over: it steps down after repeated 429s and climbs back.
"""

from __future__ import annotations

import math

from attrs import define, frozen

RELAPSE = 10.0
"""A refusal within so many seconds after a pause is more than a stray one: the pace is cut."""
QUIET = 4.0
"""Seconds without a refusal before the pace goes up; doubled when going up is punished."""
MAX_QUIET = 60.0
RAISE = 1.07
MIN_PAUSE = 0.1
MIN_PACE = 1.0
"""No cut goes below: the pauses themselves slow it down to that."""


def cut_after(seconds: float) -> float:
    """What is left of the pace when it is refused so many seconds after a pause.

    Servers allow a short burst, and then what the limit is: the sooner it is used up, the
    further is the pace above the limit.
    """
    return min(0.4 + 0.5 * seconds, 0.9)


@frozen(kw_only=True)
class Refusal:
    """A request answered with 429.

    Attributes:
        sent_at: When it was sent, by the guard's clock.
        wait: Seconds that everybody is to wait.
        is_asked: Whether the server named them.
        is_first: Whether it was the first request after a pause: then the server is still
            refusing everything, which tells nothing about the pace.
    """

    sent_at: float
    wait: float
    is_asked: bool = False
    is_first: bool = False


@define(eq=False, repr=False)
class Guard:
    """Pauses after a refusal, and finds a pace the server tolerates. Pure: time is an argument.

    Attributes:
        ceiling: The configured rate, never passed.
        pace: The rate of the moment.
        paused_until: When the last pause ended, or ends.
        changed_at: When the pace last changed or was last refused.
        quiet: Seconds without a refusal before the next raise.
        is_probing: Whether the last change was a raise.
    """

    ceiling: float
    pace: float
    paused_until: float = -math.inf
    changed_at: float = -math.inf
    quiet: float = QUIET
    is_probing: bool = False

    def pause(self, now: float, refusal: Refusal, *, adaptive: bool = True) -> bool:
        """Begin a pause, and cut the pace if there was one not long ago.

        Returns:
            Whether a pause began; False for a refusal that belongs to one already begun.
        """
        until, resumed_at = now + refusal.wait, self.paused_until
        if refusal.sent_at < resumed_at:
            if refusal.is_asked:
                self.paused_until = max(resumed_at, until)
            return False
        self.paused_until = until
        if adaptive:
            self._adapt(now, now - resumed_at, is_first=refusal.is_first)
        return True

    def _adapt(self, now: float, since: float, *, is_first: bool) -> None:
        """Cut the pace, unless the refusal tells nothing about it."""
        is_punished = self.is_probing and now - self.changed_at <= RELAPSE
        self.changed_at = now
        self.is_probing = False
        if is_punished:
            self.quiet = min(self.quiet * 2, MAX_QUIET)
        elif is_first or since > RELAPSE:
            return
        self.pace = max(self.pace * cut_after(since), min(MIN_PACE, self.pace))

    def may_climb(self, now: float) -> bool:
        """Whether it has been quiet long enough to raise the pace; a pause is no quiet."""
        quiet_since = max(self.changed_at, self.paused_until)
        return self.pace < self.ceiling and now - quiet_since >= self.quiet

    def climb(self, now: float) -> bool:
        """Raise the pace by a step if it has been quiet long enough. True if it was raised."""
        if not self.may_climb(now):
            return False
        self.pace = min(self.pace * RAISE, self.ceiling)
        self.changed_at = now
        self.is_probing = True
        return True
