"""What goes out: JSON as the API writes it, and the codes in it."""

from __future__ import annotations

import json

import pytest

from keyapi_async.sandbox.answers import Answer, find_code, to_json


def test_json_is_compact_and_not_escaped() -> None:
    assert to_json({"a": [1, 1.0, None, "é🐶"]}) == '{"a":[1,1.0,null,"é🐶"]}'


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b'{"code":0}', 0),
        (b'{"code":429,"data":null}', 429),
        (b'{"code":true}', None),
        (b'{"code":"0"}', None),
        (b"{}", None),
        (b"[0]", None),
        (b"<html>", None),
        (b"\xff", None),
    ],
)
def test_the_code_of_a_body(body: bytes, code: int | None) -> None:
    assert find_code(body) == code


def test_an_answer_tells_of_its_body_only_how_long_it_is() -> None:
    answer = Answer.success(b'{"list":[]}', "an-id")
    assert json.loads(answer.body) == {
        "code": 0,
        "message": "success",
        "data": {"list": []},
        "requestId": "an-id",
    }
    assert f"<{len(answer.body)} bytes>" in repr(answer)
