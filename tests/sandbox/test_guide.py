"""The guide is true: its tables name every setting and every fault."""

from __future__ import annotations

import re
from pathlib import Path

from attrs import fields

from keyapi_async import sandbox
from keyapi_async.sandbox import Fault, Sandbox

GUIDE = (Path(sandbox.__file__).parent / "README.md").read_text(encoding="utf-8")


def first_column(section: str) -> set[str]:
    """The names in code in the first cells of a section's table."""
    [text] = re.findall(rf"^## {section}\n(.*?)(?=^## |\Z)", GUIDE, re.DOTALL | re.MULTILINE)
    cells = "".join(line.split("|")[1] for line in text.splitlines() if line.startswith("|"))
    return set(re.findall(r"`(\w+)[(`]", cells))


def test_every_setting_is_named() -> None:
    assert first_column("Settings") == {field.alias for field in fields(Sandbox) if field.init}


def test_every_fault_is_named() -> None:
    makers = {name for name, value in vars(Fault).items() if isinstance(value, classmethod)}
    assert first_column("Faults") - {"Fault"} == makers
