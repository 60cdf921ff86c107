"""One HTTP attempt by aiohttp. No other module of the client uses aiohttp at run time.

Failures are returned as values, never raised from an `except` block: aiohttp's own exceptions
print the request's headers, so none may stay chained to what a caller sees.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Mapping, Sequence

import aiohttp
from aiohttp import hdrs
from yarl import URL

from ._version import __version__
from .errors import (
    ClientClosedError,
    InvalidResponseError,
    KeyAPIError,
    RequestTimeoutError,
    TransportError,
)
from .protocol import Response
from .retry import parse_date, parse_retry_after

MAX_BODY = 16 * 2**20
"""The longest body taken, in bytes after decompression."""

_NO_TIMEOUT = aiohttp.ClientTimeout(total=None, sock_connect=None)  # Attempt.send has its own


class Transport:
    """The connection pool: our own, opened at the first attempt, or a borrowed one.

    Args:
        api_key: The secret.
        base_url: Scheme, host and perhaps a path prefix.
        http: A borrowed session; it is never closed, and its headers and cookies are not sent.
        trace_configs: For a session of our own.
    """

    def __init__(
        self,
        *,
        api_key: str,
        base_url: str,
        http: aiohttp.ClientSession | None,
        trace_configs: Sequence[aiohttp.TraceConfig],
    ) -> None:
        self.secret = api_key
        self.base_url = base_url
        self.headers = {
            hdrs.HOST: base_url.partition("://")[2].partition("/")[0],
            hdrs.AUTHORIZATION: f"Bearer {api_key}",
            hdrs.USER_AGENT: f"keyapi-async/{__version__}",
            hdrs.ACCEPT: "application/json",
            hdrs.ACCEPT_ENCODING: "gzip, deflate",
        }
        self.foreign = [] if http is None else [*http.headers, "Cookie"]
        # Ours would take the place of the session's own; there is no public way to ask for them.
        self.lent: tuple[aiohttp.ClientMiddlewareType, ...] = getattr(http, "_middlewares", ())
        self._http = http
        self._owned = http is None
        self._trace_configs = list(trace_configs)
        self.closed = False
        self.under_way: set[asyncio.Timeout] = set()

    def open(self) -> aiohttp.ClientSession:
        """The aiohttp session, made when first needed."""
        if self._http is None:
            self._http = aiohttp.ClientSession(
                # No limit of its own: it would queue calls after their slot, in their time-out.
                connector=aiohttp.TCPConnector(limit=0),
                cookie_jar=aiohttp.DummyCookieJar(),
                trace_configs=self._trace_configs,
            )
        if self._http.closed:
            raise ClientClosedError("the borrowed aiohttp session is closed")
        return self._http

    async def close(self) -> None:
        """End the attempts under way; close the aiohttp session if it is our own."""
        self.closed = True
        now = asyncio.get_running_loop().time()
        for limit in self.under_way:  # aiohttp leaves them hanging: in the body, or connecting
            if not limit.expired():
                limit.reschedule(now)
        if self._owned and self._http is not None:
            await self._http.close()


class Attempt:
    """One attempt; as aiohttp client middleware it sends our headers alone, and only once.

    aiohttp re-sends a GET by itself when a kept-alive connection turns out dead: unpaced and
    uncounted. Here the second pass is refused, and the retry loop decides.
    """

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._request: aiohttp.ClientRequest | None = None

    @property
    def sent(self) -> bool:
        """Whether the request may have left this machine."""
        return self._request is not None and self._request.response is not None

    async def send(self, path_and_query: str, seconds: float) -> Response | KeyAPIError:
        """Send a GET and read its answer; failures to do so are returned, not raised.

        Args:
            path_and_query: What to get.
            seconds: Time for all of it, connecting and reading the body included.
        """
        transport = self._transport
        http = transport.open()
        failure: KeyAPIError
        limit = asyncio.timeout(seconds)
        try:
            async with limit:
                transport.under_way.add(limit)
                async with http.get(
                    URL(transport.base_url + path_and_query, encoded=True),
                    middlewares=(*transport.lent, self._middleware),
                    timeout=_NO_TIMEOUT,
                    allow_redirects=False,
                    raise_for_status=False,
                    auto_decompress=True,
                ) as response:
                    return await _read(response)
        except TimeoutError:
            failure = RequestTimeoutError(f"no answer within {seconds:g} s")
        except (aiohttp.ClientError, OSError) as error:
            failure = _failure(error, transport.secret)
        finally:
            transport.under_way.discard(limit)
        if transport.closed and isinstance(failure, TransportError):
            failure = ClientClosedError("the client was closed while the request was under way")
        failure.maybe_billed = self.sent
        return failure

    async def _middleware(
        self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        if self._request is not None:
            raise aiohttp.ServerDisconnectedError
        for name in self._transport.foreign:
            request.headers.popall(name, None)
        request.headers.update(self._transport.headers)
        self._request = request
        return await handler(request)


async def _read(response: aiohttp.ClientResponse) -> Response:
    chunks: list[bytes] = []
    size = 0
    fault = None
    try:
        while chunk := await response.content.readany():
            size += len(chunk)
            if size > MAX_BODY:
                fault = f"longer than {MAX_BODY} bytes"
                response.close()
                break
            chunks.append(chunk)
    except aiohttp.ClientPayloadError:
        fault = "cut off or garbled"
    return Response(
        status=response.status,
        body=b"".join(chunks),
        retry_after=_retry_after(response.headers),
        fault=fault,
        retrieved_at=time.time(),
    )


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """A date in it counts against the answer's own: the server's clock may differ from ours."""
    if (value := headers.get(hdrs.RETRY_AFTER)) is None:
        return None
    return parse_retry_after(value, now=parse_date(headers.get(hdrs.DATE, "")) or time.time())


def _failure(error: Exception, secret: str) -> KeyAPIError:
    """What an exception of aiohttp means. Nothing of it is kept, or of what it quotes."""
    text = str(error).replace(secret, "***")
    match error:
        case aiohttp.ClientHttpProxyError():
            failure = TransportError(f"the proxy refused with status {error.status}")
            failure.permanent = error.status not in (502, 503, 504)
        case aiohttp.ClientResponseError():
            what = re.sub(r"(?s)[^\w -].*", "", error.message.replace(secret, "***"))
            return InvalidResponseError(f"the answer is not HTTP: {what.strip()}")
        case aiohttp.ClientConnectorCertificateError() | aiohttp.ServerFingerprintMismatch():
            failure = TransportError(f"the server's certificate was not accepted: {text}")
            failure.permanent = True
        case aiohttp.ClientConnectorError():
            told = text.removeprefix("Cannot connect to host ")
            failure = TransportError(f"could not connect: {told}")
        case _:
            reason = error.strerror if isinstance(error, OSError) else None
            failure = TransportError(f"the connection was lost: {reason or type(error).__name__}")
    return failure
