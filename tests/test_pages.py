"""Pages of both shapes, answers without their list, and checkpoints."""

from __future__ import annotations

import pickle
from typing import Any

import pytest
from attrs.exceptions import FrozenInstanceError
from contract import DETAILS, ENDPOINTS, LISTS, OneAnswer, example, read
from hypothesis import given, settings
from hypothesis import strategies as st

from keyapi_async import Checkpoint, Hashtag, InvalidResponseError, Page, StopReason, Video
from keyapi_async.queries import HashtagsQuery, MusicQuery, VideosQuery
from keyapi_async.trending import Trending

HASHTAGS = "/v1/tiktok/trending/hashtags"


def page_of(endpoint: str, items: object, **pagination: object) -> Any:
    return read(endpoint, {LISTS[endpoint]: items, "pagination": pagination})


# -- pages -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("endpoint", LISTS)
def test_both_shapes_of_pagination_give_the_same_page(endpoint: str) -> None:
    shapes = {"size": 20, "total": 99}, {"limit": 20, "total_count": 99}
    one, other = (page_of(endpoint, [], page=3, has_more=True, **shape) for shape in shapes)
    assert (
        one
        == other
        == Page(items=(), number=3, has_more=True, size=20, total=99, request_id="req-1")
    )
    assert hash(one) == hash(other)
    assert one.raw != other.raw


def test_the_documented_pages() -> None:
    pages = [read(endpoint, example(endpoint)["data"]) for endpoint in LISTS]
    assert [(page.number, page.size, page.total, page.has_more) for page in pages] == [
        *[(1, 1, 100, True), (1, 1, 500, True), (1, 1, 99, True)]
    ]


def test_an_empty_list_is_an_empty_page() -> None:
    page = page_of("hashtags", [], page=6, size=20, total=100, has_more=False)
    assert page.items == ()
    assert (page.number, page.has_more) == (6, False)


@pytest.mark.parametrize("endpoint", LISTS)
def test_size_and_total_may_be_missing_or_null(endpoint: str) -> None:
    nulls: dict[str, None] = dict.fromkeys(["size", "limit", "total", "total_count"])
    for pagination in ({}, nulls):
        page = page_of(endpoint, [], page=1, has_more=False, **pagination)
        assert (page.size, page.total) == (None, None)


def test_zero_is_a_total() -> None:
    page = page_of("videos", [], page=1, has_more=False, total=0, total_count=5, size=0, limit=5)
    assert (page.total, page.size) == (0, 0)


def test_a_page_takes_whatever_number_the_answer_bears() -> None:
    assert page_of("hashtags", [], page=2**70, has_more=True).number == 2**70


def test_a_page_is_a_value() -> None:
    item = {"hashtag_id": "1", "hashtag_name": "clean"}
    page, same = (page_of("hashtags", [item], page=1, has_more=False) for _ in range(2))
    assert page == same
    assert len({page, same}) == 1
    assert "raw" not in repr(page)
    assert (
        pickle.loads(pickle.dumps(page)).raw
        == page.raw
        == {
            "list": [item],
            "pagination": {"page": 1, "has_more": False},
        }
    )
    with pytest.raises(FrozenInstanceError):
        page.number = 2


# -- what is no page -------------------------------------------------------------------------------

FOUND = [
    (None, "null"),
    ({}, "empty"),
    ([], "list"),
    ("x", "str"),
    (0, "int"),
    (0.5, "float"),
    (False, "bool"),
]


@pytest.mark.parametrize("endpoint", ENDPOINTS)
@pytest.mark.parametrize(("data", "found"), FOUND)
def test_data_without_content_is_no_success(endpoint: str, data: object, found: str) -> None:
    with pytest.raises(InvalidResponseError) as caught:
        read(endpoint, data)
    assert str(caught.value) == f"data: expected an object with content, it is {found}"
    assert caught.value.path == "data"


@pytest.mark.parametrize("endpoint", DETAILS)
@pytest.mark.parametrize(("value", "found"), [*FOUND, (..., "null")])
def test_a_detail_without_its_object_is_no_success(
    endpoint: str, value: object, found: str
) -> None:
    path = f"data.{DETAILS[endpoint]}"
    with pytest.raises(InvalidResponseError) as caught:
        read(endpoint, {"novel": 1} | ({} if value is ... else {DETAILS[endpoint]: value}))
    assert str(caught.value) == f"{path}: expected an object with content, it is {found}"
    assert caught.value.path == path


@pytest.mark.parametrize("endpoint", LISTS)
@pytest.mark.parametrize(
    ("value", "found"), [(None, "null"), (..., "null"), ({}, "dict"), ("x", "str"), (0, "int")]
)
def test_an_answer_without_its_list_is_no_empty_page(
    endpoint: str, value: object, found: str
) -> None:
    path = f"data.{LISTS[endpoint]}"
    data = example(endpoint)["data"] | {LISTS[endpoint]: value}
    if value is ...:
        del data[LISTS[endpoint]]
    with pytest.raises(InvalidResponseError) as caught:
        read(endpoint, data)
    assert str(caught.value) == f"{path}: expected a list, it is {found}"
    assert caught.value.path == path


@pytest.mark.parametrize("endpoint", LISTS)
def test_the_list_of_another_endpoint_is_not_taken(endpoint: str) -> None:
    for other in LISTS.keys() - {endpoint}:
        with pytest.raises(InvalidResponseError, match=f"data.{LISTS[endpoint]}: expected a list"):
            read(endpoint, example(other)["data"])


@pytest.mark.parametrize("endpoint", LISTS)
@pytest.mark.parametrize(
    ("pagination", "path"),
    [
        (..., "data.pagination"),
        (None, "data.pagination"),
        ({}, "data.pagination"),
        ([], "data.pagination"),
        ({"page": 1}, "data.pagination.has_more"),
        ({"has_more": True}, "data.pagination.page"),
        ({"page": None, "has_more": True}, "data.pagination.page"),
        ({"page": "1", "has_more": True}, "data.pagination.page"),
        ({"page": True, "has_more": True}, "data.pagination.page"),
        ({"page": 1, "has_more": None}, "data.pagination.has_more"),
        ({"page": 1, "has_more": 1}, "data.pagination.has_more"),
        ({"page": 1, "has_more": "false"}, "data.pagination.has_more"),
        ({"page": 1, "has_more": True, "size": "20"}, "data.pagination.size"),
        ({"page": 1, "has_more": True, "total_count": 1.5}, "data.pagination.total_count"),
    ],
)
def test_a_page_without_its_pagination_is_no_page(
    endpoint: str, pagination: object, path: str
) -> None:
    data: dict[str, Any] = {LISTS[endpoint]: []}
    if pagination is not ...:
        data["pagination"] = pagination
    with pytest.raises(InvalidResponseError) as caught:
        read(endpoint, data)
    assert caught.value.path == path
    assert str(caught.value).startswith(f"{path}: ")


def test_the_reasons_to_stop() -> None:
    assert [str(reason) for reason in StopReason] == [
        *("exhausted", "max_items", "max_pages", "empty_page")
    ]


def test_a_page_of_one_kind_is_no_page_of_another() -> None:
    assert Page(items=(Hashtag(hashtag_id="1", hashtag_name="x"),), number=1, has_more=False) != (
        Page(items=(Video(item_id="1"),), number=1, has_more=False)
    )


# -- checkpoints -----------------------------------------------------------------------------------

PLACE = Checkpoint(path=HASHTAGS, params={"limit": "20"}, page=3, offset=7, seen=("1", "\ud83d"))


def test_a_checkpoint_is_written_as_json() -> None:
    text = str(PLACE)
    assert text == (
        '{"path":"/v1/tiktok/trending/hashtags","params":{"limit":"20"},"page":3,"offset":7,'
        '"seen":["1","\\ud83d"]}'
    )
    assert Checkpoint.parse(text) == PLACE
    assert {PLACE, Checkpoint.parse(text)} == {PLACE}
    assert pickle.loads(pickle.dumps(PLACE)) == PLACE


TEXTS = st.text(st.characters(), max_size=9)  # lone surrogates are among these


@settings(deadline=None)
@given(
    st.builds(
        Checkpoint,
        path=TEXTS,
        params=st.dictionaries(TEXTS, TEXTS, max_size=4),
        page=st.integers(1, 2**63 - 1) | st.none(),
        offset=st.integers(0),
        seen=st.lists(TEXTS, max_size=4).map(tuple),
    )
)
def test_a_checkpoint_is_read_back_as_written(checkpoint: Checkpoint) -> None:
    text = str(checkpoint)
    assert text.isascii()
    assert text.isprintable()
    assert Checkpoint.parse(text) == checkpoint


FIELDS = '"path": "/v1", "params": {}'


def test_what_a_checkpoint_may_leave_out_and_what_a_later_version_may_add() -> None:
    assert Checkpoint.parse(f'{{{FIELDS}, "page": null, "novel": 1}}') == Checkpoint(
        path="/v1", params={}, page=None, offset=0, seen=()
    )


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "page 3",
        "null",
        "[]",
        "{}",
        "3",
        '{"path": "/v1", "page": 1}',
        f"{{{FIELDS}}}",
        f'{{{FIELDS}, "page": 1',
        f'{{{FIELDS}, "page": 0}}',
        f'{{{FIELDS}, "page": -1}}',
        f'{{{FIELDS}, "page": "1"}}',
        f'{{{FIELDS}, "page": 1.0}}',
        f'{{{FIELDS}, "page": true}}',
        f'{{{FIELDS}, "page": NaN}}',
        f'{{{FIELDS}, "page": {2**63}}}',
        f'{{{FIELDS}, "page": {"9" * 5000}}}',
        f'{{{FIELDS}, "page": 1, "offset": -1}}',
        f'{{{FIELDS}, "page": 1, "offset": null}}',
        f'{{{FIELDS}, "page": 1, "seen": null}}',
        f'{{{FIELDS}, "page": 1, "seen": [1]}}',
        f'{{{FIELDS}, "page": 1, "seen": "12"}}',
        '{"path": 1, "params": {}, "page": 1}',
        '{"path": "/v1", "params": {"limit": 20}, "page": 1}',
        '{"path": "/v1", "params": [], "page": 1}',
        f'{{{FIELDS}, "page": 1, "\\ud800": 1}}',
        "[" * 100_000,
        '{"a":' * 100_000,
        "\ud800",
        "\x00",
        "x" * 10**7,
    ],
    ids=lambda text: ascii(text[-30:]) + str(len(text)),
)
def test_what_is_no_checkpoint_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"^start must be a Checkpoint or its str\(\), not ") as e:
        Checkpoint.parse(text)
    assert len(str(e.value)) < 200


@pytest.mark.parametrize("value", [None, 3, b"{}", PLACE])
def test_what_is_no_text_is_no_checkpoint(value: Any) -> None:
    with pytest.raises(ValueError, match=r"^start must be a Checkpoint or its str\(\), not "):
        Checkpoint.parse(value)


@settings(deadline=None)
@given(st.integers(0, 140), st.integers(0, 20), st.text(st.characters(), max_size=5))
def test_a_damaged_checkpoint_is_refused_or_still_a_place(at: int, cut: int, new: str) -> None:
    text = str(PLACE)
    place, refusal = None, ""
    try:
        place = Checkpoint.parse(text[:at] + new + text[at + cut :])
    except ValueError as error:
        refusal = str(error)
    if place is None:
        assert refusal.startswith("start must be a Checkpoint or its str(), not ")
    else:
        assert place.page is None or place.page >= 1
        assert place.offset >= 0
        assert Checkpoint.parse(str(place)) == place


@pytest.mark.parametrize("endpoint", LISTS)
def test_a_checkpoint_goes_on_with_the_same_list_alone(endpoint: str) -> None:
    begin = getattr(Trending(OneAnswer({})), f"iter_{endpoint}")  # type: ignore[arg-type]
    place = begin(region="GB", start_page=4, page_size=5).checkpoint()
    again = begin(region="GB", page_size=5, start=str(place)).checkpoint()
    assert again == place == begin(region="GB", page_size=5, start=place).checkpoint()
    assert again.page == 4

    def refusal(**params: Any) -> str:
        with pytest.raises(ValueError) as caught:
            begin(**{"region": "GB", "page_size": 5, "start": str(place)} | params)
        return str(caught.value)

    assert refusal(region="FR") == "start was made with region='GB', which can't go on with 'FR'"
    assert refusal(page_size=20) == "start was made with page_size='5', which can't go on with '20'"
    assert refusal(period=30) == "start was made with period='7', which can't go on with '30'"


def test_a_checkpoint_of_another_endpoint_is_refused_by_name() -> None:
    place = Checkpoint(path="/v1/tiktok/trending/music", params={}, page=1)
    with pytest.raises(ValueError) as caught:
        place.check(VideosQuery())
    assert str(caught.value) == (
        "start is a checkpoint of /v1/tiktok/trending/music, not of /v1/tiktok/trending/videos"
    )


def test_a_checkpoint_with_a_parameter_missing_or_too_many_is_refused() -> None:
    params = {
        "search_keyword": "FALSE",
        "limit": "20",
        "period": "7",
        "region": "US",
        "new_to_top_100": "false",
        "commercial_music": "false",
    }
    path = "/v1/tiktok/trending/music"
    Checkpoint(path=path, params=params, page=1).check(MusicQuery())
    for wrong, name in [
        ({**params, "novel": "1"}, "novel='1', which can't go on with None"),
        ({k: v for k, v in params.items() if k != "limit"}, "page_size=None, which can't"),
    ]:
        with pytest.raises(ValueError, match=f"^start was made with {name}"):
            Checkpoint(path=path, params=wrong, page=1).check(MusicQuery())


def test_the_page_is_no_filter() -> None:
    params = {
        "limit": "20",
        "period": "7",
        "region": "all_regions",
        "industry_id": "nothing",
        "new_to_top_100": "false",
    }
    Checkpoint(path=HASHTAGS, params=params, page=9).check(HashtagsQuery.of(page=2))
