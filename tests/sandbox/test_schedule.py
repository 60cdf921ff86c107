"""Which request suffers which fault."""

from __future__ import annotations

from keyapi_async.sandbox import Fault
from tests.sandbox.bare_client import BASE, DETAIL, Http, open_http


async def test_details_are_spared_from_lies() -> None:
    async with open_http(faults=[Fault.empty()], fault_rate=1.0) as http:
        http.sandbox.fail(Fault.shift())
        assert (await http.get(DETAIL))[0] == 200
        await http.get()
        await http.get()
        assert [record.fault for record in http.sandbox.requests] == [None, "shift", "empty"]


async def test_the_schedule_is_followed_in_order(http: Http) -> None:
    http.sandbox.fail(Fault.status(500), Fault.status(503), times=2)
    http.sandbox.fail(Fault.status(504), path="videos")
    http.sandbox.fail(Fault.status(502), page=2)
    # Refusals use up nothing.
    assert (await http.get(page="0"))[0] == 400
    statuses = [(await http.get())[0] for _ in range(5)]
    assert statuses == [500, 500, 503, 503, 200]
    assert (await http.get(page="2"))[0] == 502
    assert (await http.get(BASE + "videos"))[0] == 504
    assert (await http.get(BASE + "videos"))[0] == 200


async def test_chance_faults_depend_on_the_seed() -> None:
    async def outcome(seed: int) -> list[str | None]:
        mix = [Fault.status(500), Fault.html(502)]
        async with open_http(seed=seed, faults=mix, fault_rate=0.5) as http:
            for _ in range(40):
                await http.send()
            http.sandbox.heal()
            return [record.fault for record in http.sandbox.requests]

    first = await outcome(1)
    assert set(first) == {None, "status", "html"}
    assert first == await outcome(1) != await outcome(2)
