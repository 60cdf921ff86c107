"""A local, deterministic stand-in for KeyAPI: for tests, demos and benchmarks.

Serves all five endpoints with made-up data, keeps a ledger of what it billed, and misbehaves on
request: rate limits, latency, faults of every kind.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from keyapi_async.sandbox.faults import Fault
    from keyapi_async.sandbox.ledger import Recorded
    from keyapi_async.sandbox.server import Sandbox

__all__ = ["Fault", "Recorded", "Sandbox"]

_HOMES = {"Fault": "faults", "Recorded": "ledger", "Sandbox": "server"}


def __getattr__(name: str) -> object:
    # On demand: pytest imports this package to find the plugin, in projects that never use it.
    if name in _HOMES:
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
