"""Apprise is loaded by one file, and only when a channel needs it."""

from __future__ import annotations

from tests.test_architecture import ROOMS, ROOT, imports_of, run


def test_one_file_knows_apprise() -> None:
    rooms = sorted({*ROOMS, "research", "review", "sim"})
    paths = [*ROOT.glob("*.py"), *(path for room in rooms for path in (ROOT / room).rglob("*.py"))]
    knowing = {path for path in paths if "apprise" in imports_of(path)}
    assert knowing == {ROOT / "delivery" / "apprise_library.py"}


def test_an_address_for_apprise_is_checked_without_loading_it() -> None:
    program = (
        "import sys; from settings.types import SecretUrls; from pydantic import TypeAdapter\n"
        "TypeAdapter(SecretUrls).validate_python('tgram://token/chat')\n"
        "import delivery.sender; print('apprise' in sys.modules)"
    )
    assert run(program) == "False\n"
