"""Tables, goals and saved runs."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from attrs import asdict, field, frozen


@frozen
class Goal:
    """A figure that must not pass a limit.

    Attributes:
        what: What was measured.
        found: What came out.
        at_most: The limit.
    """

    what: str
    found: float
    at_most: float


@frozen
class Table:
    """What one benchmark found: rows of figures under a title.

    Attributes:
        name: Name of the benchmark.
        title: The question it answers.
        columns: Names of the columns; the first column names the rows.
        rows: One tuple a row.
        notes: What a reader must know.
        goals: The figures that have a limit.
    """

    name: str
    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]
    notes: tuple[str, ...] = field(default=())
    goals: tuple[Goal, ...] = field(default=())

    def markdown(self) -> str:
        """The table as Markdown, its columns aligned."""
        cells = [self.columns, *(tuple(map(_shown, row)) for row in self.rows)]
        widths = [max(len(row[i]) for row in cells) for i in range(len(self.columns))]
        lines = ["| " + " | ".join(map(str.ljust, row, widths)).rstrip() + " |" for row in cells]
        lines.insert(1, "| " + " | ".join("-" * width for width in widths) + " |")
        notes = [line for note in self.notes for line in (note, "")]
        return "\n".join([f"### {self.title}", "", *lines, "", *notes])


def goals(tables: Iterable[Table]) -> Table:
    """All goals of a run, as a table."""
    rows = [
        (goal.what, goal.found, goal.at_most, "yes" if goal.found <= goal.at_most else "NO")
        for table in tables
        for goal in table.goals
    ]
    return Table("goals", "Goals", ("goal", "found", "at most", "reached"), tuple(rows))


def save(tables: list[Table], file: Path) -> None:
    """Write a run as JSON."""
    run = {
        "python": platform.python_version(),
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "tables": [asdict(table) for table in tables],
    }
    file.write_text(json.dumps(run, indent=1) + "\n")


def compare(table: Table, saved: dict[str, Any]) -> str:
    """The figures of a saved run beside today's, as ratios new/old."""
    then = next((old for old in saved["tables"] if old["name"] == table.name), None)
    if then is None:
        return ""
    old_rows = {row[0]: dict(zip(then["columns"], row, strict=True)) for row in then["rows"]}
    lines = []
    for row in table.rows:
        for column, new in zip(table.columns[1:], row[1:], strict=True):
            old = old_rows.get(row[0], {}).get(column)
            if _is_figure(new) and _is_figure(old) and old:
                was, now = _shown(old), _shown(new)
                lines.append(f"- {row[0]}, {column}: {was} -> {now} (x {new / old:.2f})")
    return "\n".join([*lines, ""])


def _is_figure(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _shown(value: object) -> str:
    if not isinstance(value, float):
        return str(value)
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3g}"
