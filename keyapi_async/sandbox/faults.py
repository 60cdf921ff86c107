"""Everything that can go wrong with an answer, as values, and the script that hands them out."""

from __future__ import annotations

import gzip
import io
import threading
from collections.abc import Collection, Mapping
from functools import lru_cache
from random import Random
from typing import Final, Literal, TypeAlias, TypeVar, get_args

from attrs import define, field, frozen

from keyapi_async.sandbox.answers import Answer, code_in, to_json
from keyapi_async.sandbox.endpoints import Query, find_endpoint

Lie: TypeAlias = Literal[
    "endless", "endless_fresh", "repeat_page", "wrong_page", "shift", "wrong_total", "empty"
]
Kind: TypeAlias = (
    Literal[
        "status",
        "html",
        "body",
        "data",
        "redirect",
        "bomb",
        "truncated",
        "half_json",
        "reset",
        "disconnect",
        "stall",
        "drip",
    ]
    | Lie
)
_LIES: Final = frozenset(get_args(Lie))
_CHUNK: Final = 1 << 20
_HTML: Final = (("Content-Type", "text/html; charset=utf-8"),)
_STATUSES: Final = range(200, 600)
_Number = TypeVar("_Number", int, float)


@frozen
class Fault:
    """One way for an answer to go wrong. Make one with the constructors below."""

    kind: Kind
    answer: Answer | None = None
    """What is sent instead of the healthy answer."""
    seconds: float = 0.0
    amount: int = 0

    @property
    def is_lie(self) -> bool:
        """Whether the answer is well-formed and only its paging is wrong."""
        return self.kind in _LIES

    # Answers of another kind.

    @classmethod
    def status(
        cls,
        status: int,
        message: str | None = None,
        *,
        retry_after: str | None = None,
        code: int | None = None,
        http: int | None = None,
    ) -> Fault:
        """A JSON error envelope.

        Args:
            status: The HTTP status, and the envelope's ``code``.
            message: Instead of the documented message.
            retry_after: Value of a ``Retry-After`` header.
            code: Another ``code`` for the envelope.
            http: Another HTTP status: 200 hides the error in a success.
        """
        http = _status(status if http is None else http)
        answer = Answer.error(
            http, message, code=status if code is None else code, retry_after=retry_after
        )
        return cls("status", answer)

    @classmethod
    def html(cls, status: int = 502) -> Fault:
        """A gateway's HTML error page."""
        page = f"<html><head><title>{status}</title></head><body><h1>{status}</h1></body></html>\n"
        return cls("html", Answer(_status(status), page.encode(), _HTML))

    @classmethod
    def body(
        cls, body: bytes, status: int = 200, headers: Mapping[str, str] | None = None
    ) -> Fault:
        """Any body at all, sent as ``application/json`` unless ``headers`` say otherwise."""
        sent = {"Content-Type": "application/json", **(headers or {})}
        return cls("body", Answer(_status(status), body, tuple(sent.items()), code_in(body)))

    @classmethod
    def data(cls, value: object) -> Fault:
        """A success with this ``data``, such as None or ``{}``."""
        request_id = "00000000-0000-4000-8000-000000000000"
        return cls("data", Answer.success(to_json(value).encode(), request_id))

    @classmethod
    def redirect(cls, location: str) -> Fault:
        """A 302 to somewhere else."""
        return cls("redirect", Answer(302, b"", (("Location", location),)))

    @classmethod
    def bomb(cls, size: int = 100_000_000) -> Fault:
        """A small gzip body that inflates to ``size`` bytes."""
        headers = (("Content-Type", "application/json"), ("Content-Encoding", "gzip"))
        return cls("bomb", Answer(200, _gzipped(_positive("size", size)), headers), amount=size)

    # The healthy answer, badly sent.

    @classmethod
    def truncated(cls) -> Fault:
        """Half of the body that ``Content-Length`` promises, then the connection closes."""
        return cls("truncated")

    @classmethod
    def half_json(cls) -> Fault:
        """A complete 200 whose JSON stops half way."""
        return cls("half_json")

    @classmethod
    def reset(cls) -> Fault:
        """A TCP reset before any byte of an answer."""
        return cls("reset")

    @classmethod
    def disconnect(cls) -> Fault:
        """The connection is closed without an answer."""
        return cls("disconnect")

    @classmethod
    def stall(cls, seconds: float = 3600.0) -> Fault:
        """Nothing comes for that long, then the healthy answer."""
        return cls("stall", seconds=_positive("seconds", seconds))

    @classmethod
    def drip(cls, seconds: float = 3600.0) -> Fault:
        """The headers and half of the body come at once, the other half that much later."""
        return cls("drip", seconds=_positive("seconds", seconds))

    # Well-formed pages that lie; single hashtags and sounds are spared.

    @classmethod
    def endless(cls, *, fresh: bool = False) -> Fault:
        """``has_more`` stays true for ever.

        Past the end the last page's items come again, or new ones with ``fresh``.
        """
        return cls("endless_fresh" if fresh else "endless")

    @classmethod
    def repeat_page(cls) -> Fault:
        """The items of the page before, under the right page number."""
        return cls("repeat_page")

    @classmethod
    def wrong_page(cls) -> Fault:
        """The first page, and ``page`` says so, whatever was asked for."""
        return cls("wrong_page")

    @classmethod
    def shift(cls, ranks: int = 1) -> Fault:
        """New entries pushed everything down: ``ranks`` items of the page before come again."""
        return cls("shift", amount=_positive("ranks", ranks))

    @classmethod
    def wrong_total(cls, total: int) -> Fault:
        """Another ``total`` than the list has."""
        return cls("wrong_total", amount=total)

    @classmethod
    def empty(cls) -> Fault:
        """No items, though ``has_more`` is true."""
        return cls("empty")


@define(eq=False)
class _Entry:
    fault: Fault
    left: float
    path: str | None
    page: int | None

    def matches(self, query: Query) -> bool:
        """Whether this is a request the entry is meant for."""
        return (
            self.path in (None, query.endpoint.path)
            and self.page in (None, query.page)
            and not (self.fault.is_lie and query.page is None)
        )


@define
class Script:
    """Which request suffers what: the scripted faults in order, else some of the mix by chance."""

    mix: Collection[Fault]
    rate: float
    rng: Random
    _entries: list[_Entry] = field(factory=list, init=False)
    # The test's thread writes the script while the server's reads it.
    _lock: threading.Lock = field(factory=threading.Lock, init=False)

    def add(
        self, faults: Collection[Fault], *, times: int | None, path: str | None, page: int | None
    ) -> None:
        """Append faults to the script."""
        left = float("inf") if times is None else _positive("times", times)
        path = None if path is None else find_endpoint(path).path
        with self._lock:
            self._entries += [_Entry(fault, left, path, page) for fault in faults]

    def clear(self) -> None:
        """Forget the script; the random mix stays."""
        with self._lock:
            self._entries.clear()

    def pick(self, query: Query) -> Fault | None:
        """Return what goes wrong with this request, if anything."""
        with self._lock:
            for entry in self._entries:
                if entry.matches(query):
                    entry.left -= 1
                    if not entry.left:
                        self._entries.remove(entry)
                    return entry.fault
        return self._by_chance(query)

    def _by_chance(self, query: Query) -> Fault | None:
        # Two draws for every request, so that one request's luck never depends on another's path.
        hit, which = self.rng.random() < self.rate, self.rng.random()
        if not hit:
            return None
        fault = tuple(self.mix)[int(which * len(self.mix))]
        return None if fault.is_lie and query.page is None else fault


@lru_cache(maxsize=4)
def _gzipped(size: int) -> bytes:
    packed = io.BytesIO()
    # JSON as far as anyone can see: white space, then null. No clock reading in the header.
    with gzip.GzipFile(fileobj=packed, mode="wb", mtime=0) as sink:
        blank = b" " * _CHUNK
        for start in range(0, size, _CHUNK):
            sink.write(blank[: size - start])
    return packed.getvalue()


def _status(value: int) -> int:
    if value not in _STATUSES:
        raise ValueError(f"status must be from 200 to 599; got {value!r}")
    return value


def _positive(name: str, value: _Number) -> _Number:
    if not value > 0:
        raise ValueError(f"{name} must be above 0; got {value!r}")
    return value
