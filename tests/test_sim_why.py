"""``diagnose.py why``: the answer on top for every kind of day, one second in full, another rule tried, and the command."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from msgspec.structs import replace

from events import (
    SECOND,
    AlertKind,
    AlertOutcome,
    Condition,
    DeclineReason,
    FeedRestored,
    Hold,
    HoldReason,
    Outcome,
    Session,
    Shutdown,
    Tick,
)
from review import moment, what_if
from review.answer import answer
from review.keeper import read
from review.report import report
from review.study import Study
from review.why import main
from tests.builders import EARLY_SESSION, SESSION, at, bar, chain, row
from tests.made_day import BEGIN_S, END_S, Made
from tests.test_sim_study import EASY, bought, seen, study_of
from utils import clock_text

ROOT = Path(__file__).parent.parent
EVENING = SESSION.close + 3_600 * SECOND
SURGE, RISING = Condition.VOLUME_SURGE, Condition.VWAP_RISING


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A DATA_DIR with the record of a session that had a BUY and its SELL."""
    place = tmp_path_factory.mktemp("data")
    story = Made(place / "sessions" / "2025-10-02.jsonl")
    story.path.parent.mkdir()
    story.start(at(BEGIN_S))
    story.go(BEGIN_S - 1_300, BEGIN_S, END_S)
    story.journal.close()
    return place


@pytest.fixture(scope="module")
def day(folder: Path) -> Study:
    """The same, read."""
    return read(folder / "sessions" / "2025-10-02.jsonl", now=EVENING)


def whole(path: Path, *rows: object, session: Session = SESSION, until: int | None = None) -> Study:
    """A session that was watched from the open to the close, with these evaluations."""
    study = study_of(path, *rows)  # type: ignore[arg-type]
    study.session = session
    study.until = session.close if until is None else until
    study.asked_at = session.close + SECOND if until is None else until
    return study


# --- The answer on top -------------------------------------------------------------------------------


def test_no_signal(tmp_path: Path) -> None:
    study = whole(
        tmp_path / "r", seen(700, SURGE), seen(800, SURGE), seen(900, RISING), seen(901, SURGE, RISING)
    )
    assert answer(study) == (
        "No entry on 2 Oct: no second met all conditions; volume_surge alone failed in 2, "
        "vwap_rising alone failed in 1."
    )


def test_no_signal_and_nothing_near(tmp_path: Path) -> None:
    study = whole(tmp_path / "r", seen(700, SURGE, RISING), seen(800, SURGE, Condition.MOMENTUM))
    assert answer(study) == (
        "No entry on 2 Oct: no second met all conditions, nor all but one; volume_surge failed most, "
        "in 100 % of the seconds."
    )


def test_signals_that_were_all_gated(tmp_path: Path) -> None:
    late = [seen(22_000 + second, gate=DeclineReason.PAST_CUTOFF) for second in range(11)]
    assert answer(whole(tmp_path / "r", *late)) == "No entry on 2 Oct: 11 signals, all after 15:30."
    assert answer(whole(tmp_path / "s", late[0])) == "No entry on 2 Oct: 1 signal, after 15:30."


def test_the_last_entry_of_an_early_close(tmp_path: Path) -> None:
    late = [seen(0, gate=DeclineReason.PAST_CUTOFF)]
    study = whole(tmp_path / "r", *late, session=EARLY_SESSION)
    assert answer(study) == "No entry on 28 Nov: 1 signal, after 12:30."


def test_signals_that_were_gated_for_several_reasons(tmp_path: Path) -> None:
    cool = [seen(700 + second, gate=DeclineReason.COOLDOWN) for second in range(3)]
    refused = replace(seen(800).evaluation, gate=DeclineReason.HELD, hold=HoldReason.PUSH_REFUSED)
    held = seen(800)._replace(evaluation=refused)
    assert answer(whole(tmp_path / "r", *cool, held)) == (
        "No entry on 2 Oct: 4 signals, 3 in the cooldown, 1 while entries were held (push refused)."
    )


@pytest.mark.parametrize("gate", list(DeclineReason))
def test_every_gate_has_its_words(gate: DeclineReason, tmp_path: Path) -> None:
    said = answer(whole(tmp_path / "r", seen(700, gate=gate), seen(701, gate=gate)))
    assert said.startswith("No entry on 2 Oct: 2 signals, all ")
    assert said.count(".") == 1 and "None" not in said


def test_declined_contracts(tmp_path: Path) -> None:
    story = Made(tmp_path / "record.jsonl")
    story.start(at(-10), EASY)
    with pytest.raises(AssertionError, match="no BUY"):
        bought(story, rows=(row(bid=1.30, ask=1.50), row(219.0, 0.21, 0.215, delta=0.1)), streams=False)
    story.tell(SESSION.close, Tick())
    story.journal.close()
    study = read(story.path, now=EVENING)
    count = study.declined[DeclineReason.NO_CONTRACT]
    assert count > 1
    assert answer(study).startswith(
        f"No entry on 2 Oct: {count} signals, all without a contract that passed the rules "
        f"(spread {count}, delta {count})."
    )


def test_blind_all_day(tmp_path: Path) -> None:
    story = Made(tmp_path / "record.jsonl")
    story.start(at(-300))
    story.tell(at(0), Tick())
    story.tell(at(11_000), Tick())
    story.journal.close()
    now = answer(read(story.path, now=at(11_000)))
    assert now == "No entry on 2 Oct so far (until 12:33:20 ET): blind all the time (not connected)."
    story.start(at(11_001))
    story.tell(at(11_001), Tick())
    story.tell(SESSION.close, Tick())
    story.journal.close()
    assert answer(read(story.path, now=EVENING)) == (
        "No entry on 2 Oct: blind whenever the program ran (not connected). "
        "It was not running for 1s of the session."
    )
    path = tmp_path / "whole.jsonl"
    story = Made(path)
    story.start(at(-300))
    story.tell(at(0), Tick())
    story.tell(SESSION.close, Tick())
    story.journal.close()
    assert answer(read(path, now=EVENING)) == "No entry on 2 Oct: blind all day (not connected)."


def test_blind_for_most_of_the_day(tmp_path: Path) -> None:
    story = Made(tmp_path / "record.jsonl")
    story.start(at(-300))
    story.tell(at(-290), FeedRestored())
    story.tell(at(3), bar(0))
    story.tell(at(8), Tick())
    story.tell(SESSION.close, Tick())
    story.journal.close()
    assert answer(read(story.path, now=EVENING)) == (
        "No entry on 2 Oct: blind for 6h29m of 6h30m (unexplained silence); nothing but the first 10m00s "
        "after the open was seen."
    )


def test_an_entry_with_its_result(day: Study) -> None:
    (trade,) = day.trades.told
    assert trade.closed is not None
    said = answer(day)
    assert said.startswith(f"1 entry on 2 Oct: {trade.opened.contract} at 10:07:03, sold 10:")
    assert f"({trade.closed.reason}), told {trade.told_percent:+.1f}%, " in said
    assert f"ask→bid {trade.crossed_percent:+.1f}%. It was not running for " in said


def test_an_entry_that_is_still_open(folder: Path, tmp_path: Path) -> None:
    lines = (folder / "sessions" / "2025-10-02.jsonl").read_bytes().splitlines(keepends=True)
    sold = next(index for index, line in enumerate(lines) if b'"type":"closed"' in line)
    path = tmp_path / "record.jsonl"
    path.write_bytes(b"".join(lines[:sold]))
    study = read(path)
    assert answer(study).startswith("1 entry so far on 2 Oct: O:IWM")
    assert "at 10:07:03, still open." in answer(study)


def test_several_entries(day: Study, tmp_path: Path) -> None:
    (first,) = day.trades.told
    assert first.closed is not None and first.closed_at is not None and first.closed.bid is not None
    study = whole(tmp_path / "r")
    for number, bid in enumerate((first.opened.ask + 1_000, first.opened.ask - 400)):
        name = f"00000{number}"
        start = first.opened_at + number * 600 * SECOND
        study.trades.learn(start, Tick(), [replace(first.opened, id=name)])
        study.trades.learn(start + SECOND, Tick(), [replace(first.closed, id=name, bid=bid)])
    assert answer(study) == "2 entries on 2 Oct: 1 up, 1 down; ask→bid +$6.00, one contract each."
    study.trades.learn(start + 900 * SECOND, Tick(), [replace(first.opened, id="000002")])
    assert "3 entries on 2 Oct: 1 up, 1 down, 1 open; ask→bid +$6.00" in answer(study)


def test_a_withdrawn_buy(tmp_path: Path) -> None:
    story = Made(tmp_path / "record.jsonl")
    story.start(at(-10), EASY)
    opened = bought(story)
    gone = AlertOutcome(
        kind=AlertKind.BUY, id=opened.id, outcome=Outcome.UNSENT, attempts=3, detail="30 s old"
    )
    story.tell(at(199), gone)
    story.tell(SESSION.close, Tick())
    story.journal.close()
    study = read(story.path, now=EVENING)
    said = answer(study)
    assert said.startswith("No entry on 2 Oct: the BUY of 09:31:")
    assert "was withdrawn before it could arrive (30 s old)." in said
    (trade,) = study.trades.all
    assert study.held_at(trade.opened_at) is None and study.held_at(trade.opened_at + 1) is trade
    assert study.held_at(at(199)) is trade and study.held_at(at(199) + 1) is None


def test_the_program_was_not_running(tmp_path: Path) -> None:
    story = Made(tmp_path / "record.jsonl")
    story.start(SESSION.close + SECOND)
    story.tell(SESSION.close + SECOND, Tick())
    story.journal.close()
    assert answer(read(story.path, now=EVENING)) == (
        "No entry on 2 Oct: the program was not running in the session."
    )
    story = Made(tmp_path / "second.jsonl")
    story.start(at(-10))
    story.tell(at(-9), FeedRestored())
    story.tell(at(3), bar(0))
    story.tell(at(4), Shutdown(close_position=True))
    story.journal.close()
    assert answer(read(story.path, now=EVENING)) == (
        "No entry on 2 Oct: the program was not running for 6h29m of 6h30m; nothing but the first 10m00s "
        "after the open was seen."
    )


def test_the_exchange_was_closed_without_notice(tmp_path: Path) -> None:
    story = Made(tmp_path / "record.jsonl")
    story.start(at(-300))
    story.tell(at(-290), FeedRestored())
    story.tell(at(-200), Hold(reason=HoldReason.MARKET_CLOSED, on=True))
    story.tell(SESSION.close, Tick())
    story.journal.close()
    said = answer(read(story.path, now=EVENING))
    assert said.startswith("No entry on 2 Oct: the exchange was closed, although the calendar has a session.")


def test_entries_that_were_held_for_long_are_part_of_the_answer(tmp_path: Path) -> None:
    """One hold from before the open, another inside it, a third until after the close, one of a second."""
    story = Made(tmp_path / "record.jsonl")
    story.start(at(-300))
    story.tell(at(-290), FeedRestored())
    for second, reason, on in (
        (-100, HoldReason.CLOCK_DOUBT, True),
        (20, HoldReason.LOOP_LAG, True),
        (21, HoldReason.LOOP_LAG, False),
        (50, HoldReason.CLOCK_DOUBT, False),
        (23_390, HoldReason.PUSH_REFUSED, True),
    ):
        story.tell(at(second), Hold(reason=reason, on=on))
    story.tell(SESSION.close + 30 * SECOND, Tick())
    story.journal.close()
    study = read(story.path, now=EVENING)
    assert study.held_us == 60 * SECOND
    assert "Entries were held for 1m00s (clock doubt, loop lag, push refused)." in answer(study)
    study.held = study.held[1:]
    assert "held" not in answer(study)


def test_before_the_open_and_just_after(tmp_path: Path) -> None:
    story = Made(tmp_path / "record.jsonl")
    story.start(at(-300))
    story.tell(at(-290), FeedRestored())
    story.journal.close()
    assert answer(read(story.path)) == "The session of 2 Oct opens at 09:30 ET: nothing to tell yet."
    story.start(at(-280))
    story.tell(at(4), bar(1))
    story.journal.close()
    assert answer(read(story.path)) == (
        "No entry on 2 Oct so far (until 09:30:04 ET): nothing but the first 10m00s after the open was seen."
    )


# --- One second --------------------------------------------------------------------------------------


def lines_at(study: Study, second: float) -> list[str]:
    """What is shown of a second after the open."""
    return moment.show(study, at(second)).lines


def test_the_second_of_an_entry_in_full(day: Study) -> None:
    fired = next(line for line in day.seen if line.is_fired)
    shown = moment.show(day, fired.evaluation.start)
    text = "\n".join(shown.lines)
    assert text.count("  ✓ ") == 7 and "✗" not in text
    for condition in Condition:
        assert f"✓ {condition.value}" in text
    assert f"volume_surge      {fired.evaluation.volume:,.0f} (Z " in text
    assert f"over {fired.evaluation.volume_p95:,.0f}" in text
    assert "Gate open. Feed well. Position none. Decision: opened." in text
    end = fired.evaluation.start + 600 * SECOND
    later = [
        line
        for line in day.seen
        if fired.evaluation.start < line.evaluation.start <= end and line.evaluation.holds
    ]
    assert later and f"  Signals: {len(later)}, the first at " in text
    assert f"(position open {len(later)})" in text or "position open " in text
    assert "  Entries: none" in text  # its own is not one of those that followed
    closes = [
        close for index, close in enumerate(day.closes) if close and fired.evaluation.start < at(index) <= end
    ]
    best, worst = max(closes), min(closes)
    data = shown.data["next_10_minutes"]
    assert data["best_percent"] == pytest.approx((best / fired.evaluation.price - 1) * 100)
    assert data["worst_percent"] == pytest.approx((worst / fired.evaluation.price - 1) * 100)
    assert f"(${best:.2f} at " in text and f"(${worst:.2f} at " in text


def test_the_time_of_a_push_leads_to_its_second(day: Study) -> None:
    (trade,) = day.trades.told
    fired = next(line for line in day.seen if line.is_fired)
    first = moment.show(day, trade.opened_at // SECOND * SECOND).lines[0]
    assert first.startswith("The BUY of 10:07:03 was decided about the second 10:07:0")
    assert first.endswith(f"see --at {clock_text(fired.evaluation.start)}.")


def test_a_second_that_failed_shows_what_it_needed(tmp_path: Path) -> None:
    failing = seen(700, SURGE, Condition.SPY_LAG, gate=DeclineReason.LATE_BAR, volume=3_912.0, roc5=None)
    study = whole(tmp_path / "r", failing)
    text = "\n".join(lines_at(study, 700))
    assert "✗ volume_surge      3,912 (Z 2.0)                       over 4,000" in text
    assert "✗ spy_lag           no IWM base                         at most 0.2" in text
    assert "Gate closed: late bar. Feed well." in text
    assert "seen at 09:41:43, 2.0 s after the second's end" in text
    assert "  IWM: no prices" in text


def test_a_condition_that_is_left_out(tmp_path: Path) -> None:
    row = seen(700)
    passes = (*row.evaluation.passes[:-1], None)
    study = whole(tmp_path / "r", row._replace(evaluation=replace(row.evaluation, passes=passes)))
    assert any("– spy_lag" in line and "left out by the rules" in line for line in lines_at(study, 700))


def test_a_second_without_an_evaluation_says_why(day: Study, tmp_path: Path) -> None:
    first = day.seen[0].evaluation.start
    assert lines_at(day, -60)[0] == "09:29:00 ET was not evaluated: it is before the open (09:30)."
    assert lines_at(day, 23_400)[0].endswith("it is after the close (16:00).")
    assert lines_at(day, 100)[:2] == [
        "09:31:40 ET was not evaluated: the program was not running (not started yet), 09:30:00–10:05:30.",
        "There was no evaluation before it.",
    ]
    assert "killed or crashed, or its record was off" in " ".join(lines_at(day, END_S + 100))
    quiet = next(
        index
        for index, close in enumerate(day.closes)
        if close is None and at(index) > first and index < END_S - 60
    )
    shown = lines_at(day, quiet)
    assert shown[0].endswith("no bar of IWM is known of it: nothing was traded in that second.")
    assert shown[1].startswith("The last one before, ") and shown[3].startswith("10:")
    filled = moment.why_not(day, at(BEGIN_S - 5) + 0)
    assert "not running" in filled
    story = Made(tmp_path / "record.jsonl")
    story.start(at(-10))
    story.tell(at(-9), FeedRestored())
    story.tell(at(3), bar(0))
    for second in range(4, 20):
        story.tell(at(second), Tick())
    story.tell(at(20), bar(12, backfilled=True))
    story.journal.close()
    study = read(story.path)
    assert "the feed was blind (unexplained silence), 09:30:08–09:30:20; its bar of IWM is not known" in (
        " ".join(lines_at(study, 10))
    )
    assert "its bar of IWM was filled in afterwards" in " ".join(lines_at(study, 12))
    assert "the record goes until 09:30:20 only, so far" in lines_at(study, 30)[0]


def test_a_bar_that_is_still_on_its_way(tmp_path: Path) -> None:
    """The last seconds of a record have no bar yet, which does not mean that nothing was traded in them."""
    story = Made(tmp_path / "record.jsonl")
    story.start(at(-10))
    story.tell(at(-9), FeedRestored())
    for second in range(60):
        story.tell(at(second), Tick())
        if second > 2:
            story.tell(at(second), bar(second - 3))
    story.journal.close()
    now = read(story.path, now=at(60))
    assert "may still come: a bar takes about 2 s" in lines_at(now, 57)[0]
    killed = read(story.path, now=at(900))
    text = " ".join(lines_at(killed, 57))
    assert (
        "had not come when the program ended (killed or crashed, or its record was off) at 09:30:59" in text
    )
    story.start(at(300))
    story.tell(at(301), bar(30, backfilled=True))
    story.tell(at(302), Shutdown(close_position=True))
    story.journal.close()
    stopped = read(story.path, now=at(900))
    assert "nothing was traded" not in " ".join(lines_at(stopped, 57))


def test_what_follows_a_second_ends_with_the_record(day: Study, tmp_path: Path) -> None:
    nothing = "The record holds nothing of the 10 minutes after it."
    for second in (-1_000, 23_400, 30_000):
        shown = moment.show(day, at(second))
        assert shown.lines[-1] == nothing and shown.data["next_10_minutes"] is None
    assert "The next 10 minutes, until 15:59:59:" in lines_at(day, 22_799)
    late = moment.show(day, at(23_000))
    assert "What followed until the close, 16:00:00:" in late.lines
    assert late.data["next_10_minutes"]["until"] == "2025-10-02T20:00:00Z"
    before = moment.show(
        day, at(BEGIN_S - 100)
    )  # the record begins 100 s later, and is over before the 10 minutes are
    unseen = 600 * SECOND - (day.until - at(BEGIN_S))
    assert before.data["next_10_minutes"]["unseen_seconds"] == unseen // SECOND
    assert any(line.startswith("  Not seen: 4m") and "was not running" in line for line in before.lines)
    assert not any("Not seen" in line for line in lines_at(whole(tmp_path / "q", seen(700)), 700))
    now = whole(tmp_path / "r", seen(700), until=at(720))
    assert "What followed until 09:42:00, where the record ends so far:" in lines_at(now, 700)


# --- Another rule ------------------------------------------------------------------------------------


def run(capsys: pytest.CaptureFixture[str], *arguments: object, now: int = EVENING) -> tuple[int, str, str]:
    """The command: its status and what it printed."""
    status = main([str(argument) for argument in arguments], now)
    out, err = capsys.readouterr()
    lines = [
        line for line in (out + err).splitlines() if "python -m review replay " not in line
    ]  # holds a path
    assert max(map(len, [*lines, ""])) <= 100 or "--json" in arguments
    return status, out, err


def test_another_rule_side_by_side(folder: Path, day: Study, capsys: pytest.CaptureFixture[str]) -> None:
    path = folder / "sessions" / "2025-10-02.tried.json"
    path.unlink(missing_ok=True)
    (trade,) = day.trades.told
    asked = ("2025-10-02", "--data-dir", folder, "--what-if")
    status, out, _ = run(capsys, *asked, "TIGHTEN_GIVEBACK_PERCENT=5", "--what-if", "mark_hold_seconds=0")
    assert status == 0
    assert out.startswith("1 entry on 2 Oct: ")
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
    text = "\n".join(what_if.lines(study, other, {"STOP_LOSS_PERCENT": "40"}, None))
    assert f"could not be priced: no quote of {opened.contract} was recorded then." in text
    assert "(1 could not be priced)" in text and "not priced" in text


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
    text = "\n".join(what_if.lines(read(story.path), other, {"STOP_LOSS_PERCENT": "40"}, None))
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
        ("FOO=1", "--what-if FOO: no such rule"),
        ("STOP_LOS_PERCENT=1", "did you mean STOP_LOSS_PERCENT?"),
        ("STOP_LOSS_PERCENT", "takes NAME=VALUE"),
        ("STOP_LOSS_PERCENT=200", "over 0 and under 100"),
        ("SYMBOL=QQQ", "the record has the options of IWM, and none of QQQ"),
        ("BENCHMARK=QQQ", "the record has no bars of QQQ"),
        ("DATA_DIR=/tmp", "no such rule"),
    ],
)
def test_a_rule_that_cannot_be(
    folder: Path, capsys: pytest.CaptureFixture[str], setting: str, fault: str
) -> None:
    status, out, err = main(["--data-dir", str(folder), "--what-if", setting], EVENING), *capsys.readouterr()
    assert (status, out) == (2, "")
    assert fault in err


# --- The command -------------------------------------------------------------------------------------


def test_the_report_of_a_day(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, err = run(capsys, "2025-10-02", "--data-dir", folder)
    assert (status, err) == (0, "")
    assert out.startswith("1 entry on 2 Oct: ")
    for text in (
        "Session 2025-10-02, 09:30–16:00 ET; rules ",
        "How far the seconds of the session got",
        "  session                     23,400     100.0 %  100.0 %",
        "  five_minute_vwap ",
        "  gate: position open ",
        " signals\n",
        "  fired                            1 ",
        "Stopped none: session closed, held, ",
        "How often each condition failed in the ",
        "\n  five_minute_vwap  5-minute VWAP ",
        "\n  spy_lag           SPY lag ",
        "alone, every gate open",
        "(every gate open, and every condition but one holds)",
        "Gaps (",
        "  09:30:00–10:05:30  35m30s  not running: not started yet",
        "Entries (in at the BUY's ask, out at the SELL's bid, one contract)",
        "  10:07:03 → 10:",
    ):
        assert text in out, text
    path = folder / "sessions" / "2025-10-02.jsonl"
    assert f"\n  python -m review replay {shlex.quote(str(path))}\n" in out


def test_the_report_for_machines(folder: Path, day: Study, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = run(capsys, "2025-10-02", "--data-dir", folder, "--json", "--at", "10:07:01")
    assert status == 0
    found = json.loads(out)
    assert found["answer"] == answer(day)
    assert found["in_progress"] is False and found["session"] == "2025-10-02"
    assert found["funnel"][0] == {"kind": "second", "name": "session", "left": 23_400, "lost": 0}
    assert found["funnel"][-1]["name"] == "fired" and found["funnel"][-1]["left"] == 1
    assert {item["condition"] for item in found["conditions"]} == {condition.value for condition in Condition}
    assert found["near_misses"] == [] and found["near_misses_before_a_buy"] == 1
    assert found["not_running"][0]["cause"] == "not started yet"
    assert found["entries"][0]["priced"] is True
    assert found["at"]["second"] == "2025-10-02T14:07:01Z"


@pytest.mark.parametrize(("after", "is_miss"), [(1, False), (60, False), (61, True)])
def test_a_near_miss_that_a_buy_follows_within_a_minute_is_left_out_and_counted(
    tmp_path: Path, after: int, is_miss: bool
) -> None:
    fired = seen(700 + after)._replace(decision="Opened")
    study = whole(tmp_path / "r", seen(500, SURGE), seen(700, SURGE), fired)
    every = "every gate open, and every condition but one holds"
    shown = (
        f"The nearest of 2 near misses ({every})"
        if is_miss
        else f"The one near miss ({every}; 1 that a BUY followed within 60 s is left out)"
    )
    assert shown in " ".join(report(study))
    none = whole(tmp_path / "n", seen(700, SURGE), seen(701)._replace(decision="Opened"))
    assert "but one holds): none; 1 that a BUY followed within 60 s is left out." in " ".join(report(none))


def test_one_second_from_the_command_line(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = run(capsys, "2025-10-02", "--data-dir", folder, "--at", "10:05")
    assert status == 0
    assert "10:05:00 ET was not evaluated: the program was not running" in out
    assert "How far the seconds" not in out


def test_a_vendors_text_cannot_steer_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    story = Made(tmp_path / "record.jsonl")
    story.start(at(-10), EASY)
    opened = bought(story)
    detail = "400: \x1b[2Jnot\u202e valid"
    story.tell(
        at(199),
        AlertOutcome(kind=AlertKind.BUY, id=opened.id, outcome=Outcome.REFUSED, attempts=1, detail=detail),
    )
    story.journal.close()
    status, out, _ = run(capsys, "--data-dir", story.path)
    assert status == 0 and "\\x1b[2Jnot\\u202e valid" in out
    assert "\x1b" not in out and "\u202e" not in out


@pytest.mark.parametrize("arguments", [["--at", "25:00"], ["2025-02-30"], ["today"], ["--at"], ["--wat"]])
def test_bad_arguments(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments, EVENING)
    assert ended.value.code == 2
    assert "usage: python diagnose.py why" in capsys.readouterr().err


def test_a_record_in_the_place_of_the_date_is_told_where_it_belongs(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit):
        main(["data/sessions/2025-10-02.jsonl.gz"], EVENING)
    assert "(a record is named by --data-dir)" in capsys.readouterr().err


def test_a_restart_with_other_rules_is_named_in_the_heading(tmp_path: Path) -> None:
    story = Made(tmp_path / "record.jsonl")
    story.start(at(-10))
    story.tell(at(-9), FeedRestored())
    story.start(at(5), EASY)
    story.tell(at(6), FeedRestored())
    story.journal.close()
    study = read(story.path)
    first, second = (rules.digest() for rules in study.rules_by_start)
    assert first != second and f"; rules {first}, then {second}" in " ".join(report(study)[1:3])


def test_a_day_without_a_session_is_an_answer(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = ("--data-dir", folder)
    assert run(capsys, "2025-10-04", *place)[:2] == (
        0,
        "No alert on Sat 4 Oct 2025: the exchange was closed, it was a weekend.\n",
    )
    assert run(capsys, "2025-11-27", *place)[:2] == (
        0,
        "No alert on Thu 27 Nov 2025: the exchange was closed, it was a holiday.\n",
    )
    status, out, _ = run(capsys, "2025-10-06", *place)
    assert status == 0 and out.startswith(
        "No alert on Mon 6 Oct 2025 yet: its session opens Mon 06 Oct 09:30"
    )
    status, out, _ = run(capsys, "2025-10-04", *place, "--json")
    assert json.loads(out)["answer"].endswith("it was a weekend.")


def test_no_record(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, err = run(capsys, "2025-10-01", "--data-dir", folder)
    assert (status, out) == (1, "")
    said = " ".join(err.split())
    assert "no record of Wed 1 Oct 2025 in" in said and "the program was not running in that session" in said
    assert "Records: 2025-10-02." in said
    (tmp_path / "sessions").mkdir()
    for number in range(10, 20):
        (tmp_path / "sessions" / f"2025-09-{number}.jsonl").touch()
    _, _, err = run(capsys, "2025-10-01", "--data-dir", tmp_path)
    assert "2025-09-18, 2025-09-19, and 2 older." in " ".join(err.split())
    status, _, err = run(capsys, "--data-dir", tmp_path / "none")
    assert status == 1 and "No such file" in err
    (tmp_path / "empty").mkdir()
    status, _, err = run(capsys, "--data-dir", tmp_path / "empty")
    assert status == 1 and "has not run in a session yet" in " ".join(err.split())


def test_which_record_without_a_date(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = run(capsys, "--data-dir", folder)
    assert out.startswith("1 entry on 2 Oct")
    _, out, _ = run(capsys, "--data-dir", folder / "sessions")
    assert out.startswith("1 entry on 2 Oct")
    _, out, _ = run(capsys, "--data-dir", folder / "sessions" / "2025-10-02.jsonl")
    assert out.startswith("1 entry on 2 Oct")
    _, out, _ = run(capsys, "--data-dir", folder, now=at(24 * 3_600 + 60))
    first = " ".join(out.split("\n1 entry")[0].split())
    assert first == "Today (2025-10-03) has no record: this is the newest. Is the program running?"
    _, out, _ = run(capsys, "--data-dir", folder, now=at(24 * 3_600 - 60))
    assert "Today's session has not opened yet." in " ".join(out.split())
    _, out, _ = run(capsys, "--data-dir", folder, now=at(48 * 3_600))
    assert "The exchange is closed today." in " ".join(out.split())


def test_the_session_in_progress(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = (folder / "sessions" / "2025-10-02.jsonl").read_bytes()
    lines = data.splitlines(keepends=True)
    opened = next(index for index, line in enumerate(lines) if b'"type":"opened"' in line)
    path = tmp_path / "sessions" / "2025-10-02.jsonl"
    path.parent.mkdir()
    path.write_bytes(b"".join(lines[:opened]) + lines[opened][:40])  # the line of the BUY is half written
    _, out, _ = run(capsys, "--data-dir", tmp_path)
    assert "The record's last line is torn (40 bytes)" in out
    until = read(path).until
    status, out, _ = run(capsys, "--data-dir", tmp_path, now=until + 2 * SECOND)
    assert status == 0
    assert out.startswith("No entry on 2 Oct so far (until 10:07:0")
    assert ", in progress: until 10:07:0" in out and "torn" not in out
    status, out, _ = run(capsys, "--data-dir", tmp_path, now=until + 400 * SECOND)
    assert ", in progress, but nothing was recorded since 10:07:0" in " ".join(out.split())
    assert re.search(
        r"Nothing has been recorded since 10:07:0\d ET: is the program running\?", " ".join(out.split())
    )
    assert "not running: killed or crashed, or its record was off" in " ".join(out.split())


def test_a_damaged_record(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = bytearray((folder / "sessions" / "2025-10-02.jsonl").read_bytes())
    data[len(data) // 2] ^= 1
    path = tmp_path / "2025-10-02.jsonl"
    path.write_bytes(data)
    status, out, err = run(capsys, "--data-dir", path)
    assert (status, out) == (1, "") and "the line's checksum is wrong" in " ".join(err.split())
    path.write_bytes(b"")
    status, _, err = run(capsys, "--data-dir", path)
    assert status == 1 and "no header" in " ".join(err.split())


def test_a_record_of_another_day_than_its_name(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "sessions" / "2025-10-01.jsonl"
    path.parent.mkdir()
    path.write_bytes((folder / "sessions" / "2025-10-02.jsonl").read_bytes())
    for asked in (["2025-10-01"], []):
        status, _, err = run(capsys, *asked, "--data-dir", tmp_path)
        assert status == 1 and "holds the session of 2025-10-02, not of 2025-10-01" in " ".join(err.split())
    assert run(capsys, "--data-dir", path)[0] == 0  # a file that is named may have any name
    assert run(capsys, "2025-10-02", "--data-dir", path)[0] == 0  # but not another date than is asked for
    status, out, err = run(capsys, "2025-10-03", "--data-dir", path)
    assert (status, out) == (1, "") and "not of 2025-10-03" in " ".join(err.split())
    (path.parent / "zebra.jsonl").touch()
    assert "not of 2025-10-01" in " ".join(run(capsys, "--data-dir", tmp_path)[2].split())


def test_data_dir_comes_from_the_settings_without_keys(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = "canary0key0canary0key0canary00"
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DATA_DIR", raising=False)
    (tmp_path / ".env").write_text(f"DATA_DIR={folder}\nPUSHOVER_TOKEN={secret}\n")
    status, out, err = run(capsys, "2025-10-02")
    assert status == 0 and out.startswith("1 entry on 2 Oct") and secret not in out + err
    monkeypatch.setenv("DATA_DIR", str(tmp_path))
    assert run(capsys, "2025-10-02")[0] == 1
    (tmp_path / ".env").write_text("STOP_LOSS_PERCENT=x\n")
    status, _, err = run(capsys, "2025-10-02")
    assert status == 2 and "STOP_LOSS_PERCENT" in err


def test_the_page_is_written(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("plotly")
    page = tmp_path / "why.html"
    status, out, _ = run(capsys, "--data-dir", folder, "--html", page)
    assert status == 0 and "Written: " in out
    assert page.read_text(encoding="utf-8").lower().startswith("<!doctype html>")
    status, _, err = run(capsys, "--data-dir", folder, "--html", tmp_path / "none" / "why.html")
    assert status == 1 and "there is no folder" in " ".join(err.split())


def test_the_answer_is_the_same_whatever_the_machine_is(folder: Path) -> None:
    """Through diagnose.py, in other time zones and languages, with output that is piped."""
    answers = []
    for world in ({"TZ": "Asia/Tokyo", "LC_ALL": "C"}, {"TZ": "America/New_York", "PYTHONHASHSEED": "3"}):
        done = subprocess.run(
            [
                sys.executable,
                "diagnose.py",
                "why",
                "2025-10-02",
                "--data-dir",
                str(folder),
                "--at",
                "10:07:01",
            ],
            cwd=ROOT,
            capture_output=True,
            timeout=60,
            check=False,
            env={**os.environ, **world},
        )
        assert (done.returncode, done.stderr) == (0, b"")
        answers.append(done.stdout.decode())
    assert answers[0] == answers[1]
    assert answers[0].startswith("1 entry on 2 Oct: O:IWM251002C")
