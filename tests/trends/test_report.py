"""The report, without a browser: its size, its words, and what it needs."""

from __future__ import annotations

import random
import re
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from keyapi_async import HashtagsQuery, MusicQuery, VideosQuery, trends
from keyapi_async.crawl import StoreError, grid
from keyapi_async.crawl.jobs import Options
from keyapi_async.trends import charts, wording
from tests.trends.scripted import Listing, add_day, day

US = HashtagsQuery(region="US")
GB = HashtagsQuery(region="GB")
DE = HashtagsQuery(region="DE")
US_30 = HashtagsQuery(region="US", period=30)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "trends.sqlite"


def page(path: Path, **options: object) -> str:
    output = path.with_name("page.html")
    trends.report(path, output, **options)  # type: ignore[arg-type]
    text = output.read_text(encoding="utf-8")
    body = re.sub(r"<(style|script)>.*?</\1>", "", text, flags=re.DOTALL)
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", body))


def test_it_says_what_moved_where(path: Path) -> None:
    add_day(path, day(1), {US: Listing("abc"), GB: Listing("abc"), MusicQuery(): Listing("x")})
    add_day(path, day(3), {US: Listing("cad"), GB: Listing("acb"), MusicQuery(): Listing("x")})
    text = page(path)
    assert "Tuesday, 3 February 2026" in text
    assert "2 days before: the days between have no complete list" in text
    assert "name of c climbed from 3 to 1 (hashtags, United States, 7 days)" in text
    assert "name of d entered at 3" in text
    assert "name of b , at 2 before, is gone" in text
    assert "is listed in 2 regions at once (hashtags)" in text
    assert "the day has no snapshot" in text


def test_each_item_is_told_with_the_move_that_matters_most(path: Path) -> None:
    add_day(path, day(1), {US: Listing("abcd"), GB: Listing("abcd")})
    add_day(path, day(2), {US: Listing("abdc"), GB: Listing("dabc")})
    text = page(path)
    assert "name of d climbed from 4 to 1 (hashtags, United Kingdom, 7 days)" in text
    assert "Rose in US , too" in text


def test_a_first_day_has_lists_alone(path: Path) -> None:
    videos = VideosQuery(region="US", order_by="like")
    add_day(path, day(1), {US: Listing("abc", views={"a": 1500}), videos: Listing()})
    text = page(path)
    assert "There is no earlier day to compare with yet" in text
    assert "name of a 1.5K" in text
    assert "Videos · order by like" in text
    assert "The list is empty." in text
    assert "2 lists could not be compared" in text


def test_a_list_that_is_not_complete_shows_its_last_state(path: Path) -> None:
    add_day(path, day(1), {US: Listing("abc"), GB: Listing("xyz")})
    add_day(path, day(2), {US: Listing("cab"), GB: Listing("x").cut()})
    text = page(path)
    assert "its list of 2026-02-02 is incomplete" in text
    assert "name of z" in text
    assert "1 thing is wrong with the data of 2026-02-02" in text
    assert "2026-02-02 2 1 4" in text  # a day, its lists, those complete, their items
    assert "name of z" not in page(path, day=day(2)).partition("Every list")[0]
    assert "Sunday, 1 February 2026" in page(path, day=day(1))


def test_lists_compared_with_differing_days(path: Path) -> None:
    add_day(path, day(1), {US: Listing("ab"), GB: Listing("ab"), US_30: Listing("ab")})
    add_day(path, day(2), {US: Listing("ba"), GB: Listing("ba").cut(), US_30: Listing("ab")})
    add_day(path, day(3), {US: Listing("ab"), GB: Listing("ab"), US_30: Listing("ba")})
    for number in (2, 3):  # and one that never was complete
        add_day(path, day(number), {DE: Listing("ab", "pending")}, hour=12)
    assert "Some lists are compared with another day" in page(path)
    assert "1 with 2026-02-01" in page(path)


def test_many_problems_and_regions_are_counted(path: Path) -> None:
    plan = grid("hashtags", region=[f"R{number}" for number in range(45)])
    add_day(path, day(1), {query: Listing("ab") for query in plan})
    add_day(path, day(2), {query: Listing("ba") for query in plan})
    add_day(path, day(3), {q: Listing("ba") if n else Listing("ab") for n, q in enumerate(plan)})
    assert "and 35 more" in page(path)
    add_day(
        path, day(4), {q: Listing("b", "done" if not n else "failed") for n, q in enumerate(plan)}
    )
    text = page(path)
    assert "and 5 more" in text


def test_there_is_nothing_to_report(path: Path) -> None:
    add_day(path, day(1), {US: Listing("ab").cut()})
    with pytest.raises(StoreError, match="no list is complete yet"):
        trends.report(path, path.with_name("page.html"))
    assert not path.with_name("page.html").exists()


def test_it_needs_jinja2(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(StoreError, match=r"a report needs jinja2: .*keyapi-async\[cli\]"):
        trends.report(path, path.with_name("page.html"))


def test_importing_trends_takes_no_extra() -> None:
    script = "import sys; import keyapi_async.trends; print({'jinja2', 'rich'} & set(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout == "set()\n"


SIXTH = """
import sys
from types import MappingProxyType
from attrs import field, frozen
import keyapi_async.queries as queries
from keyapi_async.models import Model

@frozen(kw_only=True)
class Effect(Model):
    effect_id: str
    caption: str | None = None
    plays: int | None = None

@frozen(kw_only=True)
class EffectsQuery(queries.ListQuery[Effect]):
    name, path, noun, shape = "effects", "/effects", "effect", object
    data_key, item, item_key = "effects", Effect, "effect_id"
    label, views, regions = "caption", "plays", MappingProxyType({})
    mood: str = "any"

queries.ENDPOINTS = MappingProxyType({**queries.ENDPOINTS, "effects": EffectsQuery})

from pathlib import Path
from keyapi_async import trends
from tests.trends.scripted import Listing, add_day, day
path = Path(sys.argv[1])
add_day(path, day(1), {EffectsQuery(): Listing("ab", views={"a": 1})})
add_day(path, day(2), {EffectsQuery(): Listing("ba", views={"a": 3})})
print([(move.item_id, move.name, move.kind, move.growth) for move in trends.movers(path)])
trends.report(path, path.with_suffix(".html"))
print("Everywhere" in path.with_suffix(".html").read_text())
"""


def test_a_sixth_endpoint_is_one_descriptor(path: Path) -> None:
    root = Path(__file__).parents[2]
    command = [sys.executable, "-c", SIXTH, str(path)]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    assert (
        done.stdout
        == "[('b', 'name of b', 'risen', None), ('a', 'name of a', 'fallen', 2.0)]\nTrue\n"
    )


@pytest.mark.slow
def test_150_lists_of_30_days_stay_below_500_kb(path: Path) -> None:
    plan = grid("hashtags", region=[f"R{n}" for n in range(50)], period=[7, 30, 120])
    dice = random.Random(0)
    names = ["".join(dice.choices("abcdefghij_é語", k=25)) for _ in range(60)]
    for number in range(30):
        lists = {}
        for query in plan:
            rows = [
                {
                    "hashtag_id": name,
                    "hashtag_name": name,
                    "rank": rank,
                    "video_views": 10**9 // rank,
                }
                for rank, name in enumerate(dice.sample(names, 40), 1)
            ]
            lists[query] = Listing(rows)
        add_day(path, day(1) + timedelta(days=number), lists, options=Options())
    output = path.with_suffix(".html")
    trends.report(path, output)
    assert 100_000 < output.stat().st_size < 500_000


# -- its parts ---------------------------------------------------------------------------------


def test_ranks_are_drawn_the_best_on_top() -> None:
    ranks = [(day(1), 8), (day(2), 2), (day(3), None), (day(4), 3), (day(6), 1)]
    line = charts.draw(ranks, day(6), days=6, step=10, height=100)
    assert [x for x, _ in line.points] == [0, 10, 30, 50]
    heights = [y for _, y in line.points]
    assert heights[3] == 0 < heights[1] < heights[2] < heights[0] <= 100
    assert (
        line.path
        == f"M0 {heights[0]}h0l10-{heights[0] - heights[1]}M30 {heights[2]}h0l20-{heights[2]}"
    )
    assert charts.draw(ranks, day(6), days=1, step=10, height=100).path == "M0 0h0"
    assert charts.draw([(day(1), None)], day(1), days=30, step=10, height=100).path == ""
    steady = charts.draw([(day(n), 1) for n in (1, 2, 3)], day(3), days=3, step=5, height=14)
    assert steady.path == "M0 0h0l5 0 5 0"


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (None, ""),
        (0, "0"),
        (999, "999"),
        (1234, "1.23K"),
        (48_949, "48.9K"),
        (10**6, "1M"),
        (2**65, "36.9E"),
    ],
)
def test_counts_are_short(number: int | None, text: str) -> None:
    assert wording.shorten(number) == text


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (None, ""),
        (0.0123, "+1.2%"),
        (-0.05, "\u22125.0%"),
        (0.5, "+50%"),
        (-1.0, "\u2212100%"),
        (999.0, "\u00d71K"),
    ],
)
def test_growth_is_signed(share: float | None, text: str) -> None:
    assert wording.percent(share) == text


def test_names_are_one_short_line() -> None:
    assert wording.clean(" a\n\tb\x1b[0m\ud800 ") == "a b [0m"
    assert wording.clean("\u202e") == "–"  # noqa: RUF001
    assert wording.clean("x" * 71) == "x" * 69 + "…"
