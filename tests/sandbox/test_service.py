"""The HTTP handler over real sockets: answers, refusals, latency."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from keyapi_async.sandbox import RecordedRequest
from tests.sandbox.bare_client import BASE, DETAIL, HASHTAGS, Http, open_http

EXAMPLES = Path(__file__).parent.parent / "examples"


async def test_a_page_and_its_record(http: Http) -> None:
    before = asyncio.get_running_loop().time()
    status, body = await http.get(page="2", limit="10", who="café")
    assert status == 200
    assert (body["code"], body["message"]) == (0, "success")
    assert body["data"]["list"] == http.sandbox.items("hashtags")[10:20]
    pagination = {"page": 2, "size": 10, "total": 100, "has_more": True}
    assert body["data"]["pagination"].items() >= pagination.items()

    [record] = http.sandbox.requests
    assert isinstance(record, RecordedRequest)
    assert before <= record.time <= asyncio.get_running_loop().time()
    assert (record.path, record.query) == (HASHTAGS, "page=2&limit=10&who=caf%C3%A9")
    assert record.params == {"page": "2", "limit": "10", "who": "café"}
    assert (record.status, record.code, record.credits) == (200, 0, 2)
    assert (record.authorized, record.page, record.fault) == (True, 2, None)
    assert record.headers["host"] == http.sandbox.url.removeprefix("http://")
    assert "sandbox-key" not in repr(record) + repr(http.sandbox)


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.json")), ids=lambda path: path.stem)
async def test_the_envelope_is_as_documented(http: Http, path: Path) -> None:
    example = json.loads(path.read_text(encoding="utf-8"))
    route = BASE + path.stem.replace("_", "/")
    bodies = [(await http.get(route))[1] for _ in range(2)]
    assert bodies[0]["requestId"] != bodies[1]["requestId"]
    assert bodies[0]["data"] == bodies[1]["data"]
    body = bodies[0]
    assert body.keys() == example.keys()
    assert body["data"].keys() >= example["data"].keys()
    if "pagination" in example["data"]:
        assert body["data"]["pagination"].keys() >= example["data"]["pagination"].keys()


async def test_request_ids_depend_on_seed_and_number_only() -> None:
    ids = list[str]()
    for seed in (0, 0, 1):
        async with open_http(seed=seed) as http:
            ids.append((await http.get())[1]["requestId"])
    assert ids[0] == ids[1] != ids[2]


async def test_a_larger_limit_is_20_but_echoed(http: Http) -> None:
    data = (await http.get(limit="50"))[1]["data"]
    assert len(data["list"]) == 20
    assert data["pagination"]["size"] == 50


async def test_pages_past_the_end_are_empty(http: Http) -> None:
    last, end = await http.page(5)
    assert (len(last), end["has_more"]) == (20, False)
    past, end = await http.page(6)
    assert (past, end["has_more"], end["total"]) == ([], False, 100)


async def test_a_page_weighs_what_the_real_one_does(http: Http) -> None:
    sizes = [len((await http.send(page=str(page)))[1]) for page in range(1, 6)]
    assert 28_000 < sum(sizes) / 5 < 36_000


async def test_odd_bytes_are_no_problem(http: Http) -> None:
    for query in ("hashtag_name=%ff", "hashtag_name=%ED%A0%80", "hashtag_name=%00%22"):
        async with http.session.get(
            f"{http.sandbox.url}{DETAIL}?{query}",
            headers={"Authorization": "Bearer sandbox-key"},
        ) as response:
            assert response.status == 200
    assert http.sandbox.credits_spent == 6


@pytest.mark.parametrize("key", ["", "another"])
async def test_another_key_is_refused(http: Http, key: str) -> None:
    status, body, _ = await http.send(key=key, page="0")
    assert status == 401
    assert json.loads(body) == {"code": 401, "data": None, "message": "apiKey is null"}
    assert not http.sandbox.requests[0].authorized
    assert http.sandbox.credits_spent == 0


async def test_what_does_not_exist_is_404(http: Http) -> None:
    assert (await http.get("/v1/else"))[0] == 404
    assert (await http.get(DETAIL, hashtag_name="missing-tag"))[0] == 404
    assert (await http.get(BASE + "music/detail", clip_id="missing"))[1]["code"] == 404
    assert http.sandbox.credits_spent == 0


async def test_only_get_is_allowed(http: Http) -> None:
    status, body, _ = await http.send(method="POST")
    assert (status, json.loads(body)["message"]) == (405, "Method Not Allowed")


async def test_forbidden_and_retired_endpoints() -> None:
    async with open_http(forbidden=["videos"], retired=[DETAIL]) as http:
        assert (await http.get(BASE + "videos"))[0] == 403
        assert (await http.get(DETAIL))[1]["data"] is None
        assert (await http.get())[0] == 200
        assert http.sandbox.credits_spent == 4


async def test_the_limiter_comes_first() -> None:
    async with open_http(qps=0.001, retry_after="7") as http:
        assert (await http.get())[0] == 200
        status, body, headers = await http.send(key="")
        assert (status, headers["Retry-After"]) == (429, "7")
        assert json.loads(body) == {"code": 429, "data": None, "message": "qps limit exceeded"}
        assert (http.sandbox.refused, http.sandbox.credits_spent) == (1, 2)


async def test_latency_is_drawn_from_the_range() -> None:
    async with open_http(latency=(0.005, 0.01)) as http:
        loop = asyncio.get_running_loop()
        start = loop.time()
        await http.get()
        assert loop.time() - start >= 0.005
