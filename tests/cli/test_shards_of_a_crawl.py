"""`keyapi crawl --shard` as processes of their own, and what commands say of several files."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from keyapi_async.crawl import Selection, export_files
from keyapi_async.sandbox import Sandbox
from tests.cli.command_line import Run
from tests.crawl.sandboxed_crawl import change

Start = Callable[..., "subprocess.Popen[str]"]
PLAN = """
{"endpoint": "hashtags", "region": "US"}
{"endpoint": "hashtags", "region": "GB"}
{"endpoint": "hashtags", "region": "US", "industry_id": 22000000000}
{"endpoint": "hashtags", "region": "DE", "period": 30}
{"endpoint": "hashtag_detail", "region": "US", "hashtag_name": "ufc324"}
{"endpoint": "videos", "region": "US"}
{"endpoint": "videos", "region": "GB"}
{"endpoint": "videos", "region": "FR", "order_by": "like"}
{"endpoint": "music", "region": "US"}
{"endpoint": "music", "region": "US", "commercial_music": true}
{"endpoint": "music", "region": "GB"}
"""


def items(*paths: Path) -> list[str]:
    """What crawls fetched, but for when."""
    output = paths[0].with_suffix(".jsonl")
    export_files(paths, output, Selection(complete_only=True))
    found = [json.loads(line) for line in output.read_text(encoding="utf-8").splitlines()]
    for item in found:
        for name in ("request_id", "retrieved_at", "snapshot_started_at"):
            del item["_keyapi"][name]
    return sorted(json.dumps(item, sort_keys=True) for item in found)


@pytest.mark.slow
def test_four_processes_fetch_what_one_does_for_as_much(start: Start, tmp_path: Path) -> None:
    (tmp_path / "daily.jsonl").write_text(PLAN)
    options = ["crawl", "-i", "daily.jsonl", "--details", "top:15", "--rate", "inf", "-q"]
    totals = {"hashtags": 30, "videos": 40, "music": 30}
    with Sandbox(totals=totals, day=datetime(2026, 2, 1, tzinfo=UTC).date()) as sandbox:
        whole = start(*options, "-o", "one.sqlite", at=sandbox)
        assert (whole.communicate(timeout=60), whole.returncode) == (("", ""), 0)
        spent, sent = sandbox.credits_spent, len(sandbox.requests)
        assert spent == 2 * sent > 2 * 20
        parts = [
            start(*options, f"--shard={number}/4", "-o", f"part{number}.sqlite", at=sandbox)
            for number in (1, 2, 3, 4)
        ]
        for part in parts:
            assert (part.communicate(timeout=60), part.returncode) == (("", ""), 0)
        assert (sandbox.credits_spent, len(sandbox.requests)) == (2 * spent, 2 * sent)
        asked = [(one.path, tuple(sorted(one.params.items()))) for one in sandbox.requests]
        assert sorted(asked[:sent]) == sorted(asked[sent:])
    files = [tmp_path / f"part{number}.sqlite" for number in (1, 2, 3, 4)]
    assert all(items(path) for path in files)
    assert items(*files) == items(tmp_path / "one.sqlite")


def crawl_shards(run: Run) -> tuple[str, str]:
    """Two shards, of which the second has the day before only; the two days."""
    Path("daily.jsonl").write_text(PLAN)
    for number in (1, 2):
        crawl = f"crawl -i daily.jsonl --max-pages 1 --rate inf -q --shard {number}/2"
        assert run(f"{crawl} -o part{number}.sqlite")[0] == 0
    today = datetime.now().astimezone().date()
    before = (today - timedelta(days=1)).isoformat()
    change(Path("part2.sqlite"), f"UPDATE snapshots SET day = '{before}'")
    change(Path("part1.sqlite"), f"UPDATE snapshots SET day = '{today}'")
    return today.isoformat(), before


def test_the_status_of_several_files_is_summed_up(run: Run, sandbox: Sandbox) -> None:
    today, before = crawl_shards(run)
    code, out, _ = run("status part1.sqlite part2.sqlite")
    first, second, together = (out.splitlines()[start : start + 3] for start in (0, 3, 6))
    assert (code, together[0]) == (0, f"1 file, {today}: 1 file without it")
    assert together[1:] == first[1:] != second[1:]
    told = f"part2.sqlite: has no snapshot of {today}; its newest is of {before}"
    assert out.splitlines()[9:] == [told]
    change(Path("part2.sqlite"), f"UPDATE snapshots SET day = '{today}'")
    change(Path("part2.sqlite"), "UPDATE lists SET state = 'pending' WHERE id = 1")
    out = run("status part1.sqlite part2.sqlite")[1]
    state, counts, _ = out.splitlines()[-3:]
    assert state == f"2 files, {today}: 1 to do"
    assert counts.startswith("10 of 11 lists done, 0 failed; 195 items on 11 pages, ")
    assert "22 credits, 0 more at risk; 2 runs, " in out.splitlines()[-1]
    assert run("status part1.sqlite part2.sqlite --json")[1].count("\n") == 2


def test_an_export_names_the_files_that_lack_the_day(run: Run, sandbox: Sandbox) -> None:
    today, before = crawl_shards(run)
    told = f"keyapi: part2.sqlite: has no snapshot of {today}; its newest is of {before}\n"
    for more in ("", " --complete-only"):
        code, _, err = run(f"export part1.sqlite part2.sqlite -o out.jsonl{more}")
        assert (code, err.startswith(told)) == (0, True)
    assert run("export part1.sqlite part2.sqlite -o out.jsonl -q")[2] == ""
    assert told not in run("export part2.sqlite -o out.jsonl")[2]
