"""The HTTP handler: limiter, refusals, faults, latency, answer, in that order."""

from __future__ import annotations

import asyncio
import socket
import struct
import sys
import uuid
from collections.abc import Mapping
from datetime import date

from aiohttp import web
from attrs import define, evolve, field

from .answers import Answer
from .endpoints import ENDPOINTS, AnyEndpoint, BadParameterError, DetailEndpoint, Query, parse_query
from .faults import Fault
from .ledger import Ledger, RecordedRequest
from .limits import Limiter, make_limiter
from .payloads import cut_page, render_detail, render_page
from .popularity import draw
from .schedule import FaultSchedule
from .settings import Settings

# SO_LINGER on, 0 seconds: close with a reset.
_LINGER_0 = struct.pack("hh" if sys.platform == "win32" else "ii", 1, 0)


@define(eq=False)
class Service:
    """Answers requests by the settings, the fault schedule and the ledger."""

    settings: Settings
    ledger: Ledger
    schedule: FaultSchedule
    _limiter: Limiter | None = field(default=None, init=False)
    _limits: tuple[object, ...] = field(default=(), init=False)

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request, and record it."""
        record = self._arrive(request)
        number = len(self.ledger.requests)
        query = self._admit(record, request.method)
        if isinstance(query, Answer):
            self.ledger.record_answer(record, query)
            return _make_response(query)
        fault = self.schedule.pick(query)
        record.page, record.fault = query.page or None, fault.kind if fault else None
        with self.ledger.hold():
            try:
                await self._wait(fault, number)
                answer = self._answer(query, fault, number)
                return await self._send(request, record, answer, fault)
            except asyncio.CancelledError:  # the client has gone
                self.ledger.record_loss(record)
                raise

    def parse(self, endpoint: AnyEndpoint, params: Mapping[str, str], day: date) -> Query:
        """Return the query of a request that arrives on that day.

        Raises:
            BadParameterError: A value the endpoint does not take.
        """
        totals = self.settings.totals
        total = totals.get(endpoint.name, totals.get(endpoint.path))
        return parse_query(endpoint, params, self.settings.seed, day, total)

    def _arrive(self, request: web.BaseRequest) -> RecordedRequest:
        headers = {name.lower(): value for name, value in request.headers.items()}
        record = RecordedRequest(
            time=asyncio.get_running_loop().time(),
            day=self.settings.day,
            path=request.path,
            query=request.raw_path.partition("?")[2],
            params=dict(request.query),
            authorized=headers.pop("authorization", None) == f"Bearer {self.settings.api_key}",
            headers=headers,
        )
        self.ledger.requests.append(record)
        return record

    def _admit(self, record: RecordedRequest, method: str) -> Query | Answer:
        """Return the valid query, or the refusal."""
        settings = self.settings
        endpoint = next((each for each in ENDPOINTS if each.path == record.path), None)
        if not self._is_within_limits(record.time):
            return Answer.error(429, retry_after=settings.retry_after)
        refusals = {
            401: not record.authorized,
            403: endpoint is not None and not endpoint.names.isdisjoint(settings.forbidden),
            404: endpoint is None,
            405: method != "GET",
            402: not self.ledger.can_pay,
        }
        status = next((status for status, applies in refusals.items() if applies), None)
        if status is not None or endpoint is None:
            return Answer.error(status or 404)
        try:
            return self.parse(endpoint, record.params, record.day)
        except BadParameterError as error:
            return Answer.error(400, str(error))

    def _is_within_limits(self, now: float) -> bool:
        settings = self.settings
        limits = settings.qps, settings.window, settings.burst
        if limits != self._limits:  # at the start, and whenever they are set
            self._limits = limits
            self._limiter = make_limiter(*limits)
        return self._limiter is None or self._limiter.admits(now)

    async def _wait(self, fault: Fault | None, number: int) -> None:
        low, high = self.settings.latency_range
        # By number, so that refusals don't change the latency of others.
        seconds = low + (high - low) * draw(self.settings.seed, "latency", number)
        if fault and fault.kind == "stall":
            seconds += fault.seconds
        if seconds:
            await asyncio.sleep(seconds)

    def _answer(self, query: Query, fault: Fault | None, number: int) -> Answer:
        if fault and fault.answer:
            return fault.answer
        data = self._render(query, fault)
        if data is None:
            return Answer.error(404)
        name = f"{self.settings.seed}:{number}"
        answer = Answer.success(data, str(uuid.uuid5(uuid.NAMESPACE_URL, name)))
        if fault and fault.kind == "half_json":
            return evolve(answer, body=_cut_half(answer), code=None)
        return answer

    def _render(self, query: Query, fault: Fault | None) -> bytes | None:
        endpoint = query.endpoint
        if not endpoint.names.isdisjoint(self.settings.retired):
            return b"null"
        if isinstance(endpoint, DetailEndpoint):
            return render_detail(endpoint, query.scene)
        return render_page(endpoint, cut_page(endpoint, query, fault))

    async def _send(
        self, request: web.BaseRequest, record: RecordedRequest, answer: Answer, fault: Fault | None
    ) -> web.StreamResponse:
        match fault:
            case Fault(kind="reset" | "disconnect" as kind):
                self.ledger.record_loss(record)
                _cut(request, reset=kind == "reset")
                return web.Response()  # never sent: the connection is closed
            case Fault(kind="truncated"):
                self.ledger.record_answer(record, evolve(answer, code=None))
                response = await _begin(request, answer)
                _cut(request, reset=False)
                return response
            case Fault(kind="drip", seconds=seconds):
                response = await _begin(request, answer)
                await asyncio.sleep(seconds)
                self.ledger.record_answer(record, answer)
                await response.write(answer.body[len(_cut_half(answer)) :])
                return response
            case _:
                self.ledger.record_answer(record, answer)
                return _make_response(answer)


def _cut_half(answer: Answer) -> bytes:
    return answer.body[: len(answer.body) // 2]


def _make_response(answer: Answer) -> web.Response:
    return web.Response(status=answer.status, body=answer.body, headers=dict(answer.headers))


async def _begin(request: web.BaseRequest, answer: Answer) -> web.StreamResponse:
    """Send the headers and half of the body they promise."""
    response = web.StreamResponse(status=answer.status, headers=dict(answer.headers))
    response.content_length = len(answer.body)
    await response.prepare(request)
    await response.write(_cut_half(answer))
    return response


def _cut(request: web.BaseRequest, *, reset: bool) -> None:
    transport = request.transport
    if transport is None:  # pragma: no cover - the handler is cancelled before that
        return
    if reset:
        connection: socket.socket = transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_0)
        transport.abort()
    else:
        transport.close()
