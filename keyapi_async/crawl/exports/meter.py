"""Counts what an export writes, and reports it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Final

from attrs import frozen

from .selection import FoundList, FoundPage, ItemsT

_STEP: Final = 1000
"""Items between two reports."""


@frozen
class Exported:
    """What was written to one file.

    Attributes:
        path: The file; None for a stream.
        items: How many items are in it.
        incomplete: How many lists, of those with items in it, are incomplete.
    """

    path: Path | None
    items: int
    incomplete: int = 0


class Meter:
    """Counts what is written.

    Args:
        progress: Called with how many items are written so far.
    """

    def __init__(self, progress: Callable[[int], None] | None = None) -> None:
        self._progress = progress
        self._items = self._told = self._taken = 0
        self._incomplete = 0

    def count(self, pages: Iterable[FoundPage[ItemsT]]) -> Iterator[FoundPage[ItemsT]]:
        """Count the pages that pass."""
        last: FoundList | None = None
        for page in pages:
            if page.source is not last:
                last = page.source
                self._incomplete += not last.is_complete
            yield page
            self._items += page.count
            if self._items - self._told >= _STEP:
                self._tell()
        self._tell()

    def take(self, path: Path | None) -> Exported:
        """What was counted since the last file."""
        exported = Exported(path, self._items - self._taken, self._incomplete)
        self._taken, self._incomplete = self._items, 0
        return exported

    def _tell(self) -> None:
        self._told = self._items
        if self._progress is not None:
            self._progress(self._items)
