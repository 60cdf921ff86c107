"""How popular an item is, day by day: pure functions of seed, kind, index, place and day.

The items of a kind (hashtags, videos, sounds) are numbered without end. Each is popular in cycles:
it rises within days and fades over weeks, a few over months. Every region, period and order has its
own taste. Days are counted from 1970-01-01.
"""

from __future__ import annotations

import math
from functools import lru_cache
from random import Random
from typing import Final, NamedTuple
from zlib import crc32

_ORIGIN: Final = 20_089  # 2025-01-01: what is before it counts for less
_BLOCK: Final = 1000
_BLOCKS: Final = 32
_MOOD_DAYS: Final = 5  # from one mood of a region to the next


def make_rng(*key: object) -> Random:
    """Return a generator that depends on nothing but the key."""
    return Random("\x1f".join(map(str, key)))


def scramble(bits: int) -> float:
    """Return a number from 0 to below 1, another one for each whole number."""
    bits = (bits ^ bits >> 15) * 0x85EBCA6B & 0xFFFFFFFF
    bits = (bits ^ bits >> 13) * 0xC2B2AE35 & 0xFFFFFFFF
    return (bits ^ bits >> 16) / 0x1_0000_0000


def draw(*key: object) -> float:
    """Return a number from 0 to below 1 that depends on nothing but the key.

    Much faster than the first number of a generator.
    """
    return scramble(crc32("\x1f".join(map(str, key)).encode()))


class Life(NamedTuple):
    """When an item is popular."""

    cycle: int
    """Days from one rise to the next."""
    birth: float
    """The day of a rise, the last one before the origin."""
    pace: float
    """Days from a rise to its peak."""
    charm: float
    """A constant popularity of its own, at any age."""

    def age(self, day: int) -> float:
        """Days since the last rise."""
        return (day - self.birth) % self.cycle

    def level(self, day: int) -> float:
        """How popular it is, from 0 to 1."""
        ripeness = self.age(day) / self.pace
        return ripeness * math.exp(1 - ripeness)

    def growth(self, day: int) -> float:
        """How often it was seen until then: ever more, and faster while it is popular."""
        age = self.age(day)
        ripeness = age / self.pace
        boom = 1 - (1 + ripeness) * math.exp(-ripeness)
        cycles = (day - self.birth) // self.cycle + 0.9 * boom + 0.1 * age / self.cycle
        return (1 + cycles) ** 3 if cycles >= 0 else math.exp(3 * cycles)


def find_life(seed: int, kind: str, index: int) -> Life:
    """Return the life of any item; from the 32,000th on they repeat."""
    block, place = divmod(index, _BLOCK)
    return _draw_lives(seed, kind, block % _BLOCKS)[place]


@lru_cache(maxsize=3 * _BLOCKS)
def _draw_lives(seed: int, kind: str, block: int) -> tuple[Life, ...]:
    random = make_rng(seed, kind, "lives", block).random
    lives = list[Life]()
    for _ in range(_BLOCK):
        cycle = 30 + int(100 * random())
        pace = 60.0 if random() < 0.03 else 1.5 + 4 * random()
        lives.append(Life(cycle, _ORIGIN - cycle * random(), pace, 5 * random()))
    return tuple(lives)


@lru_cache(maxsize=16)
def _rate_items(seed: int, kind: str, count: int, day: int) -> list[float]:
    """Rate the first items by level (its logarithm) and charm."""
    blocks = (
        _draw_lives(seed, kind, block % _BLOCKS) for block in range(math.ceil(count / _BLOCK))
    )
    ripeness = [
        (((day - birth) % cycle + 0.5) / pace, charm)
        for block in blocks
        for cycle, birth, pace, charm in block
    ]
    return [math.log(ripe) - ripe + charm for ripe, charm in ripeness[:count]]


@lru_cache(maxsize=64)
def _draw_many(count: int, *key: object) -> list[float]:
    random = make_rng(*key).random
    return [random() for _ in range(count)]


@lru_cache(maxsize=512)
def rank_items(  # noqa: PLR0917 - a cache knows no names
    seed: int, kind: str, taste: tuple[str, ...], day: int, candidates: range, total: int
) -> tuple[int, ...]:
    """Return the indices of the most popular items of a day, best first.

    Args:
        seed: Another seed, other lives.
        kind: What is ranked.
        taste: Whose taste it is: the region, then what makes for another order there.
        day: The day.
        candidates: From which items.
        total: How many.
    """
    count = candidates.stop
    mood, days = divmod(day, _MOOD_DAYS)
    late = 0.6 * days / _MOOD_DAYS
    scores = [
        rate + 4 * liking + (0.6 - late) * before + late * after + 2 * luck**30
        for rate, liking, before, after, luck in zip(
            _rate_items(seed, kind, count, day),
            _draw_many(count, seed, kind, *taste),
            _draw_many(count, seed, kind, taste[0], "mood", mood),
            _draw_many(count, seed, kind, taste[0], "mood", mood + 1),
            _draw_many(count, seed, kind, taste[0], "luck", day),
            strict=True,
        )
    ]
    return tuple(sorted(candidates, key=scores.__getitem__, reverse=True)[:total])
