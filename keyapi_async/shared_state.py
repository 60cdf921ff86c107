"""The pace that processes share, as a state that each of them moves on. Pure: no clock, no I/O."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final, Protocol

from attrs import define, frozen

from .guard import QUIET, Guard

HOLD: Final = 60.0
"""Seconds after its last slot for which a process's lower `qps`, or budget, binds the others."""


@frozen(kw_only=True)
class Claim:
    """What a process asks for: one slot, and the credits of a request.

    Attributes:
        qps: The most requests per second it may send.
        margin: Share of that left unused.
        late: Seconds' worth of missed slots that may be made up for.
        credits: Its rolling budget; 0 if it has none.
        per: Seconds that the budget is for; 0 if it has none.
        reservation: Names what is reserved.
        returned: Reservations of requests that have cost nothing.
    """

    qps: float
    margin: float = 0.0
    late: float = 0.0
    credits: int = 0
    per: float = 0.0
    reservation: str = ""
    returned: tuple[str, ...] = ()


@frozen(kw_only=True)
class Reply:
    """What it gets; a slot is reserved if there is no pause, and room in the budgets.

    Attributes:
        pace: Requests per second of all processes together.
        wait: Seconds until its slot.
        is_first: Whether that is the first after a pause.
        may_climb: Whether it has been quiet long enough to raise the pace.
        pause: Seconds until the pause is over; 0 if there is none.
        remaining: Credits left in the budget that has least; None without one.
        room_in: Seconds until that has room again; None if it has, infinite if it never will.
    """

    pace: float
    wait: float = 0.0
    is_first: bool = False
    may_climb: bool = False
    pause: float = 0.0
    remaining: int | None = None
    room_in: float | None = None


@define
class State:
    """The pace that processes share, by a clock they share. Pure: time is an argument.

    Attributes:
        last_slot: When the last slot is that was reserved.
        next_slot: When the next one is.
        seen: When a slot was last asked for.
        ceiling: The lowest `qps` of those who ask.
        ceiling_until: Until when it binds the others.
        paused_until: As of the guard, like those below.
        cut: The guard's pace; 0 when that is the ceiling.
        changed_at: As of the guard.
        quiet: As of the guard.
        is_probing: As of the guard.
    """

    last_slot: float = 0.0
    next_slot: float = 0.0
    seen: float = 0.0
    ceiling: float = 0.0
    ceiling_until: float = 0.0
    paused_until: float = 0.0
    cut: float = 0.0
    changed_at: float = 0.0
    quiet: float = QUIET
    is_probing: float = 0.0

    def ask(self, now: float, claim: Claim) -> Reply:
        """Note that somebody asks; what it would get if there is room in the budgets."""
        if (back := self.seen - now) > 0:  # the clock was set back: what was so far ahead stays so
            for name in ("last_slot", "next_slot", "ceiling_until", "paused_until", "changed_at"):
                setattr(self, name, getattr(self, name) - back)
        self.seen = now
        if claim.qps <= self.ceiling or now > self.ceiling_until:
            self.ceiling = claim.qps
        self.next_slot = max(self.next_slot, now - claim.late, self.paused_until)
        if claim.qps == self.ceiling:
            self.ceiling_until = self.next_slot + HOLD
        guard = self.guard()
        return Reply(
            pace=guard.pace,
            wait=max(self.next_slot - now, 0.0),
            is_first=self.last_slot < self.paused_until,
            may_climb=guard.may_climb(now),
            pause=max(self.paused_until - now, 0.0),
        )

    def reserve(self, claim: Claim) -> None:
        """Give away the next slot."""
        self.last_slot = self.next_slot
        self.next_slot += 1 / ((1 - claim.margin) * self.guard().pace)

    def guard(self) -> Guard:
        """The guard of all processes."""
        return Guard(
            ceiling=self.ceiling,
            pace=min(self.cut or math.inf, self.ceiling),
            paused_until=self.paused_until,
            changed_at=self.changed_at,
            quiet=self.quiet,
            is_probing=bool(self.is_probing),
        )

    def adopt(self, guard: Guard) -> None:
        """Take over what became of the guard."""
        self.paused_until = guard.paused_until
        self.cut = guard.pace if guard.pace < guard.ceiling else 0.0
        self.changed_at = guard.changed_at
        self.quiet = guard.quiet
        self.is_probing = float(guard.is_probing)


class Store(Protocol):
    """Where processes keep what they share. All methods raise ShareError if it can't be used."""

    async def reserve(self, claim: Claim) -> Reply:
        """Reserve a slot and credits, in one step that no other process can come between."""
        ...

    async def update(self, change: Callable[[Guard, float], object]) -> tuple[Guard, float]:
        """Have a function change the guard, given the time; what became of it, and the time."""
        ...

    async def give_back(self, reservations: tuple[str, ...]) -> None:
        """Give credits back."""
        ...

    async def close(self) -> None:
        """Let go of the file or the connection."""
        ...
