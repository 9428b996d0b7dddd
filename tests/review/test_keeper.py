"""What is kept of a record that is read once more."""

from __future__ import annotations

from pathlib import Path

import pytest

from events import (
    AlertKind,
    AlertOutcome,
    Closed,
    FeedCause,
    FeedLost,
    FeedRestored,
    Hold,
    HoldReason,
    Opened,
    Outcome,
    Shutdown,
    Tick,
)
from record.lines import Entry
from record.reader import Damage, Reader
from review.funnel import funnel
from review.keeper import read
from review.places import Unusable
from review.study import DownCause
from rules import Rules
from tests.builders import SESSION, at, bar
from tests.made_day import BEGIN_S, END_S, Made
from tests.review.studies import EASY, bought


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """A session with a BUY and its SELL, and a restart between the two."""
    story = Made(tmp_path_factory.mktemp("record") / "2025-10-02.jsonl")
    story.start(at(BEGIN_S))
    story.go(BEGIN_S - 1_300, BEGIN_S, 2_330)
    story.journal.close()
    story.start(at(2_360), Rules(stop_loss_percent=14.0))
    story.tell(at(2_360), FeedLost(cause=FeedCause.NOT_CONNECTED))
    story.go(2_300, 2_361, END_S)
    story.journal.close()
    return story


def test_a_session_with_a_trade_and_a_restart(made: Made) -> None:
    study = read(made.path)
    assert study.starts == [at(BEGIN_S), at(2_360)]
    assert [rules.stop_loss_percent for rules in study.rules_by_start] == [15.0, 14.0]
    assert study.rules_at(at(2_200)).stop_loss_percent == 15.0
    assert study.rules_at(at(2_400)).stop_loss_percent == 14.0
    late, gap = study.down
    assert (late.start, late.end, late.cause) == (SESSION.open, at(BEGIN_S), DownCause.NOT_STARTED)
    assert (gap.end, gap.cause) == (at(2_360), DownCause.KILLED)
    assert at(2_328) < gap.start < at(2_331)
    assert study.down_us == late.end - late.start + gap.end - gap.start
    buy = next(decision for decision in made.decisions if isinstance(decision, Opened))
    sell = next(decision for decision in made.decisions if isinstance(decision, Closed))
    points = study.marks[buy.id]
    assert points[0].mark == buy.mid
    assert points[0].hard_level < points[0].vwap_level < points[0].peak == buy.mid
    assert points[-1].peak == sell.peak == max(point.peak for point in points)
    assert points[-1].mark == sell.mark
    assert points[-1].vwap_level == sell.peak * 80 // 100
    assert [point.now for point in points] == sorted(point.now for point in points)
    (trade,) = study.trades.told
    assert (trade.opened, trade.closed) == (buy, sell)
    assert trade.bought is not None and trade.sold is not None
    assert study.streamed[buy.id] > 10
    assert study.until == next(reversed([line.now for line in Reader(made.path) if isinstance(line, Entry)]))
    assert study.closes[2_200] is not None and study.closes[0] is None
    fired = [line for line in study.seen if line.is_fired]
    assert [line.now for line in fired] == [trade.opened_at]


def test_the_quotes_of_other_contracts_are_not_kept(made: Made) -> None:
    study = read(made.path)
    (trade,) = study.trades.told
    quotes = study.trades.quotes
    closed_at = trade.closed_at
    assert closed_at is not None
    assert quotes.standing(trade.opened.contract, closed_at) is not None
    others = {
        line.event.contract
        for line in Reader(made.path)
        if isinstance(line, Entry) and hasattr(line.event, "contract")
    } - {trade.opened.contract}
    assert len(others) > 5
    assert not [name for name in others if quotes.standing(name, trade.opened_at)]


def test_rules_set_anew_are_used_from_the_first_second(made: Made) -> None:
    study = read(made.path, {"STOP_LOSS_PERCENT": "1", "RELATIVE_VOLUME_MIN": "0"})
    assert {rules.stop_loss_percent for rules in study.rules_by_start} == {1.0}
    assert study.differing > 0
    rows = {line.name: line for line in funnel(study)}
    assert rows["relative_volume"].is_left_out and not rows["volume_surge"].is_left_out
    assert rows["relative_volume"].lost == 0


def test_blind_spells_with_their_causes(tmp_path: Path) -> None:
    story = Made(tmp_path / "record.jsonl")
    story.start(at(-300))
    story.tell(at(-290), FeedRestored())
    story.tell(at(3), bar(0))
    for second in range(4, 20):  # silence from the 8th second on
        story.tell(at(second), Tick())
    story.tell(at(20), FeedLost(cause=FeedCause.STALL))
    story.tell(at(21), FeedLost(cause=FeedCause.DROPPED))
    story.tell(at(30), FeedRestored())
    story.tell(at(33), bar(30))
    story.tell(at(34), FeedLost(cause=FeedCause.DROPPED))
    story.tell(at(35), Tick())
    story.journal.close()
    first, second_spell = read(story.path).blind
    assert (first.start, first.end) == (at(8), at(33))
    assert first.causes[0] is FeedCause.SILENCE
    assert FeedCause.STALL in first.causes and FeedCause.DROPPED in first.causes
    assert first.cause.startswith("unexplained silence, then confirmed stall")
    assert second_spell == (at(34), at(35), (FeedCause.DROPPED,))


def test_holds_a_stop_and_what_comes_after_the_record(tmp_path: Path) -> None:
    story = Made(tmp_path / "record.jsonl")
    story.start(at(-10))
    story.tell(at(5), Hold(reason=HoldReason.CLOCK_DOUBT, on=True))
    story.tell(at(9), Hold(reason=HoldReason.CLOCK_DOUBT, on=False))
    story.tell(at(10), Hold(reason=HoldReason.PUSH_CAP, on=True))
    story.tell(at(12), Shutdown(close_position=True))
    story.journal.close()
    study = read(story.path, now=at(100))
    assert study.held == [
        (at(5), at(9), HoldReason.CLOCK_DOUBT),
        (at(10), at(12), HoldReason.PUSH_CAP),
    ]
    assert study.down == [(at(12), at(100), DownCause.STOPPED)]
    assert (study.end, study.seconds, study.is_over) == (at(100), 100, False)
    alive = read(story.path, now=at(40))
    assert (alive.down, alive.end, alive.seconds) == ([], at(12), 12)
    later = read(story.path, now=SESSION.close + 5)
    assert later.is_over and later.down[-1].end == SESSION.close and later.seconds == 23_400
    story.start(at(15))
    story.tell(at(16), Tick())
    story.journal.close()
    again = read(story.path, now=at(100))
    assert [span.cause for span in again.down] == [DownCause.STOPPED, DownCause.SILENT]


def test_a_position_without_a_price_has_points_without_a_mark(tmp_path: Path) -> None:
    story = Made(tmp_path / "record.jsonl")
    story.start(at(-10), EASY)
    opened = bought(story)
    for second in range(200, 225):
        story.tell(at(second), Tick())
    story.journal.close()
    points = read(story.path).marks[opened.id]
    assert points[0].mark is not None
    assert points[-1].mark is None


def test_a_withdrawn_buy_is_kept_with_its_reason(tmp_path: Path) -> None:
    story = Made(tmp_path / "record.jsonl")
    story.start(at(-10), EASY)
    opened = bought(story)
    refused = AlertOutcome(
        kind=AlertKind.BUY, id=opened.id, outcome=Outcome.UNSENT, attempts=3, detail="30 s old"
    )
    story.tell(at(199), refused)
    story.journal.close()
    study = read(story.path)
    assert study.withdrawn == {opened.id: "30 s old"}
    assert study.trades.told == []


def test_what_is_no_record_is_said(made: Made, tmp_path: Path) -> None:
    with pytest.raises(Unusable, match="No such file"):
        read(tmp_path / "none.jsonl")
    empty = tmp_path / "empty.jsonl"
    empty.touch()
    with pytest.raises(Damage, match="no header"):
        read(empty)
    spoilt = tmp_path / "spoilt.jsonl"
    data = bytearray(made.path.read_bytes())
    data[len(data) // 2] ^= 1
    spoilt.write_bytes(data)
    with pytest.raises(Damage, match="line"):
        read(spoilt)
    torn = tmp_path / "torn.jsonl"
    torn.write_bytes(made.path.read_bytes()[:-7])
    assert read(torn).torn > 0
