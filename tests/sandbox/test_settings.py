"""What a sandbox can be told, when it is made and later."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from keyapi_async.sandbox import Fault, Sandbox
from tests.sandbox.bare_client import BASE, Http, open_http


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"host": "0.0.0.0"}, "host must be a loopback address; got '0.0.0.0'"),
        ({"host": "example.com"}, "host must be a loopback address; got 'example.com'"),
        ({"port": 65_536}, "port must be from 0 to 65535; got 65536"),
        ({"qps": 0}, "qps must be above 0, or None; got 0"),
        ({"window": "hourly"}, "window must be one of sliding, fixed, leaky; got 'hourly'"),
        ({"burst": -1}, "burst must be 0 or more; got -1"),
        ({"latency": (2, 1)}, r"latency must be 0 or more, or a .*; got \(2, 1\)"),
        ({"latency": -1}, "latency must be 0 or more, .*; got -1"),
        ({"credits": -2}, "credits must be 0 or more, or None; got -2"),
        ({"credits": 2.5}, "credits must be 0 or more, or None; got 2.5"),
        ({"qps": "5"}, "qps must be above 0, or None; got '5'"),
        ({"totals": {"videos": -1}}, "totals must be lengths, 0 or more, .*; got {'videos': -1}"),
        ({"totals": {"music_detail": 1}}, "totals must be .* by list endpoint .*; got {'music_d"),
        ({"totals": ["videos"]}, r"totals must be lengths, .*; got \['videos'\]"),
        ({"fault_rate": 1.5}, "fault_rate must be from 0 to 1; got 1.5"),
        ({"fault_rate": 0.5}, r"faults must be given with fault_rate; got \(\)"),
        ({"keepalive": -1}, "keepalive must be 0 or more; got -1"),
        ({"forbidden": ["users"]}, r"forbidden must be a collection of endpoints .*; got \['users"),
        ({"retired": "videos"}, "retired must be a collection of endpoints .*; got 'videos'"),
    ],
)
def test_wrong_settings(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Sandbox(**settings)


@pytest.mark.parametrize("name", ["host", "port", "api_key", "seed", "keepalive"])
def test_what_can_not_be_changed(name: str) -> None:
    sandbox = Sandbox()
    with pytest.raises(AttributeError, match=f"^{name} can't be changed; make a new Sandbox$"):
        setattr(sandbox, name, getattr(sandbox, name))


def test_what_is_set_is_checked() -> None:
    sandbox = Sandbox(faults=[Fault.reset()], fault_rate=0.5)
    with pytest.raises(ValueError, match="qps must be above 0, or None; got -1"):
        sandbox.qps = -1
    with pytest.raises(ValueError, match=r"faults must be given with fault_rate; got \[\]"):
        sandbox.faults = []
    assert (sandbox.qps, len(sandbox.faults)) == (None, 1)
    sandbox.fault_rate = 0.0
    sandbox.faults = []
    with pytest.raises(ValueError, match="faults must be given"):
        sandbox.fault_rate = 0.1


async def test_what_is_set_holds_from_the_next_request_on(http: Http) -> None:
    sandbox = http.sandbox
    assert (await http.get())[0] == 200
    sandbox.credits = 4
    assert [(await http.get())[0] for _ in range(2)] == [200, 402]
    sandbox.credits = None
    sandbox.totals = {"hashtags": 7}
    assert (await http.get())[1]["data"]["pagination"]["total"] == 7
    sandbox.forbidden = ["videos"]
    assert (await http.get(BASE + "videos"))[0] == 403
    sandbox.retired = ["hashtags"]
    assert (await http.get())[1]["data"] is None
    sandbox.retired = []
    sandbox.faults, sandbox.fault_rate = [Fault.status(503)], 1.0
    assert (await http.get())[0] == 503
    sandbox.bill_faults = True
    assert (await http.get())[0] == 503
    assert [record.credits for record in sandbox.requests[-2:]] == [0, 2]
    sandbox.fault_rate = 0.0
    clock = asyncio.get_running_loop().time
    start, sandbox.latency = clock(), 0.5
    await http.get()
    assert 0.5 <= clock() - start < 1
    sandbox.latency, sandbox.retry_after = 0, "9"
    sandbox.window, sandbox.qps = "leaky", 0.001
    assert [(await http.get())[0] for _ in range(2)] == [200, 429]
    assert (await http.send())[2]["Retry-After"] == "9"
    sandbox.burst = 1
    assert [(await http.get())[0] for _ in range(3)] == [200, 200, 429]
    sandbox.qps = None
    assert (await http.get())[0] == 200


async def test_what_is_changed_in_place_holds_as_well() -> None:
    faults, retired, totals = [Fault.status(503)], ["videos"], {"hashtags": 30}
    async with open_http(faults=faults, fault_rate=1.0, retired=retired, totals=totals) as http:
        faults.clear()
        retired.append("music")
        totals["hashtags"] = 7
        assert (await http.get(BASE + "music"))[1]["data"] is None
        assert (await http.get())[1]["data"]["pagination"]["total"] == 7
