"""Another rule, tried on a day."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from events import Shutdown, Tick
from review import what_if
from review.keeper import read
from review.study import Study
from review.why import main
from tests.builders import at, chain, row
from tests.made_day import Made
from tests.review.days import EVENING, day, folder, run
from tests.review.studies import EASY, bought

__all__ = ["day", "folder"]  # fixtures that the tests here use, too


def test_another_rule_side_by_side(folder: Path, day: Study, capsys: pytest.CaptureFixture[str]) -> None:
    path = folder / "sessions" / "2025-10-02.tried.json"
    path.unlink(missing_ok=True)
    (trade,) = day.trades.told
    asked = ("2025-10-02", "--data-dir", folder, "--what-if")
    status, out, _ = run(capsys, *asked, "TIGHTEN_GIVEBACK_PERCENT=5", "--what-if", "mark_hold_seconds=0")
    assert status == 0
    assert out.startswith("1 BUY on 2 Oct. ")
    assert "What if MARK_HOLD_SECONDS=0, TIGHTEN_GIVEBACK_PERCENT=5?" in out
    (line,) = [line for line in out.splitlines() if line.startswith("  10:07:03 ")]
    assert line.count("→") == 2 and "the same" not in line
    assert f"{trade.crossed_percent:+.1f}%" in line
    other = read(
        folder / "sessions" / "2025-10-02.jsonl", {"TIGHTEN_GIVEBACK_PERCENT": "5", "MARK_HOLD_SECONDS": "0"}
    )
    (would,) = other.trades.told
    assert would.closed_at is not None and trade.closed_at is not None and would.closed_at < trade.closed_at
    assert f"{would.crossed_percent:+.1f}%" in line
    assert "One day proves nothing" in out
    assert "Tried on this record so far: 1 setting." in out
    assert path.stat().st_mode & 0o777 == 0o600
    # The same in another order and in other words is the same.
    _, out, _ = run(capsys, *asked, "MARK_HOLD_SECONDS=0.0", "--what-if", "TIGHTEN_GIVEBACK_PERCENT=5.00")
    assert "so far: 1 setting." in out
    _, out, _ = run(capsys, *asked, "RELATIVE_VOLUME_MIN=50")
    assert (
        "so far: 2 settings." in out
        and " signals, 0 entries" in out
        and "no entry" in out
        and "Under that rule: No entry on 2 Oct: the program was not running for" in out
    )
    _, out, _ = run(capsys, *asked, "CHAIN_POLL_SECONDS=7")
    assert "CHAIN_POLL_SECONDS changes nothing here" in out and "the same" in out
    _, out, _ = run(capsys, *asked, "STOP_LOSS_PERCENT=15")
    assert "These are the rules that were used: nothing changes." in out and "Tried" not in out
    assert len(json.loads(path.read_text())["tried"]) == 3


def test_an_entry_that_comes_anew(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Fewer demands bring another BUY before the one that was."""
    arguments = ("--what-if", "VWAP_RISING_SECONDS=10", "--what-if", "RELATIVE_VOLUME_MIN=1.4", "--json")
    status, out, _ = run(capsys, "--data-dir", folder, *arguments)
    assert status == 0
    found = json.loads(out)
    before = {entry["id"] for entry in found["entries"]}
    after = found["what_if"]["entries"]
    assert found["what_if"]["settings"] == {"VWAP_RISING_SECONDS": "10", "RELATIVE_VOLUME_MIN": "1.4"}
    assert [entry for entry in after if entry["id"] not in before]


def test_what_cannot_be_priced_is_said(tmp_path: Path) -> None:
    story = Made(tmp_path / "record.jsonl")
    story.start(at(-10), EASY)
    opened = bought(story, streams=False)
    for second in range(200, 260):
        story.tell(at(second), Tick())
    story.tell(at(260), Shutdown(close_position=True))
    story.journal.close()
    study = read(story.path)
    other = read(story.path, {"STOP_LOSS_PERCENT": "40"})
    (result,) = what_if.results(other)
    assert (result.is_priced, result.percent, result.dollars, result.is_streamed) == (
        False,
        None,
        None,
        False,
    )
    text = "\n".join(what_if.lines(what_if.compare(study, other, {"STOP_LOSS_PERCENT": "40"}, None)))
    assert f"could not be priced: no quote of {opened.contract} was recorded then." in text
    assert (
        "acting 15 s after each push: no trade, because it is not over yet" in " ".join(text.split())
        and "not priced" in text
    )


def test_an_entry_that_only_polls_priced_is_said(tmp_path: Path) -> None:
    story = Made(tmp_path / "record.jsonl")
    story.start(at(-10), EASY)
    bought(story, streams=False)
    story.tell(at(200), chain(200, row(bid=1.45, ask=1.47)))
    story.tell(at(201), Shutdown(close_position=True))
    story.journal.close()
    other = read(story.path, {"STOP_LOSS_PERCENT": "40"})
    (result,) = what_if.results(other)
    assert result.is_priced and not result.is_streamed
    text = "\n".join(
        what_if.lines(what_if.compare(read(story.path), other, {"STOP_LOSS_PERCENT": "40"}, None))
    )
    assert "only the chain's polls:" in text


def test_a_count_that_cannot_be_kept_is_no_error(tmp_path: Path) -> None:
    record = tmp_path / "2025-10-02.jsonl.gz"
    assert what_if.tried_path(record).name == "2025-10-02.tried.json"
    assert what_if.count_trial(record, "aa", "A=1") == (1, "")
    assert what_if.count_trial(record, "bb", "B=1") == (2, "")
    assert not list(tmp_path.glob("*.part"))
    for other in ("{", '{"letters": 3}', "[" * 2_000_000, "\ud800".encode("utf-8", "surrogatepass")):
        data = other if isinstance(other, bytes) else other.encode()
        what_if.tried_path(record).write_bytes(data)
        settings, fault = what_if.count_trial(record, "cc", "C=1")
        assert settings == 1 and "is damaged, or not a count: this one is not kept" in fault
        assert what_if.tried_path(record).read_bytes() == data
    what_if.tried_path(record).unlink()
    os.mkfifo(what_if.tried_path(record))
    assert what_if.count_trial(record, "cc", "C=1")[0] == 1
    folder = tmp_path / "2025-10-03.tried.json"
    folder.mkdir()
    settings, fault = what_if.count_trial(tmp_path / "2025-10-03.jsonl", "aa", "A=1")
    assert settings == 1 and "cannot be read (Is a directory)" in fault
    (tmp_path / "2025-10-06.tried.json").symlink_to(what_if.tried_path(record))
    settings, fault = what_if.count_trial(tmp_path / "2025-10-06.jsonl", "aa", "A=1")
    assert settings == 1 and "cannot be read" in fault
    long = tmp_path / ("x" * 240 + ".jsonl")  # its part's name is too long for the disk
    settings, fault = what_if.count_trial(long, "aa", "A=1")
    assert settings == 1 and "cannot be written (File name too long): this one is not kept" in fault


@pytest.mark.parametrize(
    ("setting", "fault"),
    [
        ("FOO=1", "--what-if FOO: no such rule; docs/settings.md lists them"),
        ("STOP_LOS_PERCENT=1", "did you mean STOP_LOSS_PERCENT?"),
        ("STOP_LOSS_PERCENT", "takes NAME=VALUE"),
        ("STOP_LOSS_PERCENT=200", "over 0 and under 100"),
        ("SYMBOL=QQQ", "the record has the options of IWM, and none of QQQ"),
        ("BENCHMARK=QQQ", "the record has no bars of QQQ"),
        ("DATA_DIR=/tmp", "is a setting, but not a rule: it decides nothing; rules are those from"),
        ("FOLLOW_DELAY_SECONDS=5", "SYMBOL on in docs/settings.md"),
    ],
)
def test_a_rule_that_cannot_be(
    folder: Path, capsys: pytest.CaptureFixture[str], setting: str, fault: str
) -> None:
    status, out, err = main(["--data-dir", str(folder), "--what-if", setting], EVENING), *capsys.readouterr()
    assert (status, out) == (2, "")
    assert fault in err
