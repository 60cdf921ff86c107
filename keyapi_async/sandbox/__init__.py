"""A local, deterministic stand-in for KeyAPI: for tests, demos and benchmarks.

Serves all five endpoints with made-up data, keeps a ledger of what it billed, and misbehaves on
request: rate limits, latency, faults of every kind.
"""

from keyapi_async.sandbox.faults import Fault
from keyapi_async.sandbox.ledger import Recorded
from keyapi_async.sandbox.server import Sandbox

__all__ = ["Fault", "Recorded", "Sandbox"]
