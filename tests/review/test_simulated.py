"""A record of a simulated market says so, and so does everything that is told of it. A real one's bytes stay as they were."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from record.journal import Journal
from record.lines import SEAL_BYTES, decode_header
from review import why
from review.__main__ import main
from review.keeper import read
from review.page import page
from rules import Rules
from tests.builders import SESSION, at
from tests.made_record import written
from tests.review.days import EVENING
from tests.review.records import record_in, resealed_as_simulated

FIELDS = ["type", "schema", "version", "rules", "rules_hash", "session", "now", "pid"]
"""The fields of a header before there was `simulated`, in their order."""


def header_of(path: Path) -> bytes:
    return path.read_bytes().splitlines(keepends=True)[0][:-SEAL_BYTES]


def test_the_header_of_a_real_session_has_the_fields_that_it_always_had(tmp_path: Path) -> None:
    text = header_of(written(tmp_path / "2025-10-02.jsonl"))
    assert list(json.loads(text)) == FIELDS
    assert decode_header(text).simulated is False


def test_the_header_of_a_simulated_market_says_so(tmp_path: Path) -> None:
    path = tmp_path / "2025-10-02.jsonl"
    journal = Journal(path)
    journal.begin(Rules(), SESSION, at(-300), simulated=True)
    journal.close()
    text = header_of(path)
    assert list(json.loads(text)) == [*FIELDS, "simulated"]
    assert decode_header(text).simulated is True


@pytest.mark.parametrize("is_simulated", [False, True])
def test_what_is_told_of_a_record_begins_with_what_its_market_was(
    is_simulated: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = record_in(tmp_path)
    if is_simulated:
        path = resealed_as_simulated(path, tmp_path / "sessions" / "2025-10-03.jsonl").rename(path)
    assert read(path).is_simulated is is_simulated

    assert why.main(["--data-dir", str(path)], EVENING) == 0
    told = capsys.readouterr().out
    assert told.startswith("Simulated market. No entry on 2 Oct: ") is is_simulated
    assert ("\nSimulated market, session 2025-10-02, " in told) is is_simulated
    assert ("\nSession 2025-10-02, " in told) is not is_simulated

    assert why.main(["--data-dir", str(path), "--json"], EVENING) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["simulated"] is is_simulated
    assert found["answer"].startswith("Simulated market. ") is is_simulated

    assert main(["replay", str(path)]) == 0
    told = capsys.readouterr().out
    assert ("🔁 Simulated market, session 2025-10-02, " in told) is is_simulated
    assert main(["verify", str(path)]) == 0

    page.write(read(path), tmp_path / "page.html")
    assert (">Simulated market</p>" in (tmp_path / "page.html").read_text(encoding="utf-8")) is is_simulated
