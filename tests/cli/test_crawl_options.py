"""The plan of `keyapi crawl`, and what can't be asked together."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from keyapi_async.sandbox import Sandbox
from tests.cli.command_line import Run


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (
            "hashtags --region US --region GB --period 7 --period 30 --industry 22000000000",
            "hashtags: 4 queries\n4 queries, about 20 pages, 40 credits",
        ),
        (
            "hashtags videos music --every-region",
            "hashtags: 71 queries\nvideos: 25 queries\nmusic: 71 queries\n"  # noqa: ISC004
            "167 queries, about 1335 pages, 2670 credits",
        ),
        (
            "hashtags videos --every-region --region all_regions",
            "hashtags: 72 queries\nvideos: 25 queries\n97 queries, about 985 pages, 1970 credits",
        ),
        (
            "hashtags videos --every-industry",
            "hashtags: 18 queries\nvideos: 1 query\n19 queries, about 115 pages, 230 credits",
        ),
        (
            "hashtags --every-industry --industry-id nothing",
            "hashtags: 19 queries\n19 queries, about 95 pages, 190 credits",
        ),
        (
            "videos --order-by vv --order-by like --max-items 30",
            "videos: 2 queries\n2 queries, about 4 pages, 8 credits",
        ),
        (
            "music --keyword a --keyword b --commercial-music --details all --max-pages 1",
            "music: 2 queries\n2 queries, about 2 pages and 40 details, 84 credits",
        ),
        (
            "music --details top:1 --max-items 1",
            "music: 1 query\n1 query, about 1 page and 1 detail, 4 credits",
        ),
        (
            "hashtags --details new --max-items 2",
            "hashtags: 1 query\n1 query, about 1 page and 2 details, 6 credits",
        ),
        ("hashtags --new-to-top-100", "hashtags: 1 query\n1 query, about 5 pages, 10 credits"),
    ],
)
def test_simulate_tells_what_it_takes_and_needs_no_key(line: str, told: str, run: Run) -> None:
    code, out, err = run(f"crawl {line} -s")
    assert (code, err) == (0, "")
    assert out == f"{told} if lists are as long as usual\n"


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("", "nothing to crawl: name endpoints (hashtags videos music), -i FILE or --resume"),
        ("hashtags", "-o FILE is needed"),
        ("sounds -s", "Invalid value"),
        ("hashtags --order-by vv -s", "--order-by says nothing about hashtags"),
        ("-i plan.jsonl --region US -s", "--region says nothing about what comes from a file"),
        (
            "hashtags --region US --every-region -s",
            "--every-region leaves nothing to say to --region but all_regions",
        ),
        (
            "hashtags --industry 25000000000 --every-industry -s",
            "--every-industry leaves nothing to say to --industry-id but nothing",
        ),
        ("-i plan.jsonl --every-region -s", "--every-region says nothing about what comes from"),
        ("videos --every-industry -s", "--every-industry says nothing about videos"),
        ("hashtags --region= -s", "--region must be a non-empty text"),
        ("hashtags --period 8 -s", "--period"),
        ("hashtags --max-items -1 -s", "--max-items must be a whole number of at least 0"),
        ("hashtags --max-pages 1.5 -s", "--max-pages"),
        ("hashtags --details top -s", "--details: must be new, all or top:N such as top:20, not"),
        ("hashtags --details top:0 -s", "--details: must be new, all or top:N"),
        ("hashtags --details some:1 -s", "--details: must be new, all or top:N"),
        (
            "hashtags --shard 0/8 -s",
            "--shard: must be a part such as 2/8, from 1/8 to 8/8, not '0/",
        ),
        ("hashtags --shard 9/8 -s", "--shard: must be a part such as 2/8"),
        ("hashtags --shard x -s", "--shard: must be a part such as 2/8"),
        ("hashtags --shard 1/2/3 -s", "--shard: must be a part such as 2/8"),
        ("--resume t.sqlite --shard 1/8", "the file: leave out --shard"),
        ("hashtags --daily=Mars/City -s", "--daily must be True (the machine's zone) or the name"),
        ("hashtags --resume t.sqlite", "--resume takes plan and limits from the file"),
        ("--resume t.sqlite -o u.sqlite", "--resume takes plan and limits from the file"),
        (
            "music --resume t.sqlite -o u.sqlite --max-items 0 --region US --industry 1 -i -",
            (
                "--resume takes plan and limits from the file: "
                "leave out music --region --industry-id --input --max-items --output"
            ),
        ),
        ("-i empty.jsonl -o t.sqlite", "empty.jsonl holds no query"),
        ("music -i empty.jsonl -o t.sqlite", "empty.jsonl holds no query"),
        ("-i latin.jsonl -o t.sqlite", "latin.jsonl is not UTF-8"),
        ("-i uk.jsonl -o t.sqlite", "--region 'UK' is not known for music: did you mean GB?"),
        ("hashtags -o t.sqlite --fresh-within 1", "must be an age such as 90m, 24h or 7d, not '1'"),
        ("hashtags -o t.sqlite --fresh-within=-1h", "--fresh-within must be a number of seconds"),
        ("hashtags -o t.sqlite --wait-outage=-1h", "--wait-outage must be a number of seconds"),
        ("-i bad.jsonl -s", "bad.jsonl, line 1: Expecting value"),
        (
            "hashtags -o t.sqlite --concurrency 0",
            "--concurrency must be a whole number of at least 1",
        ),
        ("hashtags -o t.sqlite --log-json -v", "--verbose would put plain lines between"),
    ],
)
def test_usage(line: str, problem: str, run: Run, sandbox: Sandbox) -> None:
    Path("plan.jsonl").write_text('{"endpoint": "music"}')
    Path("bad.jsonl").write_text("nonsense")
    Path("uk.jsonl").write_text('{"endpoint": "music", "region": "UK"}')
    Path("empty.jsonl").write_text("\n \n")
    music = '{"endpoint": "music", "search_keyword": "%s"}\n'
    Path("latin.jsonl").write_bytes((music % "a" + music % "\xe9").encode("latin-1"))
    code, out, err = run(f"crawl {line}")
    assert (code, out) == (2, "")
    assert problem in err
    assert not sandbox.requests
    assert len(list(Path.cwd().iterdir())) == 5  # the plans: nothing was made


def test_a_plan_from_a_file_or_a_pipe(
    run: Run, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("plan.jsonl").write_text('{"endpoint": "music", "region": "GB"}\n', encoding="utf-8-sig")
    code, out, _ = run("crawl videos -i plan.jsonl -s")
    assert (code, out.splitlines()[:2]) == (0, ["videos: 1 query", "music: 1 query"])
    with Path("plan.jsonl").open() as lines:
        monkeypatch.setattr(sys, "stdin", lines)
        assert run("crawl -i - -o t.sqlite --rate inf -q") == (0, "", "")
    assert len(sandbox.requests) == 5
    code, _, err = run("crawl -i no.jsonl -s")
    assert (code, err) == (1, "keyapi: can't read no.jsonl: No such file or directory\n")
    Path("plan.jsonl").write_text("")
    with Path("plan.jsonl").open() as lines:
        monkeypatch.setattr(sys, "stdin", lines)
        assert run("crawl -i - -s") == (2, "", "keyapi: standard input holds no query\n")


def test_a_printed_plan_is_one_that_can_be_read(run: Run) -> None:
    line = "crawl hashtags videos --every-region --region all_regions --keyword"
    code, out, err = run("crawl hashtags music --region US --region GB --keyword 日本 --print-plan")
    assert (code, err) == (0, "")
    plan = [json.loads(text) for text in out.splitlines()]
    assert [query["endpoint"] for query in plan] == ["hashtags"] * 2 + ["music"] * 2
    assert plan[2]["search_keyword"] == "日本"
    Path("plan.jsonl").write_text(out, encoding="utf-8")
    assert run("crawl -i plan.jsonl --print-plan") == (0, out, "")
    code, _, err = run(f"{line} x --print-plan")
    assert (code, "--search-keyword says nothing about hashtags or videos" in err) == (2, True)


def test_a_dry_run_and_a_printed_plan_show_the_shard_only(run: Run) -> None:
    plan = "crawl hashtags videos --region US --region GB --period 7 --period 30"
    code, whole, _ = run(f"{plan} --print-plan")
    parts = [run(f"{plan} --print-plan --shard {number}/3")[1] for number in (1, 2, 3)]
    assert code == 0
    assert [part.count("\n") for part in parts] == [1, 5, 2]
    assert sorted("".join(parts).splitlines()) == sorted(whole.splitlines())
    told = [run(f"{plan} -s --shard {number}/3")[1].splitlines()[-1] for number in (1, 2, 3)]
    assert [line.split(",")[0] for line in told] == ["1 query", "5 queries", "2 queries"]
    # Where details are asked for, lists of one region and period stay together.
    both = "crawl hashtags --region US --region GB --new-to-top-100 -i plan.jsonl --details all"
    Path("plan.jsonl").write_text(run("crawl hashtags --region US --region GB --print-plan")[1])
    shown = [run(f"{both} --print-plan --shard {number}/2")[1] for number in (1, 2)]
    for region in ("US", "GB"):
        assert sorted(part.count(f'"region": "{region}"') for part in shown) == [0, 2]


def test_a_shard_without_a_list_is_a_good_end(run: Run, sandbox: Sandbox) -> None:
    crawl = "crawl hashtags --region US"
    (empty,) = [
        part for part in ("1/2", "2/2") if not run(f"{crawl} --print-plan --shard {part}")[1]
    ]
    assert run(f"{crawl} --shard {empty} -s") == (
        0,
        "0 queries, about 0 pages, 0 credits if lists are as long as usual\n",
        "",
    )
    told = "keyapi: t.sqlite: snapshot 1: this shard has no list of the plan; nothing to do\n"
    for command in (f"{crawl} --shard {empty} -o t.sqlite", "crawl --resume t.sqlite"):
        assert run(command) == (0, "", told)
    assert run("export t.sqlite -o out.csv") == (0, "", "keyapi: out.csv: nothing new to write\n")
    code, out, _ = run("status t.sqlite")
    assert (code, "0 of 0 lists done" in out) == (0, True)
    assert not sandbox.requests
