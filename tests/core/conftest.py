"""A sandbox, and a client of it that no pace holds up."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from keyapi_async import KeyAPIClient
from keyapi_async.sandbox import Sandbox


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    async with Sandbox(totals={"music": 99}) as sandbox:
        yield sandbox


@pytest.fixture
async def client(sandbox: Sandbox) -> AsyncIterator[KeyAPIClient]:
    async with sandbox.client(qps=1000) as client:
        yield client
