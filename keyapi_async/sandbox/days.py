"""Which day it is in a sandbox."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime, timedelta
from typing import Final

from attrs import define

FIRST_DAY: Final = date(2026, 2, 2)
"""The day of a sandbox that is told none: its data is the same on any day."""

_EPOCH: Final = date(1970, 1, 1)


def is_date(value: object) -> bool:
    """Whether this is a date, without a time of day."""
    return isinstance(value, date) and not isinstance(value, datetime)


def count_days(day: date) -> int:
    """Return the days since 1970-01-01.

    Raises:
        ValueError: It isn't a date.
    """
    if not is_date(day):
        raise ValueError(f"day must be a date; got {day!r}")
    return (day - _EPOCH).days


@define(eq=False)
class Calendar:
    """A day; with a clock, the next one begins every so many seconds."""

    _began: tuple[date, float]
    """A day, and when it began by the clock; in one piece, for other threads."""
    _clock: Callable[[], float] | None = None

    def find_day(self, seconds: float | None) -> date:
        """Return the day it is, when a day has so many seconds; None for one without end."""
        day, began = self._began
        if seconds is None or self._clock is None:
            return day
        return day + timedelta(days=(self._clock() - began) // seconds)

    def begin(self, day: date) -> None:
        """Let a day begin now."""
        self._began = day, 0.0 if self._clock is None else self._clock()

    def follow(self, clock: Callable[[], float] | None, day: date) -> None:
        """Let a day begin now by another clock; without one it doesn't end."""
        self._clock = clock
        self.begin(day)
