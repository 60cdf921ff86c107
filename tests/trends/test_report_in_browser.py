"""The report in a real browser: quiet, readable by everybody, safe."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest

from keyapi_async import HashtagsQuery, MusicQuery, VideosQuery, trends
from keyapi_async.trends.wording import MAX_NAME
from tests.trends.browser import NARROW, WIDE, open_browser, requests, serving
from tests.trends.scripted import Listing, add_day, day

pytestmark = [pytest.mark.slow, pytest.mark.real_time]

HOSTILE = (
    "<script>window.hacked = 1</script>",
    "\"><img src=x onerror='window.hacked = 1'>",
    "{{ 7 * 7 }}{% raw %}",
    "</title></style><svg onload=window.hacked=1>",
    "\u202eright to left\u202c \x00\x1b[31m\ud83d",
    "javascript:window.hacked=1",
    "a" * 5000,
)
COLUMN = "return [...document.querySelectorAll('.movers tbody tr')].map(r => r.cells[{}].innerText)"


def hashtag(number: int, name: str, rank: int) -> dict[str, Any]:
    return {
        "hashtag_id": str(number),
        "hashtag_name": name,
        "rank": rank,
        "video_views": 10 ** (number % 13) + rank,
    }


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("page")
    names = [*HOSTILE, *(f"tag{number}" for number in range(20))]
    for number in range(1, 8):
        order = sorted(range(len(names)), key=lambda n: (n * number * 7) % 31)[: 22 + number % 3]
        rows = [hashtag(n, names[n], rank) for rank, n in enumerate(order, 1)]
        ids = "".join(sorted("abcdefghijklmno", key=lambda c: ord(c) * number % 17))
        lists = {
            HashtagsQuery(region="US"): Listing(rows),
            HashtagsQuery(region="GB", period=30): Listing(rows[::-1]),
            HashtagsQuery(region="<US>"): Listing(rows[:3]),
            HashtagsQuery(industry_id=19000000000): Listing(rows[3:12]),
            VideosQuery(region="US"): Listing(ids[:12]),
            MusicQuery(region="GB"): Listing(ids if number < 7 else ""),
            MusicQuery(region="DE"): Listing(ids, "done" if number < 7 else "failed"),
        }
        add_day(folder / "trends.sqlite", day(number), lists, credits_spent=26)
    trends.report(folder / "trends.sqlite", folder / "page.html")
    return folder / "page.html"


def open_all(browser: Any) -> None:
    browser.execute_script("document.querySelectorAll('details').forEach(d => d.open = true)")


def test_no_request_leaves_it_and_the_console_stays_empty(page: Path) -> None:
    with open_browser() as browser, serving(page.parent) as (url, asked):
        browser.get("about:blank")
        requests(browser)
        browser.get(f"{url}/page.html")
        open_all(browser)
        assert requests(browser) == [f"{url}/page.html"]
        assert asked == ["/page.html"]
        assert browser.get_log("browser") == []


def test_hostile_names_are_text(page: Path) -> None:
    with open_browser() as browser:
        browser.get(page.as_uri())
        open_all(browser)
        assert browser.execute_script("return window.hacked") is None
        assert browser.execute_script("return document.scripts.length") == 1
        assert browser.execute_script("return document.images.length") == 0
        cells = "return [...document.querySelectorAll('td')].map(cell => cell.innerText)"
        shown = set(browser.execute_script(cells))
        assert "<script>window.hacked = 1</script>" in shown
        assert "{{ 7 * 7 }}{% raw %}" in shown
        assert "a" * 69 + "…" in shown
        assert max(map(len, shown)) == MAX_NAME
        assert browser.get_log("browser") == []


@pytest.mark.parametrize("width", [WIDE, NARROW])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_axe_finds_nothing_and_nothing_is_too_wide(page: Path, width: int, dark: bool) -> None:
    axe = pytest.importorskip("axe_core_python.base", reason="axe-core is not installed")
    with open_browser(dark=dark, width=width) as browser:
        browser.get(page.as_uri())
        open_all(browser)
        paper = browser.execute_script("return getComputedStyle(document.body).backgroundColor")
        assert paper == ("rgb(21, 21, 23)" if dark else "rgb(251, 250, 247)")
        browser.execute_script(axe.AXE_SCRIPT)
        found = browser.execute_async_script("axe.run().then(arguments[0])")
        assert [(one["id"], one["nodes"][0]["html"]) for one in found["violations"]] == []
        contrast = [one for one in found["passes"] if one["id"] == "color-contrast"]
        assert len(contrast[0]["nodes"]) > 100  # computed, for texts of every kind
        assert browser.execute_script("return document.documentElement.scrollWidth") == width


def press(browser: Any, *keys: str) -> Any:
    from selenium.webdriver import ActionChains

    actions = ActionChains(browser)
    for key in keys:
        actions.send_keys(key)
    actions.perform()
    return browser.switch_to.active_element


def test_it_is_sorted_by_keyboard(page: Path) -> None:
    from selenium.webdriver.common.keys import Keys

    with open_browser() as browser:
        browser.get(page.as_uri())
        before = browser.execute_script(COLUMN.format(0))
        browser.execute_script("document.querySelector('.movers th button').focus()")
        press(browser, Keys.ENTER)
        names = browser.execute_script(COLUMN.format(0))
        assert sorted(names) == sorted(before) != before
        head = "return document.querySelector('.movers th:nth-child({})').ariaSort"
        assert browser.execute_script(head.format(1)) == "ascending"
        press(browser, *[Keys.TAB] * 5, Keys.SPACE)
        assert browser.execute_script(head.format(1)) is None
        ranks = [int(rank) for rank in browser.execute_script(COLUMN.format(5)) if rank]
        assert ranks == sorted(ranks)
        assert browser.execute_script(COLUMN.format(5))[-1] == ""  # what is gone comes last
        press(browser, Keys.SPACE)
        assert browser.execute_script(head.format(6)) == "descending"
        assert [int(r) for r in browser.execute_script(COLUMN.format(5)) if r] == ranks[::-1]
        press(browser, *[Keys.TAB] * 2, Keys.SPACE)
        views = [text for text in browser.execute_script(COLUMN.format(7)) if text]
        units = {"K": 3, "M": 6, "B": 9, "T": 12}
        sizes = [float(v.rstrip("KMBT")) * 10 ** units.get(v[-1], 0) for v in views]
        assert sizes == sorted(sizes)


def test_it_is_searched_by_keyboard(page: Path) -> None:
    from selenium.webdriver.common.keys import Keys

    def shown(inside: str) -> list[str]:
        script = (
            "return [...document.querySelectorAll(arguments[0])]"
            ".filter(row => row.checkVisibility()).map(row => row.innerText)"
        )
        texts: list[str] = browser.execute_script(script, inside)
        return texts

    with open_browser() as browser:
        browser.get(page.as_uri())
        every = len(shown(".movers tbody tr"))
        regions = len(shown(".region summary"))
        opened = "return [...document.querySelectorAll('.region')].map(one => one.open)"
        before = browser.execute_script(opened)
        browser.execute_script("document.getElementById('q').focus()")
        press(browser, *"TAG1")
        found = shown(".movers tbody tr")
        assert 0 < len(found) < every
        assert all("tag1" in text for text in found + shown(".list tbody tr"))
        assert shown(".list tbody tr")
        assert len(shown(".region summary")) < regions
        status = browser.find_element("id", "found")
        assert status.text.endswith("rows")
        assert status.get_attribute("role") == "status"
        press(browser, *[Keys.BACKSPACE] * 4)
        assert (len(shown(".movers tbody tr")), status.text) == (every, "")
        assert browser.execute_script(opened) == before
        press(browser, Keys.TAB, *"united s")  # the region
        assert {row.split("\t")[2] for row in shown(".movers tbody tr")} == {"US"}
        assert shown(".region summary") == ["United States US"]
        press(browser, *[Keys.TAB] * 4, Keys.ENTER)  # clear
        for _ in range(100):
            if len(shown(".movers tbody tr")) == every:
                break
        assert len(shown(".region summary")) == regions


def test_a_link_to_a_list_opens_its_region(page: Path) -> None:
    with open_browser() as browser:
        browser.get(page.as_uri())
        link = browser.find_elements("css selector", ".index a")[-1]
        target = link.get_attribute("href").rpartition("#")[2]
        section = browser.find_element("id", target)
        assert not section.is_displayed()
        browser.execute_script("arguments[0].click()", link)
        for _ in range(100):
            if section.is_displayed():
                break
        assert section.is_displayed()


def test_it_is_readable_without_javascript(page: Path) -> None:
    with open_browser(scripts=False) as browser:
        browser.get(page.as_uri())
        send = browser.execute_cdp_cmd
        root = send("DOM.getDocument", {"depth": 0})["root"]["nodeId"]
        form = send("DOM.querySelector", {"nodeId": root, "selector": "#filters"})["nodeId"]
        attributes = send("DOM.getAttributes", {"nodeId": form})["attributes"]
        assert "hidden" in attributes  # no control that does nothing
        buttons = send("DOM.querySelectorAll", {"nodeId": root, "selector": "th button"})
        assert buttons["nodeIds"] == []
        tree = send("Accessibility.getFullAXTree", {})["nodes"]
        names = {node["name"]["value"] for node in tree if "name" in node}
        assert {"Risers", "All movers that matter", "Every list", "State of the data"} <= names
        assert any(name.startswith("Rank by day: ") for name in names)


def test_it_is_printed_whole(page: Path) -> None:
    with open_browser(dark=True) as browser:
        browser.get(page.as_uri())
        pdf = base64.b64decode(browser.execute_cdp_cmd("Page.printToPDF", {})["data"])
        assert pdf.startswith(b"%PDF")
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
        style = "const s = getComputedStyle(document.querySelector(arguments[0])); return "
        assert browser.execute_script(f"{style} s.maxHeight", ".box") == "none"
        assert browser.execute_script(f"{style} s.display", "#filters") == "none"
        assert browser.execute_script(f"{style} s.backgroundColor", "body") == "rgb(255, 255, 255)"
