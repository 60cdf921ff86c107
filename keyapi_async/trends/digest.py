"""What moved, as a text to read: Markdown, or the message of a chat."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Final, Literal, TypeAlias

from attrs import frozen

from . import wording
from .movers import Move, Movers

Style: TypeAlias = Literal["markdown", "slack"]

_HEADINGS: Final = {
    "risen": "Risen",
    "new": "New",
    "returned": "Back",
    "fallen": "Fallen",
    "dropped": "Gone",
}


@frozen
class _Form:
    """How a text is marked up: `escape` makes of a name what is shown as it is."""

    heading: str
    name: str
    bullet: str
    escape: Callable[[str], str]


def _escape_markdown(text: str) -> str:
    return re.sub(r"([\\`*_\[\]<>#|~&])", r"\\\1", text)


def _escape_slack(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


_FORMS: Final[dict[Style, _Form]] = {
    "markdown": _Form("## {}", "**{}**", "- ", _escape_markdown),
    "slack": _Form("*{}*", "{}", "• ", _escape_slack),
}


def write_digest(
    movers: Movers,
    moves: Sequence[Move],
    *,
    style: Style = "markdown",
    most: int | None = None,
) -> str:
    """Write what moved as a text.

    Args:
        movers: Where the moves are from: tells the days.
        moves: The moves, in the order of the text; what stayed the same is left out.
        style: How it is marked up.
        most: Cut it to so many characters, whole lines at a time.
    """
    form = _FORMS[style]
    moved = [move for move in moves if move.kind != "same"]
    lines = [form.heading.format(f"TikTok trends, {movers.day or 'no complete day'}")]
    lines += [form.escape(note) for note in write_notes(movers)]
    if not moved:
        lines.append("Nothing moved.")
    left = len(moved)
    for kind, heading in _HEADINGS.items():
        ahead = ["", form.heading.format(heading).replace("## ", "### ")]
        for move in (move for move in moved if move.kind == kind):
            more = [*ahead, form.bullet + _tell(move, form)]
            if most is not None and len("\n".join(lines + more)) > most - _REST:
                return "\n".join([*lines, f"… and {left} more"])
            lines += more
            ahead = []
            left -= 1
    return "\n".join(lines)


_REST: Final = 20
"""Characters kept for the last line."""


def write_notes(movers: Movers) -> list[str]:
    """With which days what is compared, and what isn't, a line each."""
    notes: dict[str, int] = {}
    for one in movers.comparisons:
        if one.before is None:
            note = one.reason
        elif one.gap:
            first, last = one.gap[0], one.gap[-1]
            days = f"{first} has" if first == last else f"{first} to {last} have"
            note = f"compared with {one.before}; {days} no complete list"
        else:
            note = f"compared with {one.before}"
        notes[note] = notes.get(note, 0) + 1
    if len(notes) == 1:
        return [note[0].upper() + note[1:] + "." for note in notes]
    return [
        f"{count} {'list' if count == 1 else 'lists'}: {note}."
        for note, count in sorted(notes.items(), key=lambda item: -item[1])
    ]


def _tell(move: Move, form: _Form) -> str:
    name = form.name.format(form.escape(wording.clean(move.name)))
    if move.rank is None:
        text = f"{name}, {move.rank_before} before"
    elif move.rank_before is None:
        text = f"{name} at {move.rank}"
    else:
        text = f"{name} {move.rank_before} → {move.rank}"
    facts = [wording.list_of(move.query)]
    if move.views is not None:
        growth = f" {wording.percent(move.growth)}" if move.growth is not None else ""
        facts.append(f"{wording.shorten(move.views)} views{growth}")
    if len(move.regions) > 1:
        facts.append(f"in {len(move.regions)} regions")
    return f"{text} ({form.escape('; '.join(facts))})"
