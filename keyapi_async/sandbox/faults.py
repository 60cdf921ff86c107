"""Everything that can go wrong with an answer, as values."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from functools import lru_cache
from typing import Final, TypeVar

from attrs import frozen

from .answers import Answer, find_code, to_json

_PAGE_FAULTS: Final = frozenset(
    ("endless", "endless_fresh", "repeat_page", "wrong_page", "shift", "wrong_total", "empty")
)
_BLANK: Final = b" " * (1 << 20)
_HTML: Final = (("Content-Type", "text/html; charset=utf-8"),)
_STATUSES: Final = range(200, 600)
_Number = TypeVar("_Number", int, float)


@frozen
class Fault:
    """One way for an answer to go wrong. Make one with the constructors below."""

    kind: str
    """The name of its constructor; `endless_fresh` for `endless(fresh=True)`."""
    answer: Answer | None = None
    """What is sent instead of the normal answer."""
    seconds: float = 0.0
    amount: int = 0

    @property
    def is_page_fault(self) -> bool:
        """Whether the answer is well-formed and only its paging is wrong."""
        return self.kind in _PAGE_FAULTS

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
            status: The HTTP status, and the envelope's `code`.
            message: Instead of the documented message.
            retry_after: Value of a `Retry-After` header.
            code: Another `code` for the envelope.
            http: Another HTTP status: 200 hides the error in a success.
        """
        http = _check_status(status if http is None else http)
        answer = Answer.error(
            http, message, code=status if code is None else code, retry_after=retry_after
        )
        return cls("status", answer)

    @classmethod
    def html(cls, status: int = 502) -> Fault:
        """A gateway's HTML error page."""
        page = f"<html><head><title>{status}</title></head><body><h1>{status}</h1></body></html>\n"
        return cls("html", Answer(_check_status(status), page.encode(), _HTML))

    @classmethod
    def body(
        cls, body: bytes, status: int = 200, headers: Mapping[str, str] | None = None
    ) -> Fault:
        """Any body at all, sent as `application/json` unless `headers` say otherwise."""
        sent = {"Content-Type": "application/json", **(headers or {})}
        return cls(
            "body", Answer(_check_status(status), body, tuple(sent.items()), find_code(body))
        )

    @classmethod
    def data(cls, value: object) -> Fault:
        """A success with this `data`, such as None or `{}`."""
        request_id = "00000000-0000-4000-8000-000000000000"
        return cls("data", Answer.success(to_json(value).encode(), request_id))

    @classmethod
    def redirect(cls, location: str) -> Fault:
        """A 302 to somewhere else."""
        return cls("redirect", Answer(302, b"", (("Location", location),)))

    @classmethod
    def bomb(cls, size: int = 100_000_000) -> Fault:
        """A small gzip body that inflates to `size` bytes."""
        headers = (("Content-Type", "application/json"), ("Content-Encoding", "gzip"))
        body = _compress_blank(check_positive("size", size))
        return cls("bomb", Answer(200, body, headers), amount=size)

    # The normal answer, badly sent.

    @classmethod
    def truncated(cls) -> Fault:
        """Half of the body that `Content-Length` promises, then the connection closes."""
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
        """Nothing is sent for that long, then the normal answer."""
        return cls("stall", seconds=check_positive("seconds", seconds))

    @classmethod
    def drip(cls, seconds: float = 3600.0) -> Fault:
        """The headers and half of the body are sent at once, the rest that much later."""
        return cls("drip", seconds=check_positive("seconds", seconds))

    # Well-formed pages with wrong content; details are not affected.

    @classmethod
    def endless(cls, *, fresh: bool = False) -> Fault:
        """`has_more` stays true for ever.

        Past the end, the last page's items are repeated; with `fresh` there are new ones.
        """
        return cls("endless_fresh" if fresh else "endless")

    @classmethod
    def repeat_page(cls) -> Fault:
        """The items of the previous page, under the right page number."""
        return cls("repeat_page")

    @classmethod
    def wrong_page(cls) -> Fault:
        """The first page, and `page` says so, whatever was asked for."""
        return cls("wrong_page")

    @classmethod
    def shift(cls, ranks: int = 1) -> Fault:
        """New entries pushed everything down: `ranks` items of the page before are repeated."""
        return cls("shift", amount=check_positive("ranks", ranks))

    @classmethod
    def wrong_total(cls, total: int) -> Fault:
        """Another `total` than the list has."""
        return cls("wrong_total", amount=total)

    @classmethod
    def empty(cls) -> Fault:
        """No items, though `has_more` is true."""
        return cls("empty")


@lru_cache(maxsize=4)
def _compress_blank(size: int) -> bytes:
    packer = zlib.compressobj(wbits=31)  # gzip
    chunks = (packer.compress(_BLANK[: size - start]) for start in range(0, size, len(_BLANK)))
    return b"".join(chunks) + packer.flush()


def _check_status(value: int) -> int:
    if value not in _STATUSES:
        raise ValueError(f"status must be from 200 to 599; got {value!r}")
    return value


def check_positive(name: str, value: _Number) -> _Number:
    """Return the value.

    Raises:
        ValueError: It isn't above 0.
    """
    if not value > 0:
        raise ValueError(f"{name} must be above 0; got {value!r}")
    return value
