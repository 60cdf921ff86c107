"""`python -m benchmarks [NAME ...] [--json FILE] [--compare FILE]`."""

from __future__ import annotations

import argparse
import asyncio
import json
from pathlib import Path

from benchmarks import (
    by_hand,
    calls,
    crawl,
    decode,
    fuzz,
    growth,
    memory,
    pace,
    services,
    sharing,
    startup,
    stored,
    throughput,
    trends,
)
from benchmarks.report import Table, compare, goals, save

BENCHMARKS = {
    "startup": startup.run,
    "decode": decode.run,
    "calls": calls.run,
    "throughput": throughput.run,
    "memory": memory.run,
    "growth": growth.run,
    "services": services.run,
    "crawl": crawl.run,
    "by_hand": by_hand.run,
    "stored": stored.run,
    "trends": trends.run,
    "fuzz": fuzz.run,
    "pace": pace.run,
    "sharing": sharing.run,
}


def main() -> None:
    """Run the benchmarks named, or all, and print their tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", help=f"any of {', '.join(BENCHMARKS)}; default all")
    parser.add_argument("--json", type=Path, metavar="FILE", help="save the figures")
    parser.add_argument("--compare", type=Path, metavar="FILE", help="with a saved run")
    options = parser.parse_args()
    unknown = set(options.names) - set(BENCHMARKS)
    if unknown:
        parser.error(f"no benchmark named {', '.join(sorted(unknown))}")
    saved = json.loads(options.compare.read_text()) if options.compare else None
    tables: list[Table] = []
    for name in options.names or BENCHMARKS:
        for table in asyncio.run(BENCHMARKS[name]()):
            print(table.markdown(), flush=True)
            if saved:
                print(compare(table, saved), flush=True)
            tables.append(table)
    print(goals(tables).markdown())
    if options.json:
        save(tables, options.json)


if __name__ == "__main__":
    main()
