"""HTTP answers: statuses, bodies, the JSON envelope."""

from __future__ import annotations

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Final

from attrs import field, frozen

_MESSAGES: Final[Mapping[int, str]] = {
    **{status.value: status.phrase for status in HTTPStatus},
    400: "Missing required parameter: handle",
    401: "apiKey is null",
    402: "apiKey quota is not enough",
    429: "qps limit exceeded",
    500: "Internal server error",
}
_JSON: Final = (("Content-Type", "application/json"),)


def to_json(value: object) -> str:
    """Serialise as the API does: compact, and no escapes for what is not ASCII."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


@frozen
class Answer:
    """A whole HTTP answer."""

    status: int
    body: bytes = field(repr=lambda body: f"<{len(body)} bytes>")
    headers: tuple[tuple[str, str], ...] = _JSON
    code: int | None = None
    """The envelope's code; None when the body is not an envelope."""

    @classmethod
    def success(cls, data: bytes, request_id: str) -> Answer:
        """`code` 0 around `data` that is JSON already."""
        head, tail = b'{"code":0,"message":"success","data":', b',"requestId":"%b"}'
        return cls(200, head + data + tail % request_id.encode(), code=0)

    @classmethod
    def error(
        cls,
        status: int,
        message: str | None = None,
        *,
        code: int | None = None,
        retry_after: str | None = None,
    ) -> Answer:
        """An error envelope, with the documented message unless another is given."""
        code = status if code is None else code
        text = message or _MESSAGES.get(code, "error")
        body = to_json({"code": code, "data": None, "message": text}).encode()
        headers = _JSON if retry_after is None else (*_JSON, ("Retry-After", retry_after))
        return cls(status, body, headers, code)


def find_code(body: bytes) -> int | None:
    """Return the envelope's code, or None when this is no envelope."""
    try:
        envelope = json.loads(body)
    except ValueError:
        return None
    code = envelope.get("code") if isinstance(envelope, dict) else None
    return code if type(code) is int else None
