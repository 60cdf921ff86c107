"""The calendar of a sandbox."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime, timedelta
from typing import Final

from attrs import define

FIRST_DAY: Final = date(2026, 2, 2)
"""The default day: without a day given, the data never changes."""

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
    """The current day; with a clock, days pass."""

    _began: tuple[date, float]
    """A day, and when it began by the clock; one tuple, as threads share it."""
    _clock: Callable[[], float] | None = None

    def find_day(self, seconds: float | None) -> date:
        """Return the current day, for days of that many seconds; None if days don't pass."""
        day, began = self._began
        if seconds is None or self._clock is None:
            return day
        return day + timedelta(days=(self._clock() - began) // seconds)

    def begin(self, day: date) -> None:
        """Begin a day now."""
        self._began = day, 0.0 if self._clock is None else self._clock()

    def follow(self, clock: Callable[[], float] | None, day: date) -> None:
        """Begin a day now by another clock; without one it doesn't end."""
        self._clock = clock
        self.begin(day)
