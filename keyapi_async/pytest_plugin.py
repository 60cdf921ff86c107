"""The pytest plugin: `keyapi_sandbox`, a fixture with a fresh sandbox."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from .sandbox import Sandbox


@pytest.fixture
def keyapi_sandbox() -> Iterator[Sandbox]:
    """A sandbox in a thread of its own: for sync tests and under any async plugin."""
    # Here and not above: a web server is a lot to import for those who don't use it.
    from .sandbox import Sandbox  # noqa: PLC0415

    with Sandbox() as sandbox:
        yield sandbox
