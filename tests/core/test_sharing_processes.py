"""Real processes with one pace, against a limiter we did not write: nginx. In real time."""

from __future__ import annotations

import pytest

from benchmarks.nginx import find_nginx
from benchmarks.redis_server import find_redis
from benchmarks.sharing import Cell, measure

pytestmark = [
    pytest.mark.slow,
    pytest.mark.real_time,
    pytest.mark.skipif(find_nginx() is None, reason="nginx is not installed (nginx-light)"),
]

REDIS = pytest.param(
    "redis", marks=pytest.mark.skipif(find_redis() is None, reason="redis-server is not installed")
)
KINDS = pytest.mark.parametrize("kind", ["file", REDIS])


@KINDS
@pytest.mark.parametrize("processes", [2, 4])
@pytest.mark.parametrize("rate", [20, 50])
async def test_the_limit_is_used_by_all_alike_and_nobody_is_refused(
    kind: str, processes: int, rate: int
) -> None:
    outcome = await measure(Cell(kind=kind, processes=processes, rate=rate, seconds=6))
    assert (outcome.refused, outcome.errors) == (0, {})
    assert outcome.share >= 0.94
    assert outcome.least >= 0.5


@KINDS
async def test_one_that_is_killed_costs_its_slot_at_most(kind: str) -> None:
    outcome = await measure(Cell(kind=kind, processes=3, event="kill", seconds=6))
    assert (outcome.refused, outcome.errors) == (0, {})
    assert outcome.share >= 0.94 - 1 / (6 * 20)


@pytest.mark.parametrize("kind", [REDIS])
async def test_redis_may_be_restarted(kind: str) -> None:
    outcome = await measure(Cell(kind=kind, event="restart", seconds=8))
    assert (outcome.refused, outcome.errors) == (0, {})
    assert outcome.share >= 0.94 - 2.6 / 8  # a second without Redis, and the backoff of calls
    assert outcome.least >= 0.5


@KINDS
async def test_a_joint_budget_is_exact_at_the_server(kind: str) -> None:
    outcome = await measure(Cell(kind=kind, processes=3, credits=101, seconds=5))
    assert (outcome.served, outcome.refused) == (50, 0)
    assert outcome.errors.keys() == {"CreditBudgetError"}
