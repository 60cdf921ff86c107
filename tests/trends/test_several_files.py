"""The files of a crawl's shards are one crawl, to everything that reads them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from keyapi_async import trends
from keyapi_async.crawl import CrawlFile, Selection, Shard, export_files, grid, take_shard
from keyapi_async.sandbox import Fault
from tests.crawl.sandboxed_crawl import WallClock, crawl_at, opened
from tests.trends.scripted import day

LISTS = (
    grid("hashtags", region=["US", "GB", "DE"], period=[7, 30])
    + grid("videos", region=["US", "GB"])
    + grid("music", region=["US", "GB", "DE"])
)
PARTS: list[Shard] = [(number, 4) for number in (1, 2, 3, 4)]
PLAN = tuple(query for part in PARTS for query in take_shard(LISTS, part, details=1))
"""In the order of the files: of equal moves, the first is shown."""


async def crawl_days(
    folder: Path, skips: Callable[[int, int], bool] = lambda *_: False
) -> tuple[list[Path], list[Path]]:
    """Three days of a plan in one file and in four, unless a part skips one; music fails on day 2.

    Returns:
        The one file, and the four.
    """
    clock, totals = WallClock(), {"hashtags": 30, "videos": 40, "music": 30}
    one, parts = folder / "one.sqlite", [folder / f"part{n}.sqlite" for n, _ in PARTS]
    async with opened({"totals": totals}) as (client, sandbox):
        for number in (1, 2, 3):
            sandbox.day = day(number)
            sandbox.heal()
            if number == 2:
                sandbox.fail(Fault.status(404), path="music", page=2, times=None)
            for path, shard in [(one, None), *zip(parts, PARTS, strict=True)]:
                if shard is None or not skips(shard[0], number):
                    clock.set(f"{day(number)} 06:00")
                    options = {"daily": "UTC", "keep_going": True, "details": 1, "shard": shard}
                    await crawl_at(clock, path, client, PLAN, **options)
    return [one], parts


def exported(paths: list[Path], **options: Any) -> list[str]:
    """Every item, with its query and day, as JSON."""
    output = paths[0].with_name("out.jsonl")
    export_files(paths, output, Selection(**options))
    found = []
    for line in output.read_text(encoding="utf-8").splitlines():
        item = json.loads(line)
        for name in ("request_id", "retrieved_at", "snapshot_started_at"):
            del item["_keyapi"][name]
        found.append(json.dumps(item, sort_keys=True))
    return sorted(found)


def moved(paths: list[Path], **options: Any) -> list[str]:
    return [json.dumps(move.to_dict()) for move in trends.movers(paths, **options)]


def reported(paths: list[Path]) -> str:
    output = paths[0].with_name("out.html")
    trends.report(paths, output)
    return output.read_text(encoding="utf-8")


@pytest.mark.slow
async def test_the_shards_of_days_are_one_crawl(tmp_path: Path) -> None:
    one, parts = await crawl_days(tmp_path)
    selections: list[dict[str, Any]] = [
        {},
        {"snapshot": "all"},
        {"snapshot": 2},
        {"snapshot": 2, "regions": "US"},
    ]
    for options in selections:
        whole = exported(one, **options)
        assert exported(parts, **options) == whole
        complete = exported(one, **options, complete_only=True)
        assert exported(parts, **options, complete_only=True) == complete
        assert (len(complete) < len(whole)) == bool(options)
    questions: list[dict[str, Any]] = [
        {},
        {"day": day(2)},
        {"since": day(1)},
        {"endpoint": "music", "top": 7},
    ]
    for asked in questions:
        moves = moved(one, **asked)
        assert moved(parts, **asked) == moves
        assert len(moves) >= 7
    assert moved(one, endpoint="music", day=day(2)) == []
    name = json.loads(moved(one, endpoint="hashtags", top=1)[0])["name"]
    for ask in (
        lambda paths: trends.write_notes(trends.movers(paths, day=day(2))),
        lambda paths: trends.history(paths, None, name),
        trends.health,
        reported,
    ):
        assert ask(parts) == ask(one)
    for snapshot in (1, 2, 3):
        whole_day = CrawlFile(one[0]).status(snapshot)
        of_parts = [CrawlFile(path).status(snapshot) for path in parts]
        for count in ("queries", "done", "failed", "pages", "items", "requests", "credits_spent"):
            assert sum(getattr(each, count) for each in of_parts) == getattr(whole_day, count)
        assert all(each.complete for each in of_parts) == whole_day.complete


async def test_a_shard_without_a_day_drops_nothing(tmp_path: Path) -> None:
    mine = take_shard(PLAN, (2, 4), details=1)
    assert 0 < len(mine) < len(PLAN)
    for skipped in (2, 3):
        folder = tmp_path / str(skipped)
        folder.mkdir()
        _, parts = await crawl_days(folder, lambda part, at, d=skipped: (part, at) == (2, d))  # type: ignore[misc]
        found = trends.movers(parts)
        for move in found:
            assert move.query not in mine or (skipped, move.day_before) == (2, day(1))
        for one in found.comparisons:
            if one.query in mine:
                told = (one.gap, one.reason)
                missing = ((), f"its list of {day(3)} is missing")
                assert told == (((day(2),), "") if skipped == 2 else missing)
        problems = trends.health(parts).problems
        if skipped == 2:
            message = f"the day has no snapshot in {parts[1]}"
            assert [(one.kind, one.message) for one in problems] == [("missing_day", message)]
        else:
            assert {one.query for one in problems if one.kind == "missing"} == {*mine}
            assert "is missing" in reported(parts)
