"""The commands for trends: their filters, their pages, and where they come from."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from keyapi_async.cli import main
from keyapi_async.sandbox import Fault, Sandbox
from tests.cli.command_line import FAST, Run, json_lines


@pytest.mark.parametrize(("limit", "pages"), [(0, 0), (1, 1), (20, 1), (21, 2), (47, 3), (500, 5)])
def test_limit_is_exact(sandbox: Sandbox, capsys: Any, limit: int, pages: int) -> None:
    assert main(["hashtags", "--limit", str(limit), *FAST]) == 0
    out, err = capsys.readouterr()
    assert json_lines(out) == sandbox.items("hashtags")[:limit]
    assert (len(sandbox.requests), sandbox.credits_spent) == (pages, 2 * pages)
    assert err == ""


@pytest.mark.parametrize(
    ("command", "options", "wire"),
    [
        ("hashtags", "", {}),
        (
            "hashtags",
            "--period 120 --region XX --allow-unknown --industry 25000000000 --new-to-top-100",
            {
                "period": "120",
                "region": "XX",
                "industry_id": "25000000000",
                "new_to_top_100": "true",
            },
        ),
        (
            "videos",
            "--period 30 --region GB --order-by repost",
            {"period": "30", "region": "GB", "order_by": "repost"},
        ),
        (
            "music",
            "--search-keyword sun --period=7 --region DE --new-to-top-100 --commercial-music",
            {
                "search_keyword": "sun",
                "region": "DE",
                "new_to_top_100": "true",
                "commercial_music": "true",
            },
        ),
    ],
)
def test_every_filter(
    sandbox: Sandbox, capsys: Any, command: str, options: str, wire: dict[str, str]
) -> None:
    assert main([command, *options.split(), *FAST]) == 0
    assert json_lines(capsys.readouterr().out) == sandbox.items(command, **wire)
    assert sandbox.requests[0].params.items() >= wire.items()
    assert sandbox.credits_spent == 2 * len(sandbox.requests)


def test_page_options(sandbox: Sandbox, run: Run) -> None:
    _, out, _ = run("hashtags --page-size 7 --start-page 3 --limit 15 --prefetch 0 --rate inf")
    assert json_lines(out) == sandbox.items("hashtags")[14:29]
    assert [record.page for record in sandbox.requests] == [3, 4, 5]


def test_details_are_one_line(sandbox: Sandbox, run: Run) -> None:
    code, out, _ = run("hashtag #ufc324 --period 1095 --region US")
    [detail] = json_lines(out)
    assert (code, detail["hashtag_name"]) == (0, "ufc324")
    assert sandbox.requests[0].params == {
        "period": "1095",
        "region": "US",
        "hashtag_name": "ufc324",
    }
    clip = sandbox.items("music")[0]["clip_id"]
    code, out, _ = run(f"sound {clip}")
    [detail] = json_lines(out)
    assert (code, detail["sound"]["clip_id"]) == (0, clip)
    assert sandbox.credits_spent == 4


def test_an_empty_page_that_ends_the_list_is_told(sandbox: Sandbox, run: Run) -> None:
    sandbox.fail(Fault.empty(), page=2)
    code, out, err = run("hashtags --rate inf")
    assert (code, len(json_lines(out))) == (0, 20)
    assert err == "keyapi: an empty page ended the list: 20 of 100 hashtags came\n"
    sandbox.fail(Fault.empty(), page=2)
    assert run("hashtags -q --rate inf")[2] == ""


def test_a_list_without_a_total(sandbox: Sandbox, terminal: Callable[..., str]) -> None:
    data = {"list": [], "pagination": {"page": 1, "has_more": False}}
    sandbox.fail(Fault.data(data))
    screen = terminal("hashtags")
    assert screen.endswith("keyapi: 0 hashtags · 1 page · 2 credits\n")


def test_sandbox_needs_no_key(run: Run) -> None:
    code, out, err = run("hashtags --sandbox --limit 25 --rate inf")
    with Sandbox() as same:
        assert (code, json_lines(out)) == (0, same.items("hashtags")[:25])
    assert err == "keyapi: asking a sandbox: the data is made up, no key is used\n"


SIXTH = """
import sys, types
from typing import Literal
from attrs import field, frozen
from keyapi_async import queries
import keyapi_async

def _mood(value: Literal["glad", "sad"] | None) -> str:
    return value or "any"

@frozen(kw_only=True)
class TunesQuery(queries.MusicQuery):
    '''Tunes.

    Args:
        mood: Only those of
            this mood.
        region: Where.
    '''

    name = "tunes"
    noun = "tune"
    regions = types.MappingProxyType({"AQ": "Antarctica"})
    mood: str = field(default=None, converter=_mood)
    region: str = field(default="AQ", converter=queries._region)

every = types.MappingProxyType({**queries.ENDPOINTS, "tunes": TunesQuery})
queries.ENDPOINTS = keyapi_async.ENDPOINTS = every
from keyapi_async.cli import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.slow
def test_a_sixth_endpoint_needs_its_descriptor_alone(sandbox: Sandbox, tmp_path: Path) -> None:
    def typed(line: str, *more: str) -> tuple[int, str]:
        done = subprocess.run(
            [sys.executable, "-c", SIXTH, *line.split(), *more],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
            timeout=20,
        )
        return done.returncode, done.stdout + done.stderr

    code, told = typed("tunes --help")
    assert (code, "Only those of this mood. [choices: glad, sad]" in told) == (0, True)
    assert "Known regions: AQ" in told
    code, told = typed("tunes --mood glum")
    assert (code, 'Choose from: "glad", "sad"' in told) == (2, True)
    assert "AQ\tAntarctica" in typed("__complete tunes --region", "")[1]
    assert typed("tunes --region UK")[0] == 2
    assert typed("tunes --mood glad --limit 2 --format table")[1].count("\n") == 3
    code, told = typed("crawl tunes hashtags --mood glad --mood sad -s")
    assert (code, "tunes: 2 queries" in told) == (0, True)
    assert typed("crawl tunes --mood glad -o t.sqlite --rate inf -q") == (0, "")
    code, told = typed("export t.sqlite --endpoint tunes -o tunes.csv")
    assert (code, f"tunes.csv: {len(sandbox.items('music', region='AQ'))} items" in told) == (
        0,
        True,
    )
    assert [request.params.get("mood") for request in sandbox.requests] == ["glad"] * 6


def test_what_was_fetched_not_long_ago_is_free(
    sandbox: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    first = run("hashtags --limit 40 --reuse 1h")
    assert (first[0], len(sandbox.requests)) == (0, 2)
    assert run("hashtags --limit 40 --reuse 1h") == first
    assert len(sandbox.requests) == 2
    assert run("hashtags --limit 20")[0] == 0  # without it, nothing is reused
    assert len(sandbox.requests) == 3
    file = tmp_path / "cache" / "keyapi" / "responses.sqlite"
    assert file.parent.stat().st_mode & 0o077 == 0
    assert sandbox.api_key.encode() not in file.read_bytes()
