"""SECURITY.md against the program: the tests that it names, the files with their modes, the addresses."""

from __future__ import annotations

import re
import stat
from pathlib import Path

import pytest

from config import Settings
from tests.documents import ROOT, first_cells, read, section
from tests.worker.loop_town import loop_town

PAGE = read("SECURITY.md")


def test_every_test_that_it_names_is_there() -> None:
    named = re.findall(r"`(tests/[\w/.]*)`", PAGE)
    assert len(named) > 20
    assert not [name for name in named if not (ROOT / name).exists()]


def test_the_addresses_are_those_of_the_settings() -> None:
    rows = re.findall(r"(?m)^\| `(\w+_URL)` \| (\S+) \|", section(PAGE, "## Network"))
    for name, shown in rows:
        default = Settings.model_fields[name.lower()].default
        plain = default.get_secret_value() if hasattr(default, "get_secret_value") else default
        assert shown.strip("`") == (plain or "none"), name
    urls = {name.upper() for name in Settings.model_fields if name.endswith("_url")}
    assert {name for name, _ in rows} == urls


@pytest.mark.virtual_time
async def test_the_worker_keeps_what_it_names_for_its_owner_only(tmp_path: Path) -> None:
    async with loop_town(tmp_path) as place:
        await place.start()
        await place.until(lambda: "Backfill SPY: done" in place.said(), 60, "seen")
        assert await place.stop() == 0
    data = tmp_path / "data"
    named = {name for name in first_cells(section(PAGE, "## Files")) if name.startswith("DATA_DIR/")}
    assert {f"DATA_DIR/{path.name}{'/' * path.is_dir()}" for path in data.iterdir()} <= named
    for path in (data, *data.rglob("*")):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path
