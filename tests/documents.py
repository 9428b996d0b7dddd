"""The documents that the tests read, and their parts.

``python -m tests.documents --write`` rewrites what is generated from the model of the settings: the table in
docs/settings.md, and .env.example.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

import config
from checks.settings import setting_text
from settings.faults import kind, limits

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


def unit(name: str) -> str:
    extra = config.Settings.model_fields[name.lower()].json_schema_extra
    assert isinstance(extra, dict)
    return str(extra["unit"])


def bounds(name: str) -> str:
    """The bounds of a setting, or its choices; empty for text."""
    field = config.Settings.model_fields[name.lower()]
    choices = kind(field)
    return limits(field) or (choices if choices.startswith("one of") else "")


def description(name: str) -> str:
    return config.Settings.model_fields[name.lower()].description or ""


# --- Generated from the model ------------------------------------------------------------------------

SETTINGS_PAGE = "docs/settings.md"
SETTINGS_TITLE = "## Every setting"

EXAMPLE_PREAMBLE = """\
# Copy this file to .env in the same folder and fill in the three keys. Variables in the environment override this file.
# Names that are not in this list are refused, so that a typing error cannot go unnoticed. Write values without quotes;
# `$` is not expanded.
"""

EXAMPLE_SECTIONS = {
    "POLYGON_API_KEY": "Keys: these three are required. Everything else has a default.",
    "POLYGON_REST_URL": "Addresses of the vendors",
    "DATA_DIR": "Files and folders",
    "HEARTBEAT_URL": "Who notices when the program or Pushover fails",
    "DAILY_SUMMARY": "Pushes",
    "SYMBOL": "What is watched",
    "STALL_SECONDS": "The feed",
    "PRICE_JUMP_PERCENT": "Which prices are plausible",
    "VWAP_LONG_SECONDS": "Entry conditions",
    "WARMUP_SECONDS": "Gates",
    "CHAIN_POLL_SECONDS": "The contract",
    "HARD_TIME_STOP": "The position",
    "CLOCK_DOUBT_SECONDS": "Other reasons to hold entries",
}
"""The headings of .env.example, by the first setting under each."""


def settings_table() -> list[str]:
    """The table of settings as it must be."""
    rows = ["| Name | Default | Unit | Bounds | What it does |", "|---|---|---|---|---|"]
    for name in config.variable_names():
        value = default(name)
        shown = "required" if value is None else value or "empty"
        rows.append(f"| `{name}` | {shown} | {unit(name)} | {bounds(name)} | {description(name)} |")
    return rows


def example_text() -> str:
    """.env.example as it must be."""
    lines = [EXAMPLE_PREAMBLE.rstrip("\n")]
    for name in config.variable_names():
        if name in EXAMPLE_SECTIONS:
            lines += ["", f"# --- {EXAMPLE_SECTIONS[name]} ---", ""]
        value, bound = default(name), bounds(name)
        lines.append(f"# {description(name)} [{unit(name)}{'; ' + bound if bound else ''}]")
        lines.append(f"{name}=" if value is None else f"# {name}={value}")
    return "\n".join(lines) + "\n"


def settings_page() -> str:
    """docs/settings.md as it must be: its own text, with the table of settings under its title."""
    page = read(SETTINGS_PAGE)
    return page.replace(section(page, SETTINGS_TITLE), "\n" + "\n".join(settings_table()) + "\n")


def write() -> None:
    """Rewrites the generated documents."""
    (ROOT / SETTINGS_PAGE).write_text(settings_page(), encoding="utf-8")
    (ROOT / ".env.example").write_text(example_text(), encoding="utf-8")


if __name__ == "__main__":
    if sys.argv[1:] != ["--write"]:
        sys.exit("usage: python -m tests.documents --write")
    write()
