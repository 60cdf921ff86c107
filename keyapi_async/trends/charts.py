"""Ranks drawn as lines."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import date

from attrs import frozen


@frozen
class Line:
    """Ranks drawn as a line, the best on top: the steps between ranks grow towards the first.

    Attributes:
        path: The `d` of an SVG path.
        points: Its corners, the first and the last of them worth a label.
    """

    path: str
    points: tuple[tuple[int, int], ...]


def draw(
    ranks: Sequence[tuple[date, int | None]], last: date, *, days: int, step: int, height: int
) -> Line:
    """Draw the ranks of the last days; a day on which it wasn't listed breaks the line.

    Args:
        ranks: The rank on each day for which that is known.
        last: The day at the right edge.
        days: How many days go into the width.
        step: Units from one day to the next.
        height: Units from the best rank to the worst.
    """
    recent = [(day, rank) for day, rank in ranks if (last - day).days < days]
    listed = [rank for _, rank in recent if rank is not None]
    if not listed:
        return Line("", ())
    best, worst = math.log(min(listed)), math.log(max(listed) + 1)
    parts: list[str] = []
    points: list[tuple[int, int]] = []
    is_broken = True
    for day, rank in recent:
        if rank is None:
            is_broken = True
            continue
        x = (days - 1 - (last - day).days) * step
        y = round((math.log(rank) - best) / (worst - best) * height)
        if is_broken:
            parts.append(f"M{x} {y}h0")  # without a step a lone day would not be drawn
        else:
            before = points[-1]
            parts.append(f"l{x - before[0]} {y - before[1]}")
        points.append((x, y))
        is_broken = False
    return Line(_join(parts), tuple(points))


def _join(parts: Sequence[str]) -> str:
    """One path of several steps; what follows a step may leave out its letter."""
    text = ""
    letter = ""
    for part in parts:
        if part[0] == letter == "l":
            text += part[1:] if part[1] == "-" else " " + part[1:]
        else:
            text += part
        letter = part[0]
    return text.replace(" -", "-")
