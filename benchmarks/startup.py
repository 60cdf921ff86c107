"""Start-up: fresh interpreters, by the CPU of the whole process."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile

from benchmarks.measure import Rounds, median, spread
from benchmarks.report import Goal, Table

ROUNDS = 15
BARE = "python alone"
CORE = "import of the core dependencies"
OURS = "import keyapi_async"
CLI = "import keyapi_async, cyclopts, rich"
HELP = "keyapi --help"
COMMANDS = {
    BARE: ["-c", "pass"],
    CORE: ["-c", "import aiohttp, aiolimiter, attrs, cattrs, msgspec"],
    OURS: ["-c", OURS],
    CLI: ["-c", CLI],
    HELP: ["-m", "keyapi_async.cli", "--help"],
}


async def run() -> list[Table]:
    """Start each command in turn."""
    found: Rounds = {name: [] for name in COMMANDS}
    with tempfile.TemporaryDirectory() as compiled:
        for command in COMMANDS.values():
            _cpu(command, compiled)
        for _ in range(ROUNDS):
            for name, command in COMMANDS.items():
                found[name].append(_cpu(command, compiled) * 1000)
    imported = _ratio_above_bare(found, OURS, CORE)
    helped = _ratio_above_bare(found, HELP, CLI)
    beside = {OURS: imported, HELP: helped}
    return [
        Table(
            "startup",
            "Start-up of a fresh interpreter: ms of CPU",
            ("", "ms (median)", "± %", "x the line above, python alone taken off both"),
            tuple((n, median(ms), spread(ms), beside.get(n, "")) for n, ms in found.items()),
            goals=(
                Goal("import keyapi_async / import of its core dependencies", imported, 1.15),
                Goal("keyapi --help / import keyapi_async, cyclopts, rich", helped, 1.2),
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


def _ratio_above_bare(found: Rounds, of: str, to: str) -> float:
    rounds = zip(found[of], found[to], found[BARE], strict=True)
    return median([(a - bare) / (b - bare) for a, b, bare in rounds])
