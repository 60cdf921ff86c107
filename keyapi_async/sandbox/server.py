"""`Sandbox`: a local KeyAPI, in the running event loop or in a thread of its own."""

from __future__ import annotations

import json
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from typing import TYPE_CHECKING, Any

from attrs import define, field

from keyapi_async.sandbox.endpoints import find_endpoint, parse_query
from keyapi_async.sandbox.faults import Fault, Script
from keyapi_async.sandbox.items import rng_for
from keyapi_async.sandbox.ledger import Ledger, Recorded
from keyapi_async.sandbox.lifecycle import in_thread, listening
from keyapi_async.sandbox.service import Service
from keyapi_async.sandbox.settings import Settings

if TYPE_CHECKING:
    from typing import Self

    from keyapi_async import KeyAPIClient


@define(kw_only=True, eq=False)
class Sandbox(Settings):
    """A stand-in for KeyAPI on the loopback interface: deterministic data, honest books.

    ``async with`` serves it from the running event loop, on that loop's clock. A plain ``with``
    serves it from a thread of its own. Its data, latencies and chance faults depend on nothing
    but ``seed`` and the requests.

    Example:
        >>> with Sandbox(qps=10) as sandbox:
        ...     sandbox.fail(Fault.status(503), times=2)
        ...     # requests to sandbox.url with sandbox.api_key ...
        ...     print(sandbox.credits_spent)
        0
    """

    _ledger: Ledger = field(init=False, repr=False)
    _script: Script = field(init=False, repr=False)
    _service: Service = field(init=False, repr=False)
    _listening: AbstractAsyncContextManager[tuple[str, int]] | None = field(
        default=None, init=False, repr=False
    )
    _thread: AbstractContextManager[None] | None = field(default=None, init=False, repr=False)
    _address: tuple[str, int] | None = field(default=None, init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        """Check the settings and open the books."""
        # super() without arguments does not survive the slotted copy attrs makes of the class
        Settings.__attrs_post_init__(self)
        self._ledger = Ledger(self.credits, bill_faults=self.bill_faults)
        self._script = Script(self.faults, self.fault_rate, rng_for(self.seed, "faults"))
        self._service = Service(self, self._ledger, self._script)

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
    def requests(self) -> list[Recorded]:
        """Every request that reached the server, in order of arrival."""
        return self._ledger.requests

    @property
    def credits_spent(self) -> int:
        """What all requests so far were billed."""
        return self._ledger.spent

    @property
    def refused(self) -> int:
        """How many answers of 429 there were."""
        return self._ledger.refused

    def client(self, **kwargs: Any) -> KeyAPIClient:
        """Return a client of this server; keyword arguments are passed on to it."""
        # Here and not above: the sandbox is of use without the client, and to test it.
        from keyapi_async import KeyAPIClient  # noqa: PLC0415

        return KeyAPIClient(self.api_key, base_url=self.url, **kwargs)

    def items(self, path: str, **params: str) -> list[dict[str, Any]]:
        """Return every item of a list, in order: what a perfect crawl would bring home.

        Args:
            path: Path or name of a list endpoint.
            params: Query parameters as on the wire; missing ones take their defaults.
        """
        endpoint = find_endpoint(path)
        if endpoint.items_key is None:
            raise ValueError(f"path must be that of a list; got {path!r}")
        return [json.loads(row) for row in self._service.items(parse_query(endpoint, params))]

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
        self._script.add((fault, *more), times=times, path=path, page=page)

    def heal(self) -> None:
        """Drop all faults that :meth:`fail` announced and that have not happened yet."""
        self._script.clear()

    async def __aenter__(self) -> Self:
        if self._listening is not None:
            raise RuntimeError("the sandbox is running already")
        self._listening = listening(
            self._service.handle, self.host, self.port, keepalive=self.keepalive
        )
        try:
            self._address = await self._listening.__aenter__()
        except BaseException:
            self._listening = None
            raise
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        server, self._listening = self._listening, None
        if server is not None:
            await server.__aexit__(None, None, None)

    def __enter__(self) -> Self:
        thread = in_thread(self)
        thread.__enter__()
        self._thread = thread
        return self

    def __exit__(self, *exc_info: object) -> None:
        thread, self._thread = self._thread, None
        if thread is not None:
            thread.__exit__(None, None, None)
