"""`Sandbox`: a local KeyAPI, in the running event loop or in a thread of its own."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from datetime import date
from typing import TYPE_CHECKING, Any

from attrs import define, field

from .endpoints import find_list
from .faults import Fault
from .ledger import Ledger, RecordedRequest
from .lifecycle import run_in_thread, serve
from .payloads import make_rows
from .schedule import FaultSchedule
from .service import Service
from .settings import Settings, check_change

if TYPE_CHECKING:
    from typing import Concatenate, ParamSpec, Self

    from keyapi_async import KeyAPIClient

    _P = ParamSpec("_P")

    def _copy_parameters(
        _: Callable[_P, KeyAPIClient],
    ) -> Callable[
        [Callable[..., KeyAPIClient]], Callable[Concatenate[Sandbox, _P], KeyAPIClient]
    ]: ...

    _takes_client_options = _copy_parameters(KeyAPIClient)
else:

    def _takes_client_options(method: Callable[..., object]) -> Callable[..., object]:
        return method


@define(kw_only=True, eq=False, on_setattr=check_change)
class Sandbox(Settings):
    """A stand-in for KeyAPI on the loopback interface: deterministic data, exact accounts.

    `async with` serves it from the running event loop, on that loop's clock. A plain `with`
    serves it from a thread of its own. Its data, latencies and chance faults depend on nothing
    but `seed`, `day` and the requests.

    Example:
        >>> with Sandbox(qps=10) as sandbox:
        ...     sandbox.fail(Fault.status(503), times=2)
        ...     # requests to sandbox.url with sandbox.api_key ...
        ...     print(sandbox.credits_spent)
        0
    """

    _ledger: Ledger = field(init=False, repr=False)
    _schedule: FaultSchedule = field(init=False, repr=False)
    _service: Service = field(init=False, repr=False)
    _server: AbstractAsyncContextManager[object] | None = field(
        default=None, init=False, repr=False
    )
    _thread: AbstractContextManager[None] | None = field(default=None, init=False, repr=False)
    _address: tuple[str, int] | None = field(default=None, init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        """Check the settings and start with an empty ledger."""
        # super() without arguments does not survive the slotted copy attrs makes of the class
        Settings.__attrs_post_init__(self)
        self._ledger = Ledger(self)
        self._schedule = FaultSchedule(self)
        self._service = Service(self, self._ledger, self._schedule)

    @property
    def url(self) -> str:
        """Where it listens, or last did.

        Raises:
            RuntimeError: It has not been started yet.
        """
        if self._address is None:
            raise RuntimeError(
                "the sandbox has no address before it runs; enter it with 'with' or 'async with'"
            )
        host, port = self._address
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    @property
    def requests(self) -> list[RecordedRequest]:
        """Every request that reached the server, in order of arrival."""
        return self._ledger.requests

    @property
    def credits_spent(self) -> int:
        """Credits billed for all requests so far."""
        return self._ledger.spent

    @property
    def refused(self) -> int:
        """How many answers of 429 there were."""
        return self._ledger.refused

    @_takes_client_options
    def client(self, api_key: str | None = None, **options: Any) -> KeyAPIClient:
        """Return a client of this server.

        Args:
            api_key: Another key than the sandbox's: it will be refused.
            options: Whatever `KeyAPIClient` takes; its `base_url` is that of the sandbox.

        Raises:
            RuntimeError: The sandbox has not been started yet.
        """
        # Not at the top: the sandbox doesn't need the client, which it is there to test.
        from keyapi_async import KeyAPIClient  # noqa: PLC0415

        return KeyAPIClient(api_key or self.api_key, **{"base_url": self.url, **options})

    def items(self, path: str, *, day: date | None = None, **params: str) -> list[dict[str, Any]]:
        """Return every item of a list, in order: what a perfect crawl would find.

        Args:
            path: Path or name of a list endpoint.
            day: The day of the list; by default the sandbox's current day.
            params: Query parameters as on the wire; missing ones take their defaults.

        Raises:
            ValueError: There is no such list, or it doesn't take such a value.
        """
        endpoint = find_list(path)
        query = self._service.parse(endpoint, params, self.day if day is None else day)
        return [json.loads(row) for row in make_rows(endpoint, query.scene)]

    def fail(
        self,
        fault: Fault,
        *more: Fault,
        times: int | None = 1,
        path: str | None = None,
        page: int | None = None,
    ) -> None:
        """Let the next requests suffer these faults, one request each, in this order.

        Only valid requests do: refusals (429, 401 and so on) come first and use up no fault.

        Args:
            fault: What goes wrong.
            more: What goes wrong after that.
            times: How many requests suffer each of them; None for all to come.
            path: Only requests to this endpoint (path or name).
            page: Only requests for this page.
        """
        self._schedule.add((fault, *more), times=times, path=path, page=page)

    def heal(self) -> None:
        """Drop all faults set by `fail` that have not happened yet."""
        self._schedule.clear()

    async def __aenter__(self) -> Self:
        if self._server is not None:
            raise RuntimeError("the sandbox is running already")
        server = serve(self._service.handle, self.host, self.port, keepalive=self.keepalive)
        self._address = await server.__aenter__()
        self._server = server
        self._calendar.follow(asyncio.get_running_loop().time, self.day)
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        server, self._server = self._server, None
        self._calendar.follow(None, self.day)
        if server is not None:
            await server.__aexit__(None, None, None)

    def __enter__(self) -> Self:
        thread = run_in_thread(self)
        thread.__enter__()
        self._thread = thread
        return self

    def __exit__(self, *exc_info: object) -> None:
        thread, self._thread = self._thread, None
        if thread is not None:
            thread.__exit__(None, None, None)
