"""Which request suffers which fault: scheduled ones in their order, else some by chance."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from random import Random

from attrs import define, field

from .endpoints import ListEndpoint, Query, find_endpoint
from .faults import Fault, check_positive
from .popularity import make_rng
from .settings import Settings


@define(eq=False)
class _Entry:
    fault: Fault
    left: float
    path: str | None
    page: int | None

    def matches(self, query: Query) -> bool:
        """Whether the fault is for this request."""
        return (
            self.path in (None, query.endpoint.path)
            and self.page in (None, query.page)
            and _can_affect(self.fault, query)
        )


@define
class FaultSchedule:
    """The scheduled faults that haven't happened yet, and those by chance."""

    settings: Settings
    _rng: Random = field(init=False)
    _entries: list[_Entry] = field(factory=list, init=False)
    # The test's thread adds faults while the server's picks them.
    _lock: threading.Lock = field(factory=threading.Lock, init=False)

    def __attrs_post_init__(self) -> None:
        """Seed the faults by chance."""
        self._rng = make_rng(self.settings.seed, "faults")

    def add(
        self, faults: Iterable[Fault], *, times: int | None, path: str | None, page: int | None
    ) -> None:
        """Schedule faults, after those there are."""
        left = float("inf") if times is None else check_positive("times", times)
        path = None if path is None else find_endpoint(path).path
        with self._lock:
            self._entries += [_Entry(fault, left, path, page) for fault in faults]

    def clear(self) -> None:
        """Drop all scheduled faults; those by chance stay."""
        with self._lock:
            self._entries.clear()

    def pick(self, query: Query) -> Fault | None:
        """Return what goes wrong with this request, if anything."""
        with self._lock:
            for entry in self._entries:
                if entry.matches(query):
                    entry.left -= 1
                    if not entry.left:
                        self._entries.remove(entry)
                    return entry.fault
        return self._pick_by_chance(query)

    def _pick_by_chance(self, query: Query) -> Fault | None:
        # Two draws for every request: so none depends on the path of another.
        hit, which = self._rng.random() < self.settings.fault_rate, self._rng.random()
        faults = [*self.settings.faults] if hit else []
        fault = faults[int(which * len(faults))] if faults else None
        return fault if fault and _can_affect(fault, query) else None


def _can_affect(fault: Fault, query: Query) -> bool:
    return not fault.is_page_fault or isinstance(query.endpoint, ListEndpoint)
