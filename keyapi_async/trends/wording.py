"""Moves, queries and numbers in words, for people."""

from __future__ import annotations

from datetime import date
from typing import Any, Final

from keyapi_async.converter import wire_params
from keyapi_async.queries import ListQuery
from keyapi_async.reference import INDUSTRIES

from .movers import Move

MAX_NAME: Final = 70
"""Longer names are cut."""

_ARROWS: Final = {"risen": "▲", "fallen": "▼"}


def change_text(move: Move) -> str:
    """How an item moved, in a few characters."""
    if move.kind in _ARROWS:
        return f"{_ARROWS[move.kind]}{abs(move.change)}"
    return "=" if move.kind == "same" else move.kind


def region_of(query: ListQuery[Any]) -> str:
    """The region's code; empty if the endpoint knows none."""
    return str(getattr(query, "region", ""))


def region_name(query: ListQuery[Any]) -> str:
    """The region's name, as far as it is known."""
    return query.regions.get(region_of(query), region_of(query)) or "Everywhere"


def period_of(query: ListQuery[Any]) -> str:
    """The period in days; empty if the endpoint knows none."""
    return str(getattr(query, "period", ""))


def title_of(query: ListQuery[Any]) -> str:
    """What a list is called within its region and period."""
    return clean(" · ".join([f"{query.noun}s".capitalize(), *_other_filters(query)]))


def list_of(query: ListQuery[Any]) -> str:
    """What a list is called anywhere: hashtags, US, 7 days."""
    period = f"{period_of(query)} days" if period_of(query) else ""
    parts = (f"{query.noun}s", region_of(query), period, *_other_filters(query))
    return clean(", ".join(part for part in parts if part))


def _other_filters(query: ListQuery[Any]) -> list[str]:
    usual, params = wire_params(type(query)()), wire_params(query)
    parts = []
    for name, value in params.items():
        if name not in ("region", "period", "limit") and value != usual[name]:
            known = INDUSTRIES.get(value, value) if name == "industry_id" else value
            text = name.removesuffix("_id").replace("_", " ")
            parts.append(text if value == "true" else f"{text} {known}")
    return parts


def shorten(number: float | None) -> str:
    """A count in three digits: 48.9K; empty for None."""
    if number is None:
        return ""
    size, units = float(number), iter(" KMBTPE")
    unit = next(units)
    while abs(size) >= 999.5 and unit != "E":
        size, unit = size / 1000, next(units)
    digits = f"{size:.0f}" if abs(size) >= 99.95 or unit == " " else f"{size:.3g}"
    return (digits + unit).strip()


def percent(share: float | None) -> str:
    """A growth as a signed percentage; empty for None."""
    if share is None:
        return ""
    digits = 1 if abs(share) < 0.0995 else 0
    text = f"{share:+.{digits}%}" if abs(share) < 100 else f"×{shorten(share + 1)}"  # noqa: RUF001
    return text.replace("-", "−")  # noqa: RUF001 - a minus is as wide as a plus


def clean(name: str) -> str:
    """A name as it can be shown: on one line, not too long, without what is no character."""
    text = "".join(char if char.isprintable() else " " for char in name[: 2 * MAX_NAME])
    text = " ".join(text.split()) or "–"  # noqa: RUF001
    return text if len(text) <= MAX_NAME else text[: MAX_NAME - 1].rstrip() + "…"


def write_day(day: date) -> str:
    """A day in words: Saturday, 21 November 2026."""
    return f"{day:%A}, {day.day} {day:%B %Y}"
