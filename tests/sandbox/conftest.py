"""A sandbox and a bare client of it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.sandbox.bare_client import Http, open_http


@pytest.fixture
async def http() -> AsyncIterator[Http]:
    async with open_http() as http:
        yield http
