"""How values on the command line are read."""

from time import time
from typing import Any

import pytest
from cyclopts import App, CycloptsError

from keyapi_async.cli.options import Age, Day, File, Moment, Whole


def read(kind: Any, text: str) -> Any:
    app = App(result_action="return_value", exit_on_error=False, print_error=False)

    @app.default
    def command(*, value: kind) -> Any:
        return value

    return app(["--value", text])


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90m", 5400), ("1.5h", 5400), ("7d", 604800), ("2w", 1209600), ("0s", 0), ("1h30m", 5400)],
)
def test_ages(text: str, seconds: float) -> None:
    assert read(Age, text) == seconds


def test_moments() -> None:
    assert read(Moment, "2026-11-21") == read(Moment, "2026-11-21T00:00:00Z") == 1795219200
    assert read(Moment, "2026-11-21T01:00+01:00") == 1795219200
    assert read(Moment, "1h") == pytest.approx(time() - 3600, abs=5)


@pytest.mark.parametrize(
    ("kind", "text", "told"),
    [
        (Age, "1", "must be an age such as 90m, 24h or 7d, not '1'"),
        (Age, "never", "must be an age such as"),
        (Age, "9" * 20 + "y", "must be an age such as"),
        (Moment, "never", "must be a date or time such as 2026-11-21 or 2026-11-21T06:00, or an"),
        (Moment, "9" * 20 + "y", "must be a date or time such as"),
        (Day, "21.11.2026", "must be a date such as 2026-11-21, not '21.11.2026'"),
        (Whole, "2.5", "must be a whole number, not '2.5'"),
        (Whole, "9" * 5000, "must be a whole number, not '999"),
        (File, "-x", "write ./-name for one that begins with a hyphen"),
    ],
)
def test_what_cannot_be_read(kind: Any, text: str, told: str) -> None:
    with pytest.raises(CycloptsError) as caught:
        read(kind, text)
    assert told in str(caught.value)
