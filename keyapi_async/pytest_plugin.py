"""The pytest plugin: the fixture `keyapi_sandbox`, and the marker that sets it up."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from .sandbox import Sandbox


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker."""
    config.addinivalue_line(
        "markers", "keyapi_sandbox(qps=5, ...): settings of the fixture keyapi_sandbox's Sandbox"
    )


@pytest.fixture
def keyapi_sandbox(request: pytest.FixtureRequest) -> Iterator[Sandbox]:
    """A sandbox in a thread of its own: for sync tests and under any asyncio plugin.

    `@pytest.mark.keyapi_sandbox(qps=5)` on a test, class or module gives it settings; of several
    marks the nearest one wins, setting by setting.
    """
    # Here and not above: a web server is a lot to import for those who don't use it.
    from attrs import fields  # noqa: PLC0415

    from .sandbox import Sandbox  # noqa: PLC0415

    settings: dict[str, Any] = {}
    for mark in request.node.iter_markers("keyapi_sandbox"):
        if mark.args:
            pytest.fail(f"keyapi_sandbox takes settings by name; got {mark.args!r}", pytrace=False)
        settings = {**mark.kwargs, **settings}
    known = [str(field.alias) for field in fields(Sandbox) if field.init]
    for name in settings:
        if name not in known:
            allowed = ", ".join(known)
            pytest.fail(f"keyapi_sandbox has no setting {name}; it has {allowed}", pytrace=False)
    with Sandbox(**settings) as sandbox:
        yield sandbox
