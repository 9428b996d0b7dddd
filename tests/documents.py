"""The documents that the tests read, and their parts."""

from __future__ import annotations

import re
from pathlib import Path

import config
from checks.settings import setting_text

ROOT = Path(__file__).parent.parent


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


README = read("README.md")
LOGGING = read("DIAGNOSTIC_LOGGING.md")
DECIDES = read("docs/decides.md")
PHONE = read("docs/phone.md")
EXAMPLE = read(".env.example")
REFERENCE = sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").rglob("*.md"))
DOCUMENTS = [*sorted(path.name for path in ROOT.glob("*.md")), *REFERENCE]
"""Every document, by its path in the repository."""
MANUAL = "".join(map(read, ["README.md", "DIAGNOSTIC_LOGGING.md", *REFERENCE]))
"""Everything that the owner reads."""


def section(text: str, title: str) -> str:
    """The part of a document under a title, down to the next title of the same rank or a higher one."""
    rank = title.index(" ")
    (found,) = re.findall(rf"(?ms)^{re.escape(title)}\n(.*?)(?=^#{{1,{rank}}} |\Z)", text)
    return str(found)


def first_cells(text: str) -> list[str]:
    """The code in the first cell of each row."""
    return re.findall(r"(?m)^\| `([^`]+)` \|", text)


def default(name: str) -> str | None:
    """The default as it is written in the environment; None for a setting that must be given."""
    field = config.Settings.model_fields[name.lower()]
    if field.is_required():
        return None
    text = setting_text(field.default)
    return "" if text == "not set" else text
