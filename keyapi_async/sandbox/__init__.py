"""A local, deterministic stand-in for KeyAPI: for tests, demos and benchmarks.

Serves all five endpoints with made-up data, keeps a ledger of what it billed, and simulates
rate limits, latency and faults on request. It implements the contract by itself and shares no code
with the client, so that a mistake in one shows in the other.
"""

from .faults import Fault
from .ledger import RecordedRequest
from .server import Sandbox

__all__ = ["Fault", "RecordedRequest", "Sandbox"]
