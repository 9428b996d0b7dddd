"""Records of before an upgrade: read under their own rules, verified to the bit, and what has changed is said as that."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from config import VERSION
from events import SECOND, Opened
from record.lines import Entry, Header
from record.reader import Reader
from review import why
from review.__main__ import main
from review.page import page
from review.replay import digest_of, recorded_rules
from review.study import read
from rules import Rules
from tests.builders import SESSION
from tests.made_day import BEGIN_S, END_S, Made
from tests.made_record import Edit, resealed

NOW = SESSION.close + 3_600 * SECOND
BEFORE = "1.0.0"
NEW_RULES = (
    *("lag_reopen_seconds", "symbol_silence_seconds", "symbol_unseen_seconds", "price_jump_percent"),
    *("price_jump_closes", "quote_frozen_seconds", "delta_doubt"),
)
"""Rules that 1.0.0 did not have."""


def hash_of(rules: dict[str, Any]) -> str:
    """As version 1.0.0 made it."""
    text = json.dumps(rules, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def old_rules(**changes: Any) -> dict[str, Any]:
    """Rules as a header of 1.0.0 holds them: without what came later, and with the limit of then."""
    rules = {name: value for name, value in Rules().model_dump(mode="json").items() if name not in NEW_RULES}
    return {**rules, "clock_doubt_seconds": 5.0, **changes}


def of_before(rules: dict[str, Any], version: str = BEFORE, rules_hash: str = "") -> Edit:
    """Every header as an older version wrote it."""

    def edit(texts: list[bytes]) -> None:
        for place, text in enumerate(texts):
            if text.startswith(b"{"):
                header = msgspec.json.decode(text)
                header |= {"version": version, "rules": rules, "rules_hash": rules_hash or hash_of(rules)}
                texts[place] = msgspec.json.encode(header)

    return edit


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A record with a BUY and its SELL, written today."""
    story = Made(tmp_path_factory.mktemp("record") / "2025-10-02.jsonl")
    story.start(SESSION.open + BEGIN_S * SECOND)
    story.go(BEGIN_S - 1_300, BEGIN_S, END_S)
    story.journal.close()
    return story.path


def test_a_record_without_the_rules_of_today_verifies(
    made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rules = old_rules()
    copy = resealed(made, tmp_path / "2025-10-02.jsonl", of_before(rules))
    assert main(["verify", str(copy)]) == 0
    assert f"(rules {hash_of(rules)}, version {BEFORE}, checked by {VERSION})" in capsys.readouterr().out
    assert main(["replay", str(copy)]) == 0
    out = capsys.readouterr().out
    assert f"version {BEFORE}, rules {hash_of(rules)}" in out
    assert f"written by version {BEFORE}, this is {VERSION}; rules that it did not have are at their" in out
    assert why.main(["--data-dir", str(copy)], NOW) == 0
    assert f"rules {hash_of(rules)}" in capsys.readouterr().out
    page.write(read(copy), tmp_path / "page.html")
    assert hash_of(rules) in (tmp_path / "page.html").read_text(encoding="utf-8")


def test_a_rule_keeps_the_value_of_then_and_a_new_one_has_the_default_of_today() -> None:
    header = Header(
        schema=1,
        version=BEFORE,
        rules=old_rules(),
        rules_hash=hash_of(old_rules()),
        session=SESSION,
        now=SESSION.open,
        pid=1,
    )
    rules, odd = recorded_rules(header, {})
    assert rules == Rules(clock_doubt_seconds=5.0)
    assert [text.partition(";")[0] for text in odd] == [f"written by version {BEFORE}, this is {VERSION}"]
    # This version has all of its rules.
    _, odd = recorded_rules(replace(header, version=VERSION), {})
    assert [text for text in odd if "is missing" in text] == [
        f"rule {name.upper()} is missing; its default is used" for name in sorted(NEW_RULES)
    ]


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (of_before(old_rules(), rules_hash="00000000"), "the rules' hash is"),
        (of_before(old_rules(moon_phase=3)), "rule MOON_PHASE is unknown to version"),
        (of_before(old_rules(stop_loss_percent=145)), "STOP_LOSS_PERCENT: got '145'"),
        (of_before(old_rules(), version=VERSION), "rule DELTA_DOUBT is missing"),
    ],
)
def test_a_header_that_is_not_what_was_written_is_damage(
    made: Path, tmp_path: Path, edit: Edit, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = resealed(made, tmp_path / "2025-10-02.jsonl", edit)
    assert main(["verify", str(copy)]) == 1
    out = capsys.readouterr().out
    assert out.startswith(f"✗ {copy}, line 1: ")
    assert words in out


@pytest.mark.parametrize("version", [BEFORE, VERSION])
def test_what_is_decided_differently_is_said_as_that(
    made: Path, tmp_path: Path, version: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """As if the version of then had found another price to pay."""
    lines = list(Reader(made))
    place = next(
        place
        for place, line in enumerate(lines)
        if isinstance(line, Entry) and any(isinstance(item, Opened) for item in line.decisions)
    )
    entry = lines[place]
    assert isinstance(entry, Entry)
    (opened,) = entry.decisions
    assert isinstance(opened, Opened)
    other = replace(opened, pay_limit=opened.pay_limit + 100)

    def edit(texts: list[bytes]) -> None:
        of_before(old_rules() if version == BEFORE else Rules().model_dump(mode="json"), version)(texts)
        texts[place] = msgspec.json.encode(Entry(entry.now, entry.number, entry.event, (other,)))

    copy = resealed(made, tmp_path / "2025-10-02.jsonl", edit)
    assert main(["verify", str(copy)]) == 1
    out = capsys.readouterr().out
    what = (
        f"line {place + 1}: fact {entry.number} at 10:07:03 ET, Bar IWM of 10:07:00: "
        f"Opened.pay_limit: recorded {other.pay_limit}, derived {opened.pay_limit}"
    )
    if version == VERSION:
        assert out == f"✗ {copy}, {what}\n"
    else:
        assert out == (
            f"✗ {copy}: decides differently since {VERSION}; {what}. The record itself, written by version {BEFORE}, "
            f"is whole: {len(lines) - 1:,} facts\n"
        )


@settings(max_examples=40, deadline=None)
@given(
    lacking=st.sets(st.sampled_from(sorted(Rules.model_fields))),
    version=st.sampled_from([BEFORE, "0.9", "x"]),
)
def test_whatever_rules_a_version_had_its_hash_is_right(lacking: set[str], version: str) -> None:
    rules = {name: value for name, value in Rules().model_dump(mode="json").items() if name not in lacking}
    stored = msgspec.json.decode(msgspec.json.encode(rules))
    assert digest_of(stored) == hash_of(rules)
    header = Header(
        schema=1,
        version=version,
        rules=stored,
        rules_hash=hash_of(rules),
        session=SESSION,
        now=SESSION.open,
        pid=1,
    )
    found, odd = recorded_rules(header, {})
    assert found == Rules()
    assert len(odd) == 1
