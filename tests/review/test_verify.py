"""Verify: whatever is changed in a record is found."""

from __future__ import annotations

import gzip
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from events import Bar, Closed, Decision, Opened
from record.lines import Entry
from record.reader import Reader
from review.__main__ import main
from review.verify import Difference, check
from rules import Rules
from tests.made_day import Made
from tests.made_record import Edit
from tests.review.records import drop, has, line_of, made, recorded, rewritten

__all__ = ["made"]  # fixtures that the tests here use, too


def test_a_good_record_is_good(made: Made, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(made.path)]) == 0
    out = capsys.readouterr().out
    facts = len(recorded(made.path))
    assert out.startswith(
        f"✓ {made.path}: 2025-10-02, {facts:,} facts, 2 starts, {len(made.decisions)} decisions"
    )
    assert out.count("\n") == 1


def test_any_changed_number_is_found_where_it_is(
    made: Made, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One digit of one line, anywhere: the checksum tells."""
    count = len(made.path.read_bytes().splitlines())
    for index in range(3, count, count // 20):

        def change(lines: list[bytes], index: int = index) -> None:
            digits = [place for place, byte in enumerate(lines[index]) if chr(byte).isdigit()]
            place = digits[index % len(digits)]
            other = b"%d" % ((int(lines[index][place : place + 1]) + 1) % 10)
            lines[index] = lines[index][:place] + other + lines[index][place + 1 :]

        copy = rewritten(made.path, tmp_path, change, seal=False)
        assert main(["verify", str(copy)]) == 1
        assert f"{copy}, line {index + 1}: " in capsys.readouterr().out


def swap(index: int) -> Edit:
    """Exchange a line with the next."""

    def edit(lines: list[bytes]) -> None:
        lines[index], lines[index + 1] = lines[index + 1], lines[index]

    return edit


@pytest.mark.parametrize("edit", [drop, swap])
@pytest.mark.parametrize("seal", [False, True])
def test_a_line_dropped_or_moved_is_found(
    made: Made,
    tmp_path: Path,
    edit: Callable[[int], Edit],
    seal: bool,
    capsys: pytest.CaptureFixture[str],
) -> None:
    index = line_of(made.path, has(Opened)) - 7
    copy = rewritten(made.path, tmp_path, edit(index), seal=seal)
    assert main(["verify", str(copy)]) == 1
    found = capsys.readouterr().out
    assert f"{copy}, line {index + 1}: " in found
    assert ("arrival number" if seal else "checksum") in found


def test_a_torn_end_is_found(made: Made, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole = made.path.read_bytes()
    count = len(whole.splitlines())
    copy = tmp_path / "copy.jsonl"
    for cut in (1, 30):
        copy.write_bytes(whole[:-cut])
        assert main(["verify", str(copy)]) == 1
        assert f"{copy}, line {count}: torn" in capsys.readouterr().out
    copy.write_bytes(gzip.compress(whole)[:-500])
    assert main(["verify", str(copy)]) == 1
    assert "the archive is broken" in capsys.readouterr().out


def test_a_forged_fact_is_found_by_what_it_would_have_caused(
    made: Made, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One number of one fact, with every checksum mended: the decision it led to can no more be derived."""
    index = line_of(made.path, has(Opened))
    entry = list(Reader(made.path))[index]
    assert isinstance(entry, Entry) and isinstance(entry.event, Bar)

    def change(texts: list[bytes]) -> None:
        event = entry.event
        assert isinstance(event, Bar)
        texts[index] = msgspec.json.encode(
            Entry(entry.now, entry.number, replace(event, close=event.close + 0.01), entry.decisions)
        )

    copy = rewritten(made.path, tmp_path, change, seal=True)
    assert main(["verify", str(copy)]) == 1
    found = capsys.readouterr().out
    assert (
        f"{copy}, line {index + 1}: fact {entry.number} at 10:07:03 ET, Bar IWM of 10:07:00: Opened.price"
        in found
    )
    assert f"recorded {entry.event.close!r}, derived {entry.event.close + 0.01!r}" in found


@pytest.mark.parametrize("kind", [Opened, Closed])
def test_a_forged_decision_is_found_in_any_field(made: Made, tmp_path: Path, kind: type[Decision]) -> None:
    index = line_of(made.path, has(kind))
    entry = list(Reader(made.path))[index]
    assert isinstance(entry, Entry)
    decision = next(item for item in entry.decisions if isinstance(item, kind))
    numbers = [
        field
        for field in decision.__struct_fields__
        if type(getattr(decision, field)) in (int, float) and (kind, field) != (Closed, "late")
    ]
    assert len(numbers) > 8
    fields = iter(numbers)
    for field in itertools.islice(fields, 0, None, 4):
        changed = replace(decision, **{field: getattr(decision, field) + 1})
        decisions = tuple(changed if item is decision else item for item in entry.decisions)

        def change(texts: list[bytes], decisions: tuple[Decision, ...] = decisions) -> None:
            texts[index] = msgspec.json.encode(Entry(entry.now, entry.number, entry.event, decisions))

        copy = rewritten(made.path, tmp_path, change, seal=True)
        with pytest.raises(Difference, match=f"line {index + 1}: .*{kind.__name__}.{field}: recorded"):
            check(copy)


@pytest.mark.parametrize("forged", ["left out", "made up"])
def test_a_decision_left_out_or_made_up_is_found(made: Made, tmp_path: Path, forged: str) -> None:
    lines = list(Reader(made.path))
    index = line_of(made.path, has(Closed))
    entry = lines[index]
    assert isinstance(entry, Entry)
    target = index if forged == "left out" else index - 1
    other = lines[target]
    assert isinstance(other, Entry)
    decisions = () if forged == "left out" else entry.decisions

    def change(texts: list[bytes]) -> None:
        texts[target] = msgspec.json.encode(Entry(other.now, other.number, other.event, decisions))

    copy = rewritten(made.path, tmp_path, change, seal=True)
    words = (
        "recorded nothing, derived Closed" if forged == "left out" else "recorded Closed .*, derived nothing"
    )
    with pytest.raises(Difference, match=f"line {target + 1}: .* decision: {words}"):
        check(copy)


def header_edit(**changes: Any) -> Edit:
    """The first header with other fields."""

    def edit(texts: list[bytes]) -> None:
        texts[0] = msgspec.json.encode({**msgspec.json.decode(texts[0]), **changes})

    return edit


def test_another_version_is_said(made: Made, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    copy = rewritten(made.path, tmp_path, header_edit(version="0.9.0"), seal=True)
    assert main(["verify", str(copy)]) == 0  # the newest header's is this one's, and all can be derived
    assert main(["replay", str(copy)]) == 0
    assert "⚠️ written by version 0.9.0, this is" in capsys.readouterr().out
    copy = rewritten(made.path, tmp_path, header_edit(schema=2, version="9.9.9"), seal=True)
    assert main(["verify", str(copy)]) == 1
    assert "line 1: schema 2 of version 9.9.9; this version reads 1" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("rules", "words"),
    [
        ({**Rules().model_dump(mode="json"), "moon_phase": 3}, "rule MOON_PHASE is unknown"),
        ({"symbol": "IWM"}, "the rules' hash is"),
        ({**Rules().model_dump(mode="json"), "stop_loss_percent": 14.5}, "the rules' hash is"),
        ({**Rules().model_dump(mode="json"), "stop_loss_percent": 145}, "STOP_LOSS_PERCENT: got '145'"),
    ],
)
def test_rules_that_are_not_the_header_s_are_found(
    made: Made, tmp_path: Path, rules: dict[str, Any], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = rewritten(made.path, tmp_path, header_edit(rules=rules, version="0.9.0"), seal=True)
    assert main(["verify", str(copy)]) == 1
    out = capsys.readouterr().out
    assert f"{copy}, line 1: written by version 0.9.0, this is " in out
    assert words in out


def test_every_record_is_checked(made: Made, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    copy = rewritten(made.path, tmp_path, drop(100), seal=False)
    assert main(["verify", str(copy), str(made.path)]) == 1
    out = capsys.readouterr().out.splitlines()
    assert [line[0] for line in out] == ["✗", "✓"]
