"""The answer in a sentence, for every kind of day."""

from __future__ import annotations

import re
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
    Shutdown,
    Tick,
    Withdrawn,
)
from followed import acted_text
from review.answer import RUNAWAY, answer, ended_text
from review.keeper import read
from review.study import Study
from tests.builders import EARLY_SESSION, SESSION, at, bar, row
from tests.made_day import Made
from tests.review.days import EVENING, RISING, SURGE, day, folder, whole
from tests.review.studies import EASY, bought, seen

__all__ = ["day", "folder"]  # fixtures that the tests here use, too


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
        "No entry on 2 Oct: no second met all conditions, or all but one; volume_surge failed most, "
        "in 100% of the seconds."
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
        "after the open was recorded."
    )


def test_an_entry_with_its_result(day: Study) -> None:
    (trade,) = day.trades.told
    assert trade.closed is not None
    said = answer(day)
    acted = acted_text(day.trades.followed(), day.trades.followed(0))
    assert said.startswith(f"1 BUY on 2 Oct. A{acted[1:]}. ")
    assert f" It was {trade.opened.contract} at 10:07:03, sold 10:" in said
    day.is_simulated = True
    assert f". {RUNAWAY} It was " in answer(day)
    day.is_simulated = False
    assert f" ({trade.closed.reason}). It was not running for " in said


def test_an_entry_that_is_still_open(folder: Path, tmp_path: Path) -> None:
    lines = (folder / "sessions" / "2025-10-02.jsonl").read_bytes().splitlines(keepends=True)
    sold = next(index for index, line in enumerate(lines) if b'"type":"closed"' in line)
    path = tmp_path / "record.jsonl"
    path.write_bytes(b"".join(lines[:sold]))
    study = read(path)
    assert answer(study).startswith("1 BUY on 2 Oct so far. Acting 15 s after each push: no trade, because ")
    assert re.search(r"O:IWM\w+ at 10:07:03\.", answer(study))


def test_several_entries(day: Study, tmp_path: Path) -> None:
    (first,) = day.trades.told
    assert first.closed is not None and first.closed_at is not None and first.closed.bid is not None
    study = whole(tmp_path / "r")
    for number, bid in enumerate((first.opened.ask + 1_000, first.opened.ask - 400)):
        name = f"00000{number}"
        start = first.opened_at + number * 600 * SECOND
        study.trades.record(start, Tick(), [replace(first.opened, id=name)])
        study.trades.record(start + SECOND, Tick(), [replace(first.closed, id=name, bid=bid)])
    study.trades.record(start + 60 * SECOND, Tick(), [])
    assert answer(study) == (
        "2 BUYs on 2 Oct. Acting 15 s after each push: no trade, because no quote was recorded at that moment "
        "(at the pushes' own prices, 0 s: +$3 after fees)."
    )
    study.trades.record(start + 900 * SECOND, Tick(), [replace(first.opened, id="000002")])
    assert answer(study).endswith("; 1 still open.")


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
    assert "was withdrawn before it reached the phone (30 s old)." in said
    (trade,) = study.trades.all
    assert study.held_at(trade.opened_at) is None and study.held_at(trade.opened_at + 1) is trade
    assert study.held_at(at(199)) is trade and study.held_at(at(199) + 1) is None


def test_the_program_was_not_running(tmp_path: Path) -> None:
    story = Made(tmp_path / "record.jsonl")
    story.start(SESSION.close + SECOND)
    story.tell(SESSION.close + SECOND, Tick())
    story.journal.close()
    assert answer(read(story.path, now=EVENING)) == (
        "No entry on 2 Oct: the program was not running during the session."
    )
    story = Made(tmp_path / "second.jsonl")
    story.start(at(-10))
    story.tell(at(-9), FeedRestored())
    story.tell(at(3), bar(0))
    story.tell(at(4), Shutdown(close_position=True))
    story.journal.close()
    assert answer(read(story.path, now=EVENING)) == (
        "No entry on 2 Oct: the program was not running for 6h29m of 6h30m; nothing but the first 10m00s "
        "after the open was recorded."
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
    assert (
        answer(read(story.path)) == "The session of 2 Oct opens at 09:30 ET: there is nothing to report yet."
    )
    story.start(at(-280))
    story.tell(at(4), bar(1))
    story.journal.close()
    assert answer(read(story.path)) == (
        "No entry on 2 Oct so far (until 09:30:04 ET): the warm-up lasts until 09:40, and no BUY comes before."
    )


def test_every_second_was_blind_or_in_the_warm_up(tmp_path: Path) -> None:
    rows = [seen(700 + second, SURGE, gate=DeclineReason.BLIND) for second in range(3)]
    study = whole(tmp_path / "r", *(row._replace(is_blind=True) for row in rows[:2]), rows[2])
    assert answer(study) == "No entry on 2 Oct: every recorded second was blind or in the warm-up."


def test_several_withdrawn_buys_are_counted_beside_one_that_was_told_and_without_one(
    day: Study, tmp_path: Path
) -> None:
    (first,) = day.trades.told
    study = whole(tmp_path / "r")
    for number, name in enumerate(("00000a", "00000b")):
        now = first.opened_at + number * 600 * SECOND
        study.trades.record(now, Tick(), [replace(first.opened, id=name)])
        gone = Withdrawn(id=name, contract=first.opened.contract, detail="late")
        study.trades.record(now + SECOND, Tick(), [gone])
        study.withdrawn[name] = gone.detail
    assert answer(study) == (
        "No entry on 2 Oct: 2 BUYs were withdrawn before they reached the phone, the first at 10:07:03 (late)."
    )
    study.trades.record(now + 60 * SECOND, Tick(), [first.opened])
    said = answer(study)
    assert said.startswith("1 BUY on 2 Oct. ")
    assert said.endswith(" 2 more were withdrawn; nobody was told.")
    del study.withdrawn["00000b"]
    assert answer(study).endswith(" 1 more was withdrawn; nobody was told.")


def test_where_a_record_ends_that_does_not_reach_the_close(tmp_path: Path) -> None:
    study = whole(tmp_path / "r")
    assert ended_text(study) == ""
    study.until = at(1_000)
    assert ended_text(study) == "Nothing was recorded after 09:46:40."
    study.is_stopped = True
    assert ended_text(study) == "The program stopped at 09:46:40."
