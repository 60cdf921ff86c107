"""Pages of both shapes, answers without their list, and checkpoints."""

from __future__ import annotations

import pickle
from typing import Any

import pytest
from attrs.exceptions import FrozenInstanceError

from keyapi_async import Hashtag, InvalidResponseError, Page, StopReason, Video
from tests.core.documented_bodies import DETAILS, ENDPOINTS, LISTS, example
from tests.core.one_answer import read

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
@pytest.mark.parametrize(
    ("value", "found"),
    [
        (None, "null"),
        ([], "array"),
        ("x", "str"),
        (0, "int"),
        (0.5, "float"),
        (False, "bool"),
    ],
)
def test_a_detail_without_its_object_is_no_success(
    endpoint: str, value: object, found: str
) -> None:
    path = f"data.{DETAILS[endpoint]}"
    with pytest.raises(InvalidResponseError) as caught:
        read(endpoint, {"novel": 1, DETAILS[endpoint]: value})
    assert str(caught.value) == f"{path}: Expected `object`, got `{found}`"
    assert caught.value.path == path


@pytest.mark.parametrize(
    ("endpoint", "identity"), [("hashtag_detail", "hashtag_id"), ("music_detail", "clip_id")]
)
def test_a_detail_with_no_or_an_empty_object_is_no_success(endpoint: str, identity: str) -> None:
    key = DETAILS[endpoint]
    for data, path in (({"novel": 1}, f"data.{key}"), ({key: {}}, f"data.{key}.{identity}")):
        with pytest.raises(InvalidResponseError, match="missing required field") as caught:
            read(endpoint, data)
        assert caught.value.path == path


@pytest.mark.parametrize("endpoint", LISTS)
@pytest.mark.parametrize(
    ("value", "found"), [(None, "null"), ({}, "object"), ("x", "str"), (0, "int")]
)
def test_an_answer_without_its_list_is_no_empty_page(
    endpoint: str, value: object, found: str
) -> None:
    path = f"data.{LISTS[endpoint]}"
    data = example(endpoint)["data"] | {LISTS[endpoint]: value}
    with pytest.raises(InvalidResponseError) as caught:
        read(endpoint, data)
    assert str(caught.value) == f"{path}: Expected `array`, got `{found}`"
    assert caught.value.path == path


@pytest.mark.parametrize("endpoint", LISTS)
def test_the_list_of_another_endpoint_is_not_taken(endpoint: str) -> None:
    for other in LISTS.keys() - {endpoint}:
        with pytest.raises(InvalidResponseError, match=f"data.{LISTS[endpoint]}: .*missing"):
            read(endpoint, example(other)["data"])


@pytest.mark.parametrize("endpoint", LISTS)
@pytest.mark.parametrize(
    ("pagination", "path"),
    [
        (..., "data.pagination"),
        (None, "data.pagination"),
        ({}, "data.pagination.page"),
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
