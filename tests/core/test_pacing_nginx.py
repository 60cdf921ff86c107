"""The pace against a limiter we did not write: nginx's `limit_req`. In real time, 4 seconds."""

from __future__ import annotations

import pytest

from benchmarks.nginx import find_nginx
from benchmarks.pace import Limit, measure


@pytest.mark.slow
@pytest.mark.real_time
@pytest.mark.skipif(find_nginx() is None, reason="nginx is not installed (nginx-light)")
async def test_nginx_never_refuses_and_its_limit_is_used():
    outcome = await measure(Limit(kind="nginx", rate=20, burst=5, seconds=4.0, counted=4.0))
    assert outcome.refused == outcome.reached_caller == 0
    assert outcome.share >= 0.95
