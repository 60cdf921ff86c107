"""The pytest plugin: a fixture with a fresh :class:`~keyapi_async.sandbox.Sandbox`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from keyapi_async.sandbox import Sandbox


@pytest.fixture
def keyapi_sandbox() -> Iterator[Sandbox]:
    """A sandbox in a thread of its own: for sync tests and under any async plugin."""
    # Here and not above: being installed must not cost those who don't use it anything.
    from keyapi_async.sandbox import Sandbox  # noqa: PLC0415

    with Sandbox() as sandbox:
        yield sandbox
