"""Options come from the descriptors; unknown values are refused."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any, Literal

import pytest
from attrs import field, frozen
from cyclopts import App, CycloptsError

from keyapi_async import (
    ENDPOINTS,
    HashtagDetailQuery,
    HashtagsQuery,
    ListQuery,
    MusicDetailQuery,
    MusicQuery,
    VideosQuery,
    reference,
)
from keyapi_async.cli.failures import CommandError
from keyapi_async.cli.known_values import LISTS, list_known
from keyapi_async.cli.query_options import (
    check_known,
    parameter_help,
    parameter_types,
    query_options,
    suggest,
    with_options,
)
from keyapi_async.sandbox import Sandbox
from tests.cli.command_line import Run

ALL = {"all_regions": "All regions", **reference.REGIONS}


def test_types_come_from_the_converters() -> None:
    short, long = Literal[7, 30, 120], Literal[7, 30, 120, 365, 1095]
    assert {name: parameter_types(query) for name, query in ENDPOINTS.items()} == {
        "hashtags": {"period": short, "region": str, "industry_id": str, "new_to_top_100": bool},
        "hashtag_detail": {"period": long, "region": str, "hashtag_name": str},
        "videos": {
            "period": short,
            "region": str,
            "order_by": Literal["vv", "like", "comment", "repost"],
        },
        "music": {
            "search_keyword": str,
            "period": short,
            "region": str,
            "new_to_top_100": bool,
            "commercial_music": bool,
        },
        "music_detail": {"period": short, "region": str, "clip_id": str},
    }


def test_defaults_and_help_come_from_the_descriptors() -> None:
    for query in ENDPOINTS.values():
        texts = parameter_help(query)
        assert texts.keys() >= parameter_types(query).keys()
        for option in query_options(query):
            if option.name == getattr(query, "subject", None):
                assert option.kind is option.POSITIONAL_ONLY
                assert option.default is option.empty
            else:
                assert option.default == getattr(query(), option.name) or not option.default


def test_a_grid_takes_several_values_of_all_but_flags() -> None:
    options = {option.name: option for option in query_options(*LISTS.values(), several=True)}
    assert {name: option.default for name, option in options.items()} == {
        "period": (),
        "region": (),
        "industry_id": (),
        "new_to_top_100": False,
        "order_by": (),
        "search_keyword": (),
        "commercial_music": False,
    }
    helps = {name: option.annotation.__metadata__[0].help for name, option in options.items()}
    assert helps["period"] == "Days: 7, 30 or 120."
    assert helps["order_by"] == "vv (hot), like, comment or repost (videos)."
    assert helps["new_to_top_100"].endswith("for the first time (hashtags, music).")


def _count(value: int) -> int:
    return value


@frozen(kw_only=True)
class OddQuery(ListQuery[Any]):
    """Odd."""

    name = "odd"
    regions = MappingProxyType({})
    least: int = field(default=1, converter=_count)


def test_a_parameter_that_is_a_number_and_has_no_help() -> None:
    assert parameter_types(OddQuery) == {"least": int}
    assert [option.name for option in query_options(OddQuery)] == ["least"]
    assert list_known(OddQuery).startswith("\n\nThe API key")


def test_choices_that_differ_are_all_offered() -> None:
    (period, *_) = query_options(HashtagsQuery, HashtagDetailQuery)
    app = App(result_action="return_value", exit_on_error=False, print_error=False)
    taken = with_options([period])(lambda **filters: filters)
    app.default(taken)
    assert app(["--period", "1095"]) == {"period": 1095}
    with pytest.raises(CycloptsError):
        app(["--period", "1"])


@pytest.mark.parametrize(
    ("value", "known", "meant"),
    [
        ("UK", ALL, "GB"),
        ("USA", ALL, "US"),
        ("us", ALL, "US"),
        ("germany", ALL, "DE"),
        ("Gemany", ALL, "DE"),
        ("US,GB", ALL, "US and GB, each in an option of its own"),
        ("us;gb", ALL, "US and GB, each in an option of its own"),
        ("all", {"all_regions": "All regions"}, ""),
        ("All regions", ALL, "all_regions"),
        ("XX", ALL, ""),
        ("UK", {"FR": "France"}, ""),
        ("Games", reference.INDUSTRIES, "25000000000 (Games)"),
        ("sports", reference.INDUSTRIES, ""),
        ("2500000000", reference.INDUSTRIES, "25000000000 (Games)"),
    ],
)
def test_suggestions(value: str, known: dict[str, str], meant: str) -> None:
    assert suggest(value, known) == meant


def test_what_is_known_passes() -> None:
    every = [HashtagsQuery(region=code) for code in HashtagsQuery.regions]
    every += [HashtagsQuery(industry_id=number) for number in reference.INDUSTRIES]
    every += [VideosQuery(region="RU"), MusicQuery(), HashtagDetailQuery(), MusicDetailQuery()]
    check_known(every)
    for query in (MusicQuery(region="all_regions"), VideosQuery(region="AT")):
        with pytest.raises(CommandError, match="is not known for"):
            check_known([query])


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (
            "hashtags --region UK --limit 1",
            "--region 'UK' is not known for hashtags: did you mean GB? (",
        ),
        ("hashtag cats --region usa", "'usa' is not known for hashtag_detail: did you mean US? ("),
        (
            "videos --region XX --rate inf --limit 1",
            "'XX' is not known for videos (--help lists what is known",
        ),
        ("crawl hashtags videos --region AT -s", "'AT' is not known for videos"),
        (
            "crawl hashtags --industry Games -s",
            "--industry-id 'Games' is not known for hashtags: did you mean 25000000000 (Games)? (",
        ),
    ],
)
def test_what_nobody_knows_is_refused(line: str, told: str, run: Run, sandbox: Sandbox) -> None:
    code, out, err = run(line)
    assert (code, out) == (2, "")
    assert told in err
    assert not sandbox.requests
    code, _, err = run(f"{line} --allow-unknown")
    assert "not known" not in err
    assert code == 0
