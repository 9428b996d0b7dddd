"""One second of a day in full."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from events import SECOND, Condition, DeclineReason, FeedRestored, Shutdown, Tick
from review import moment
from review.keeper import read
from review.study import Study
from tests.builders import at, bar
from tests.made_day import BEGIN_S, END_S, Made
from tests.review.days import SURGE, day, folder, whole
from tests.review.studies import seen
from utils import clock_text

__all__ = ["day", "folder"]  # fixtures that the tests here use, too


def lines_at(study: Study, second: float) -> list[str]:
    """What is shown of a second after the open."""
    shown = moment.show(study, at(second))
    return [shown.told, *shown.lines]


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
    assert shown.told.endswith(": all seven conditions met; the BUY was decided at 10:07:03.")
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


@pytest.mark.parametrize(
    ("failed", "gate", "told"),
    [
        ((SURGE,), None, "no BUY: volume_surge not met (3,912 (Z 2.0); needs over 4,000)."),
        (
            (SURGE, Condition.MOMENTUM, Condition.SPY_LAG),
            DeclineReason.BLIND,
            "no BUY: three of seven conditions not met (volume_surge, momentum, spy_lag).",
        ),
        ((), DeclineReason.COOLDOWN, "all seven conditions met; no BUY, in the cooldown."),
        ((), DeclineReason.PAST_CUTOFF, "all seven conditions met; no BUY, after 15:30."),
    ],
)
def test_the_first_line_answers_that_second(
    failed: tuple[Condition, ...], gate: DeclineReason | None, told: str, tmp_path: Path
) -> None:
    row = seen(700, *failed, gate=gate, volume=3_912.0)
    assert moment.show(whole(tmp_path / "r", row), at(700)).told == f"09:41:40: {told}"


def test_a_position_that_was_open_is_named_with_its_beginning(day: Study) -> None:
    (trade,) = day.trades.told
    later = [
        row for row in day.seen if row.evaluation.gate is DeclineReason.POSITION_OPEN and row.evaluation.holds
    ]
    row = next(row for row in later if row.evaluation.start >= trade.opened_at)
    assert moment.show(day, row.evaluation.start).told == (
        f"{clock_text(row.evaluation.start)}: all seven conditions met; no BUY because a position was open "
        f"(#{trade.opened.id}, since 10:07:03)."
    )
    assert later[0].evaluation.start < trade.opened_at
    told = moment.show(day, later[0].evaluation.start).told
    assert told.endswith(f", and this second was seen at {clock_text(later[0].now)}).")


def test_a_condition_that_is_left_out(tmp_path: Path) -> None:
    row = seen(700)
    passes = (*row.evaluation.passes[:-1], None)
    study = whole(tmp_path / "r", row._replace(evaluation=replace(row.evaluation, passes=passes)))
    assert any("– spy_lag" in line and "switched off in the rules" in line for line in lines_at(study, 700))


def test_a_second_without_an_evaluation_says_why(day: Study, tmp_path: Path) -> None:
    first = day.seen[0].evaluation.start
    assert lines_at(day, -60)[0] == "09:29:00: no BUY: not evaluated, it is before the open (09:30)."
    assert lines_at(day, 23_400)[0].endswith("it is after the close (16:00).")
    assert lines_at(day, 100)[:2] == [
        "09:31:40: no BUY: not evaluated, the program was not running (not started yet), 09:30:00–10:05:30.",
        "There was no evaluation before it.",
    ]
    assert "killed or crashed, or its record was off" in " ".join(lines_at(day, END_S + 100))
    quiet = next(
        index
        for index, close in enumerate(day.closes)
        if close is None and at(index) > first and index < END_S - 60
    )
    shown = lines_at(day, quiet)
    assert shown[0].endswith("no bar of IWM exists for it: nothing was traded in that second.")
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
    assert "the feed was blind (unexplained silence), 09:30:08–09:30:20; its bar of IWM is unknown" in (
        " ".join(lines_at(study, 10))
    )
    assert "its bar of IWM was filled in afterwards" in " ".join(lines_at(study, 12))
    assert "the record only reaches 09:30:20 so far" in lines_at(study, 30)[0]


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
    assert "may still arrive: a bar takes about 2 s" in lines_at(now, 57)[0]
    killed = read(story.path, now=at(900))
    text = " ".join(lines_at(killed, 57))
    assert (
        "had not arrived when the program ended (killed or crashed, or its record was off) at 09:30:59"
        in text
    )
    story.start(at(300))
    story.tell(at(301), bar(30, backfilled=True))
    story.tell(at(302), Shutdown(close_position=True))
    story.journal.close()
    stopped = read(story.path, now=at(900))
    assert "nothing was traded" not in " ".join(lines_at(stopped, 57))


def test_what_follows_a_second_ends_with_the_record(day: Study, tmp_path: Path) -> None:
    nothing = "The record has nothing for the 10 minutes after it."
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
