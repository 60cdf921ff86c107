"""Start-up: fresh interpreters, by the CPU of the whole process."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile

from benchmarks.measure import Rounds, median, ratio, spread
from benchmarks.report import Goal, Table
from benchmarks.server import serving
from keyapi_async.queries import HashtagsQuery

ROUNDS = 40

BARE = "python alone"
AIOHTTP = "import aiohttp"
CORE = "import aiohttp, aiolimiter, attrs, cattrs, msgspec"
OURS = "import keyapi_async"
HELP = "keyapi --help"
FLOOR = "the dependencies, a session of aiohttp, one call"
FIRST = "keyapi_async, a client, one call"

_FLOOR = f"""
import asyncio, sys
{CORE}
async def main():
    async with aiohttp.ClientSession() as http, http.get(sys.argv[1]) as response:
        await response.read()
asyncio.run(main())
"""
_FIRST = """
import asyncio, sys
from keyapi_async import KeyAPIClient
async def main():
    async with KeyAPIClient("a-key", base_url=sys.argv[1]) as client:
        await client.trending.hashtags()
asyncio.run(main())
"""


async def run() -> list[Table]:
    """Start each command in turn."""
    with tempfile.TemporaryDirectory() as compiled, serving() as server:
        commands = {
            BARE: ["-c", "pass"],
            AIOHTTP: ["-c", AIOHTTP],
            CORE: ["-c", CORE],
            OURS: ["-c", OURS],
            HELP: ["-m", "keyapi_async.cli", "--help"],
            FLOOR: ["-c", _FLOOR, server.url + HashtagsQuery.path],
            FIRST: ["-c", _FIRST, server.url],
        }
        found: Rounds = {name: [] for name in commands}
        for command in commands.values():
            _cpu(command, compiled)
        for _ in range(ROUNDS):
            for name, command in commands.items():
                found[name].append(_cpu(command, compiled) * 1000)
    return [
        Table(
            "startup",
            "Start-up of a fresh interpreter: ms of CPU",
            ("", "ms (median)", "± %", "x the dependencies", "python alone taken off both"),
            tuple(
                (name, median(ms), spread(ms), ratio(found, name, CORE), _above(found, name, CORE))
                for name, ms in found.items()
            ),
            goals=(
                Goal(f"{OURS} / import of its dependencies", ratio(found, OURS, CORE), 0.62),
                Goal(f"{HELP} / import of its dependencies", ratio(found, HELP, CORE), 0.95),
                Goal(f"{FIRST} / {FLOOR}", ratio(found, FIRST, FLOOR), 1.25),
            ),
        )
    ]


def _cpu(arguments: list[str], compiled: str) -> float:
    """Seconds of CPU of a process; what it imports is compiled the first time only."""
    environment = {**os.environ, "PYTHONPYCACHEPREFIX": compiled, "PYTHONDONTWRITEBYTECODE": ""}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, *arguments]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=environment)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _above(found: Rounds, of: str, to: str) -> float:
    rounds = zip(found[of], found[to], found[BARE], strict=True)
    return median([(a - bare) / (b - bare) for a, b, bare in rounds])
