"""How items look on a terminal."""

from __future__ import annotations

import json
from collections.abc import Callable
from types import MappingProxyType
from typing import Any

import pytest
from attrs import field, frozen
from rich.console import Console

from keyapi_async import DetailQuery, ListQuery, Model
from keyapi_async.cli.tables import panel_for, table_for
from keyapi_async.sandbox import Fault, Sandbox
from tests.cli.command_line import Run


def test_a_table_on_a_terminal(sandbox: Sandbox, terminal: Callable[..., str]) -> None:
    screen = terminal("hashtags --limit 45 --rate inf")
    assert screen.count("Hashtag") == 1
    assert screen.count("\x1b]8;") == 2 * 45  # each name is a link
    assert screen.endswith("keyapi: 45 of 100 hashtags · 3 pages · 6 credits\n")
    assert sandbox.credits_spent == 6


@pytest.mark.parametrize("command", ["videos", "music"])
def test_other_tables(sandbox: Sandbox, terminal: Callable[..., str], command: str) -> None:
    rows = terminal(f"{command} --limit 10 -q").splitlines()
    assert len(rows) == 11
    key = {"videos": "item_id", "music": "clip_id"}[command]
    for row, item in zip(rows[1:], sandbox.items(command), strict=False):
        assert str(item[key]) in row


def test_a_table_of_odd_values(sandbox: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    points = [{"value": None}, {"value": 0.5}, {"value": 7}, {"value": -1}]
    name = f"[bold]\x1b[2J\ud83d\u202e{sandbox.api_key}"
    odd = [
        {"hashtag_name": name, "trend": points, "publish_cnt": 999_500},
        {"hashtag_name": "up", "rank_diff_type": 1, "rank_diff": 12, "video_views": 999},
        {"hashtag_name": "down", "rank_diff_type": 3, "rank_diff": -3, "video_views": 10**16},
        {"hashtag_name": "same", "rank_diff_type": 2, "rank_diff": 0, "publish_cnt": 99_960},
        {"hashtag_name": "new", "rank_diff_type": 4, "industry_info": {"value": "Games"}},
        {"hashtag_name": "long", "trend": [{"value": i / 120} for i in range(120)]},
    ]
    items = [{"hashtag_id": str(i), **tag} for i, tag in enumerate(odd)]
    pagination = {"page": 1, "has_more": False}
    sandbox.fail(Fault.data({"list": [], "pagination": pagination}))
    body = json.dumps({"code": 0, "data": {"list": items, "pagination": pagination}})
    assert run("hashtags --format table") == (0, "", "")  # an empty list
    sandbox.fail(Fault.body(body.encode()))
    code, out, _ = run("hashtags --format table")
    assert code == 0
    assert [" ".join(row.split()) for row in out.splitlines()] == [
        "# Hashtag Posts Views Industry Trend",
        "[bold]\ufffd[2J\ufffd\ufffd*** 1M ▅█▁",
        "▲12 up 999",
        "▼3 down 10P",
        "same 100K",
        "new new Games",
        "long ▁▁▂▃▃▄▅▅▆▇▇█",
    ]


def test_details_on_a_terminal(sandbox: Sandbox, terminal: Callable[..., str]) -> None:
    screen = terminal("hashtag ufc324 --sandbox") + terminal("sound 6703723351497508865")
    assert screen.startswith("keyapi: asking a sandbox")
    assert "#ufc324" in screen
    for label in ("Posts", "Views", "Trend", "Countries", "Interests", "Clip", "Author"):
        assert label in screen
    assert len(sandbox.requests) == 1


def test_sparse_details(sandbox: Sandbox, run: Run) -> None:
    many = [{"hashtag_name": f"tag{i}"} for i in range(9)]
    info = {
        "hashtag_id": 1,
        "hashtag_name": "few",
        "publish_cnt": 5,
        "related_hashtags": many,
        "longevity": {"popular_days": 2},
        "audience_countries": [
            {"score": 5},
            {"country_info": {"value": "Fiji"}, "score": 7},
            {"country_info": {"value": "Chad"}, "score": 70.5},
            {"country_info": {"value": "Mali"}},
        ],
    }
    sandbox.fail(Fault.data({"info": info}))
    rows = [row.strip("│ ") for row in run("hashtag few --format table")[1].splitlines()]
    assert "#few" in rows[0]
    assert " ".join(" ".join(rows[1:-1]).split()) == (
        "Posts 5 Popular 2 days Countries Chad 70.5, Fiji 7 Related "
        "#tag0, #tag1, #tag2, #tag3, #tag4, #tag5, #tag6, #tag7, …"
    )
    sandbox.fail(Fault.data({"sound": {"clip_id": "7", "longevity": {"popular_days": 1}}}))
    rows = [row.strip("│ ") for row in run("sound 7 --format table")[1].splitlines()]
    assert "7" in rows[0]
    assert [row.split() for row in rows[1:-1]] == [["Clip", "7"], ["Popular", "1", "day"]]


@frozen(kw_only=True)
class Game(Model):
    players: int | None = None
    game_id: str
    tags: tuple[str, ...] = ()
    title: str | None = None


@frozen(kw_only=True)
class GamesQuery(ListQuery[Game]):
    item = Game
    item_key = "game_id"


@frozen(kw_only=True)
class GameQuery(DetailQuery[Game]):
    item = Game
    item_key = "game_id"
    regions = MappingProxyType({})
    game: str = field(default="chess", converter=str)


def test_models_nobody_made_a_layout_for(capsys: Any) -> None:
    games = [Game(game_id="1", title="\x1b[2J", players=2, tags=("old",)), Game(game_id="2")]
    Console(width=60).print(table_for(GamesQuery)(games, True))
    heading, *rows = [row.split() for row in capsys.readouterr().out.splitlines()]
    assert heading == ["game_id", "players", "title"]
    assert rows == [["1", "2", "\ufffd[2J"], ["2"]]
    Console(width=60).print(panel_for(GameQuery)(games, True))
    rows = [row.strip("│ ").split() for row in capsys.readouterr().out.splitlines()]
    assert rows[1:-1] == [["players", "2"], ["game_id", "1"], ["title", "\ufffd[2J"]]
