"""What leaves a crawl's file as JSON lines, letter for letter; and under which name."""

from __future__ import annotations

import asyncio
import io
import json
import shutil
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from keyapi_async import ParameterError
from keyapi_async.crawl import CrawlFile, Selection, StoreError, crawl_to, export_files, grid
from keyapi_async.sandbox import Fault, Sandbox
from tests.crawl.stored_crawls import ALL, COUNTS, change, lines, names, put, write_crawl

VERSION_1 = Path(__file__).parent.parent / "data" / "version1.sqlite"
OWN = r'{"_keyapi" : 1.10,"hashtag_name":"\"_keyapi\":","x":["_keyapi"],"hashtag_id":"1"}'
ESCAPED = OWN.replace('"_keyapi" :', r'"\u005fkeyapi" :')


@pytest.fixture
def crawled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_crawl(tmp_path_factory.mktemp("crawl") / "trends.sqlite")


def test_lines_are_raw_items_with_their_place(crawled: Path) -> None:
    with Sandbox() as sandbox:
        expected = sandbox.items("hashtags", region="US", period="30")[:60]
    found = lines(crawled)[:60]
    assert [{k: v for k, v in item.items() if k != "_keyapi"} for item in found] == expected
    assert list(found[20])[-1] == "_keyapi"
    place = found[20]["_keyapi"]
    assert len(place.pop("request_id")) == 36
    assert place == {
        "endpoint": "hashtags",
        "query": {
            "period": "30",
            "region": "US",
            "industry_id": "nothing",
            "new_to_top_100": "false",
        },
        "day": "2026-02-04",
        "snapshot": 2,
        "snapshot_started_at": "2026-02-04T02:40:00.000Z",
        "list_complete": True,
        "page": 2,
        "position": 1,
        "place": 21,
        "retrieved_at": "2026-02-04T02:40:05.000Z",
    }


def test_a_detail_has_no_place_in_a_list(crawled: Path) -> None:
    found = lines(crawled, endpoints="music_detail")
    assert [item["_keyapi"]["place"] for item in found] == [None, None]


def test_lines_keep_every_letter(crawled: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    (exported,) = CrawlFile(crawled).export(out, Selection(snapshot="all"))
    assert (exported.path, exported.items) == (out, 2 * ALL)
    written = out.read_text(encoding="utf-8").split("\n")[:-1]
    with Sandbox() as sandbox:
        items = sandbox.items("videos", period="7", region="US", order_by="vv")[:60]
    videos = [line for line in written if '"endpoint":"videos"' in line]
    texts = [line.rpartition(',"_keyapi":')[0] + "}" for line in videos]
    assert [json.loads(text) for text in texts] == 2 * items
    change(crawled, "UPDATE items SET json = replace(json, ':', ' :  ')")
    CrawlFile(crawled).export(out, Selection(snapshot="all"))
    spaced = [line for line in out.read_text(encoding="utf-8").split("\n") if '"videos"' in line]
    assert [line.rpartition(',"_keyapi":')[0] + "}" for line in spaced] == [
        text.replace(":", " :  ") for text in texts
    ]


@pytest.mark.parametrize("own", [OWN, ESCAPED])
def test_the_place_of_an_item_is_ours(own: str, crawled: Path) -> None:
    put(crawled, own)
    found = lines(crawled)[0]
    place = found.pop("_keyapi")
    assert found == {
        "__keyapi": 1.1,
        "hashtag_name": '"_keyapi":',
        "x": ["_keyapi"],
        "hashtag_id": "1",
    }
    assert (place["place"], place["endpoint"]) == (1, "hashtags")
    stream = io.StringIO()
    CrawlFile(crawled).export(stream)
    first = stream.getvalue().split("\n")[0]
    assert first.startswith('{"__keyapi":1.10,"hashtag_name":"\\"_keyapi\\":",')
    assert first.count('"_keyapi":{') == 1


@pytest.mark.parametrize("text", ["{}", "{ \n }", " {}\n"])
def test_an_empty_item(text: str, crawled: Path) -> None:
    put(crawled, text)
    assert list(lines(crawled)[0]) == ["_keyapi"]


def test_half_an_emoji(crawled: Path) -> None:
    put(crawled, r'{"hashtag_id":"1","hashtag_name":"half \uD83D","\ud83d":"\uD83C\uDF89"}')
    found = lines(crawled)[0]
    assert found["hashtag_name"] == "half \ud83d"
    assert found["\ud83d"] == "\U0001f389"


def test_an_answer_over_many_lines(tmp_path: Path) -> None:
    with Sandbox() as sandbox:
        url = f"{sandbox.url}/v1/tiktok/trending/hashtags?period=7&region=US&page=1&limit=20"
        request = urllib.request.Request(url, headers={"Authorization": "Bearer sandbox-key"})
        with urllib.request.urlopen(request) as answer:
            indented = json.dumps(json.load(answer), indent="\t").replace("\n", "\r\n")
        sandbox.fail(Fault.body(indented.encode()))

        async def fill() -> None:
            async with sandbox.client() as client:
                await crawl_to(tmp_path / "t.sqlite", client, grid("hashtags"), max_pages=1)

        asyncio.run(fill())
        items = sandbox.items("hashtags", period="7", region="US")[:20]
    CrawlFile(tmp_path / "t.sqlite").export(tmp_path / "out.jsonl")
    written = (tmp_path / "out.jsonl").read_bytes().decode().split("\n")
    assert (len(written), written[-1], "\r" in "".join(written)) == (21, "", False)
    found = [json.loads(line) for line in written[:-1]]
    assert [{k: v for k, v in item.items() if k != "_keyapi"} for item in found] == items
    (exported,) = CrawlFile(tmp_path / "t.sqlite").export(tmp_path / "out.parquet")
    assert exported.items == 20


# -- files -------------------------------------------------------------------------------------


def test_several_crawls_in_one_export(crawled: Path, tmp_path: Path) -> None:
    seen: list[int] = []
    out = tmp_path / "out.jsonl"
    (both,) = export_files([crawled, str(VERSION_1)], out, progress=seen.append)
    assert both.items == ALL + 20
    found = [json.loads(line)["_keyapi"]["day"] for line in out.read_text().split("\n")[:-1]]
    assert found == ["2026-02-04"] * ALL + ["2026-02-02"] * 20
    assert seen == [ALL + 20]
    copies = [shutil.copy(crawled, tmp_path / f"{number}.sqlite") for number in range(9)]
    export_files(copies, out, Selection(snapshot="all"), progress=seen.append)
    assert len(seen) == 1 + 18 * ALL // 1000 + 1
    assert seen[-1] == 18 * ALL
    assert seen[1:] == sorted(seen[1:])


def test_one_file_or_one_for_each_endpoint(crawled: Path, tmp_path: Path) -> None:
    file, videos = CrawlFile(crawled), Selection(endpoints="videos")
    for form in ("jsonl", "duckdb"):
        assert [one.path for one in file.export(tmp_path / f"all.{form}")] == [
            tmp_path / f"all.{form}"
        ]
    for form in ("csv", "parquet"):
        written = file.export(str(tmp_path / f"all.{form}"))
        assert {one.path.name: one.items for one in written if one.path} == {
            f"all.{name}.{form}": count for name, count in COUNTS.items()
        }
        (one,) = file.export(tmp_path / f"one.{form}", videos)
        assert (one.path, one.items) == (tmp_path / f"one.videos.{form}", 60)
    assert len(names(tmp_path)) == 2 + 2 * 5 + 2


def test_a_name_that_says_nothing(crawled: Path, tmp_path: Path) -> None:
    with pytest.raises(
        ParameterError, match=r"output must be a name that ends in one of \.jsonl .* or in / for a"
    ):
        CrawlFile(crawled).export(tmp_path / "out.xlsx")
    assert names(tmp_path) == []


def test_a_crawl_is_not_written_over_itself(crawled: Path, tmp_path: Path) -> None:
    link = tmp_path / "out.jsonl"
    link.symlink_to(crawled)
    before = crawled.read_bytes()
    with pytest.raises(StoreError, match=r"out.jsonl: is the crawl's own file"):
        CrawlFile(crawled).export(link)
    assert crawled.read_bytes() == before


def test_what_is_not_there_is_said(crawled: Path, tmp_path: Path) -> None:
    change(
        crawled,
        "DELETE FROM items WHERE list IN (SELECT l.id FROM lists l JOIN queries q "
        "ON q.id = l.query WHERE endpoint LIKE '%_detail')",
        "DELETE FROM lists WHERE query IN (SELECT id FROM queries WHERE endpoint LIKE '%_detail')",
        "DELETE FROM queries WHERE endpoint LIKE '%_detail'",
    )
    details = Selection(endpoints=("hashtag_detail", "music_detail"))
    with pytest.raises(StoreError, match=r"sqlite: nothing to export: there is no hashtag_detail"):
        CrawlFile(crawled).export(tmp_path / "out.csv", details)
    with pytest.raises(StoreError, match=r"no.sqlite: there is no such file"):
        export_files([crawled, tmp_path / "no.sqlite"], tmp_path / "out.csv")
    for name in ("no/out.jsonl", "no/out.csv", "no/out.duckdb"):
        with pytest.raises(StoreError, match="can't be written: No such file"):
            CrawlFile(crawled).export(tmp_path / name)
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="can't be written: Not a directory"):
        CrawlFile(crawled).export(f"{tmp_path}/file/")
    assert names(tmp_path) == ["file"]


@pytest.mark.parametrize("name", ["out.jsonl", "out.csv"])
def test_a_failed_export_leaves_the_old_files(name: str, crawled: Path, tmp_path: Path) -> None:
    CrawlFile(crawled).export(tmp_path / name)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    put(crawled, "{", "music_detail")
    with pytest.raises(StoreError, match=r"an item of its list \d+ is damaged"):
        CrawlFile(crawled).export(tmp_path / name)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize("name", ["out.jsonl", "out.csv", "out.parquet", "out.duckdb"])
def test_an_old_file_keeps_its_mode(name: str, crawled: Path, tmp_path: Path) -> None:
    target = tmp_path / name.replace("out.csv", "out.videos.csv").replace(
        "out.parquet", "out.videos.parquet"
    )
    target.touch()
    target.chmod(0o640)
    CrawlFile(crawled).export(tmp_path / name, Selection(endpoints="videos"))
    assert target.stat().st_mode & 0o777 == 0o640
    assert target.stat().st_size > 1000


@pytest.mark.parametrize("name", ["out.jsonl", "out.csv", "out.parquet", "out.duckdb", "lake/"])
def test_a_file_of_version_1_is_read_as_it_is(name: str, tmp_path: Path) -> None:
    old = tmp_path / "old.sqlite"
    old.write_bytes(VERSION_1.read_bytes())
    out = tmp_path / "out"
    out.mkdir()
    written: list[Any] = CrawlFile(old).export(f"{out}/{name}", Selection(snapshot="all"))
    assert sum(one.items for one in written) == 40
    assert old.read_bytes() == VERSION_1.read_bytes()
    assert names(tmp_path) == ["old.sqlite", "out"]
