"""What the server received and billed: what a client's own counts are compared with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import date
from http import HTTPStatus
from typing import Final

from attrs import define, field

from .answers import Answer
from .settings import Settings

COST: Final = 2  # credits


@define(kw_only=True)
class RecordedRequest:
    """One request; recorded at its arrival, completed once its answer is decided."""

    time: float
    """When it arrived, on the clock of the sandbox's event loop."""
    day: date
    """The sandbox's day when it arrived, by which it is answered."""
    path: str
    query: str
    """The query string as it came over the wire."""
    params: Mapping[str, str]
    headers: Mapping[str, str]
    """By lower-case name, without `authorization`: the key is never stored."""
    authorized: bool
    page: int | None = None
    """The page asked for; None when the endpoint has no pages, or the request is not valid."""
    fault: str | None = None
    """The kind of the fault that happened to it."""
    status: int | None = None
    """The HTTP status; None until it is decided, and when the connection was cut before it."""
    code: int | None = None
    """The envelope's code; None when no whole envelope was sent."""
    credits: int = 0
    """What it cost."""


@define
class Ledger:
    """All requests in order of arrival, and the account they are paid from."""

    settings: Settings
    requests: list[RecordedRequest] = field(factory=list)
    spent: int = 0
    refused: int = 0
    _held: int = 0

    @property
    def can_pay(self) -> bool:
        """Whether the account covers one more request, those under way included."""
        balance = self.settings.credits
        return balance is None or self.spent + self._held + COST <= balance

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Reserve the cost of one request until it is known whether it is billed."""
        self._held += COST
        try:
            yield
        finally:
            self._held -= COST

    def record_answer(self, record: RecordedRequest, answer: Answer) -> None:
        """Complete the record; call it before the first byte that could tell the client."""
        record.status, record.code = answer.status, answer.code
        self.refused += HTTPStatus.TOO_MANY_REQUESTS in (answer.status, answer.code)
        number = answer.code or answer.status  # the envelope decides first
        is_refusal = HTTPStatus.MULTIPLE_CHOICES <= number < HTTPStatus.INTERNAL_SERVER_ERROR
        is_success = answer.status == HTTPStatus.OK and answer.code == 0
        self._bill(record, is_billed=is_success or (self.settings.bill_faults and not is_refusal))

    def record_loss(self, record: RecordedRequest) -> None:
        """Bill a request whose client got no whole answer, unless it has been billed already."""
        if record.status is None:
            self._bill(record, is_billed=self.settings.bill_faults)

    def _bill(self, record: RecordedRequest, *, is_billed: bool) -> None:
        record.credits = COST if is_billed else 0
        self.spent += record.credits
