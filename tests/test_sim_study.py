"""What a record left behind, and the funnel over it: against a recount by hand from the rows of a trace."""

from __future__ import annotations

import csv
import random
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine import Engine
from events import (
    SECOND,
    AlertKind,
    AlertOutcome,
    Bar,
    ChainRow,
    Closed,
    Condition,
    Covered,
    Declined,
    DeclineReason,
    Evaluation,
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
from review.funnel import RowKind, failing, followed, funnel, misses
from review.keeper import read
from review.places import Unusable
from review.replay import replay_record
from review.study import DownCause, Seen, Study
from rules import Rules
from signals import BUY_FOLLOWS_S, EPISODE_GAP_S
from tests.builders import SESSION, at, bar, chain, quote, row
from tests.made_day import BEGIN_S, END_S, Made
from utils import utc_iso

EASY = Rules(
    warmup_seconds=60,
    vwap_long_seconds=40,
    vwap_long_shift_seconds=5,
    vwap_short_seconds=20,
    vwap_rising_seconds=3,
    volume_window_seconds=60,
    volume_min_bars=10,
    volume_percentile=60,
    momentum_seconds=20,
    momentum_min_bars=4,
    relative_volume_seconds=20,
    relative_volume_min=0.9,
    roc_seconds=30,
    spy_iwm_lag_threshold=0.05,
    stop_loss_percent=5,
    entry_cooldown_seconds=40,
    withdrawn_rest_seconds=5,
)
"""Rules under which a few minutes hold a day's worth of signals, misses and entries."""


class Wild:
    """A short session with everything in it: gaps, late and missing bars, blind spells, holds, restarts, entries."""

    def __init__(self, path: Path, seed: int) -> None:
        self.dice = random.Random(seed)
        self.story = Made(path)
        self.rules = EASY if self.dice.random() < 0.8 else EASY.model_copy(update={"benchmark": ""})
        self.second = 10
        self.late = 0

    @property
    def engine(self) -> Engine:
        """The program that runs."""
        assert self.story.engine is not None
        return self.story.engine

    def play(self, seconds: int = 330) -> None:
        """Make the record."""
        self.story.start(at(self.dice.choice((-20, 0, 7))), self.rules)
        self.story.tell(at(10), FeedRestored())
        price, spy = 215.0, 660.0
        while self.second < seconds:
            self.second += 1
            self.trouble()
            self.remedy()
            self.story.tell(at(self.second), Tick())
            price = round(price + self.dice.uniform(-0.02, 0.026), 2)
            spy = round(spy + self.dice.uniform(-0.05, 0.055), 2)
            self.trade(price, spy)
        self.story.journal.close()

    def trouble(self) -> None:
        """Now and then something goes wrong."""
        chance, dice, story = self.dice.random(), self.dice, self.story
        if chance < 0.006:  # killed or stopped, and started again
            if dice.random() < 0.5:
                story.tell(at(self.second), Shutdown(close_position=dice.random() < 0.5))
            story.journal.close()
            self.second += dice.randrange(1, 15)
            story.start(at(self.second), self.rules)
            story.tell(at(self.second), FeedLost(cause=FeedCause.NOT_CONNECTED))
        elif chance < 0.012:
            story.tell(at(self.second), FeedLost(cause=dice.choice(tuple(FeedCause))))
        elif chance < 0.02:
            self.second += dice.randrange(4, 12)  # silence
        elif chance < 0.03:
            story.tell(at(self.second), Hold(reason=dice.choice(tuple(HoldReason)), on=dice.random() < 0.7))
        elif chance < 0.06:
            self.late = 7 - self.late

    def remedy(self) -> None:
        """And is mended."""
        dice, story, now = self.dice, self.story, at(self.second)
        if self.engine.feed.is_blind and dice.random() < 0.3:
            story.tell(now, FeedRestored())
            for symbol in self.rules.symbols:
                for missed in range(max(0, self.second - 20), self.second - 1):
                    if dice.random() < 0.8:
                        story.tell(now, bar(missed, 215.0, symbol=symbol, backfilled=True))
                story.tell(now, Covered(symbol=symbol, start=SESSION.open, end=now))
        if self.engine.holds and dice.random() < 0.1:
            story.tell(now, Hold(reason=min(self.engine.holds), on=False))

    def trade(self, price: float, spy: float) -> None:
        """The bars and the chain of a second."""
        dice, story, now, second = self.dice, self.story, at(self.second), self.second - 3 - self.late
        if self.second % 3 == 0:
            bid = round(1.40 + dice.uniform(-0.15, 0.1), 2)
            story.tell(now, chain(self.second, row(bid=bid, ask=bid + dice.choice((0.02, 0.02, 0.2)))))
        if dice.random() < 0.9:
            story.tell(now, bar(second, spy, symbol="SPY"))
        if dice.random() < 0.8:
            story.tell(now, bar(second, price, dice.choice((100.0, 400.0, 900.0, 2_000.0))))


def traced(path: Path, folder: Path) -> list[dict[str, str]]:
    """The rows of a trace."""
    table = folder / "rows.csv"
    replay_record(path, {}, table, verbose=False)
    with table.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def recount(path: Path, rows: list[dict[str, str]], study: Study) -> list[tuple[str, int]]:
    """The funnel from a trace's rows, step by step as its definition says."""
    entries = [line for line in Reader(path) if isinstance(line, Entry)]
    bars = {
        entry.event.start
        for entry in entries
        if isinstance(entry.event, Bar)
        and entry.event.symbol == "IWM"
        and SESSION.open <= entry.event.start < SESSION.close
    }
    counts = [("session", (study.end - SESSION.open) // SECOND), ("with a bar", len(bars))]
    counts.append(("evaluated", len(rows)))
    left = [table for table in rows if table["gate"] != "blind"]
    counts.append(("not blind", len(left)))
    left = [table for table in left if table["gate"] != "warm-up"]
    counts.append(("warm", len(left)))
    for condition in Condition:
        left = [table for table in left if table[f"met_{condition}"] != "0"]
        counts.append((condition.value, len(left)))
    # A trace does not say what a contract was declined for: the record's decisions do.
    contracts = Counter(
        decision.reason.value
        for entry in entries
        for decision in entry.decisions
        if isinstance(decision, Declined)
    )
    number = len(left)
    for gate in DeclineReason:
        if gate in (DeclineReason.BLIND, DeclineReason.WARM_UP):
            continue
        stopped = sum(1 for table in left if table["gate"] == gate.value)
        number -= stopped or (contracts[gate.value] if gate.value.startswith(CONTRACT_WORDS) else 0)
        counts.append((gate.value, number))
    counts.append(("fired", sum(1 for table in rows if table["decision"] == "Opened")))
    return counts


def episodes(rows: list[dict[str, str]]) -> tuple[list[tuple[str, str]], int]:
    """Where each near miss begins and what alone failed in it, from a trace's rows; and how many a BUY followed."""
    found: list[tuple[datetime, str, datetime]] = []
    goes_on = False
    for table in rows:
        moment = datetime.fromisoformat(table["time"])
        failed = [condition.value for condition in Condition if table[f"met_{condition}"] == "0"]
        if len(failed) != 1 or table["gate"]:
            goes_on = False
            continue
        if (
            goes_on
            and found[-1][1] == failed[0]
            and (moment - found[-1][2]).total_seconds() <= EPISODE_GAP_S + 1
        ):
            found[-1] = (found[-1][0], failed[0], moment)
        else:
            found.append((moment, failed[0], moment))
        goes_on = True
    bought = [datetime.fromisoformat(table["time"]) for table in rows if table["decision"] == "Opened"]
    missed = [
        (first.isoformat().replace("+00:00", "Z"), name)
        for first, name, last in found
        if not any(0 < (buy - last).total_seconds() <= BUY_FOLLOWS_S for buy in bought)
    ]
    return missed, len(found) - len(missed)


CONTRACT_WORDS = ("chain", "no contract", "quote", "stop")


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 10**9))
def test_the_funnel_is_what_a_recount_of_the_trace_gives(seed: int) -> None:
    with TemporaryDirectory() as name:
        path = Path(name) / "record.jsonl"
        Wild(path, seed).play()
        study = read(path)
        rows = traced(path, Path(name))
        assert [(line.name, line.left) for line in funnel(study)] == recount(path, rows, study)
        warm = [table for table in rows if table["gate"] not in ("blind", "warm-up")]
        for item in failing(study):
            failed = [table for table in warm if table[f"met_{item.condition}"] == "0"]
            alone = [
                table for table in failed if sum(table[f"met_{other}"] == "0" for other in Condition) == 1
            ]
            is_open = [table for table in alone if not table["gate"]]
            assert (item.failed, item.alone, item.alone_open) == (len(failed), len(alone), len(is_open))
            assert item.of == len(warm)
        found = sorted((utc_iso(miss.start), miss.condition.value) for miss in misses(study))
        missed, left_out = episodes(rows)
        assert found == sorted(missed)
        assert followed(study) == left_out


def test_the_made_sessions_have_what_the_property_needs(tmp_path: Path) -> None:
    """Else the property above would hold for nothing."""
    gates: Counter[DeclineReason | None] = Counter()
    unseen = fired = down = blind = held = alone = restarts = 0
    for seed in range(8):
        path = tmp_path / f"{seed}.jsonl"
        Wild(path, seed).play()
        study = read(path)
        gates += Counter(line.evaluation.gate for line in study.seen if line.evaluation.holds)
        gates += Counter(line.declined for line in study.seen if line.declined)
        unseen += sum(line.evaluation.gate is DeclineReason.BLIND for line in study.seen)
        fired += sum(line.is_fired for line in study.seen)
        down, blind, held = down + len(study.down), blind + len(study.blind), held + len(study.held)
        restarts += len(study.starts) - 1
        alone += sum(item.alone for item in failing(study))
        assert study.differing == 0
    assert fired > 5
    assert min(down, blind, held, restarts) > 5
    assert alone > 20
    wanted = {DeclineReason.HELD, DeclineReason.POSITION_OPEN, DeclineReason.COOLDOWN, DeclineReason.LATE_BAR}
    assert {*wanted, DeclineReason.WARM_UP, DeclineReason.NO_CONTRACT} <= set(gates)
    assert unseen > 5  # a blind spell counts as a fall of the VWAP: there is no signal in it


# --- What is kept ------------------------------------------------------------------------------------


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


def bought(story: Made, rows: Sequence[ChainRow] = (row(),), *, streams: bool = True) -> Opened:
    """Bars and chains that bring a BUY under the easy rules; the clock is at 193 s at most then."""
    story.tell(at(0), FeedRestored())
    price = 215.0
    for second in range(0, 190):
        now = at(second + 3)
        price = round(price + (0.01 if second > 60 else 0.0), 2)
        story.tell(now, bar(second, 660.0, symbol="SPY"))
        if second > 60:
            story.tell(now, chain(second + 3, *rows))
        if second > 60 and streams:
            story.tell(now, quote(second + 3, 1.39, 1.41))
        story.tell(now, bar(second, price, 500.0 + second * 10))
        opened = [decision for decision in story.decisions if isinstance(decision, Opened)]
        if opened:
            return opened[0]
    raise AssertionError("no BUY came")


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


# --- Near misses -------------------------------------------------------------------------------------

GOOD = {
    "price": 215.0,
    "vwap_1m": 214.9,
    "vwap_5m": 214.8,
    "vwap_5m_change": 0.01,
    "vwap_distance": 0.05,
    "vwap_rising_s": 40,
    "volume": 5_000.0,
    "volume_p95": 4_000.0,
    "volume_z": 2.0,
    "momentum": 0.01,
    "relative_volume": 2.0,
    "roc5": 0.1,
    "benchmark_roc5": 0.1,
}


def seen(second: int, *fails: Condition, gate: DeclineReason | None = None, **values: float | None) -> Seen:
    """An evaluation at which these conditions fail."""
    evaluation = Evaluation(
        start=at(second),
        symbol="IWM",
        passes=tuple(condition not in fails for condition in Condition),
        gate=gate,
        **{**GOOD, **values},  # type: ignore[arg-type]
    )
    return Seen(at(second + 3), evaluation, False, "", None)


def study_of(path: Path, *rows: Seen) -> Study:
    """A study of an empty session with these evaluations."""
    story = Made(path)
    story.start(at(-10))
    story.tell(at(1_000), Tick())
    story.journal.close()
    study = read(path)
    study.seen = list(rows)
    return study


def test_adjacent_seconds_are_one_miss_shown_where_it_was_nearest(tmp_path: Path) -> None:
    surge, rising = Condition.VOLUME_SURGE, Condition.VWAP_RISING
    study = study_of(
        tmp_path / "record.jsonl",
        seen(700, surge, volume=1_000.0),
        seen(701, surge, volume=3_800.0),
        seen(701 + EPISODE_GAP_S + 1, surge, volume=2_000.0),  # seconds without a trade between
        seen(720, surge, volume=3_600.0),  # too long after: another one
        seen(721, rising, vwap_rising_s=29),  # another condition
        seen(722, surge, rising),  # two fail: no near miss
        seen(723, surge, gate=DeclineReason.COOLDOWN, volume=3_999.0),  # a gate was closed
        seen(724),  # a signal
        seen(725, surge, volume=3_200.0),
    )
    found = misses(study)
    assert [(at_s(miss.start), at_s(miss.end), at_s(miss.nearest.evaluation.start)) for miss in found] == [
        (721, 722, 721),
        (700, 708, 701),
        (720, 721, 720),
        (725, 726, 725),
    ]
    assert [miss.text for miss in found] == [
        "VWAP rising for 29 s, needed 30 s: 1 s short",
        "volume 3,800, needed 4,000: 5 % short",
        "volume 3,600, needed 4,000: 10 % short",
        "volume 3,200, needed 4,000: 20 % short",
    ]
    assert [miss.nearness for miss in found] == pytest.approx([1 / 30, 0.05, 0.1, 0.2])
    counts = {item.condition: item for item in failing(study)}
    assert (counts[surge].failed, counts[surge].alone, counts[surge].alone_open) == (7, 6, 5)


def at_s(moment: int) -> int:
    """Seconds after the open."""
    return (moment - SESSION.open) // SECOND


def test_a_miss_without_a_value_comes_last(tmp_path: Path) -> None:
    lag, volume = Condition.SPY_LAG, Condition.RELATIVE_VOLUME
    study = study_of(
        tmp_path / "record.jsonl",
        seen(700, lag, benchmark_roc5=None),
        seen(710, volume, relative_volume=0.3),
        seen(720, lag, benchmark_roc5=0.5),
    )
    first, second, last = misses(study)
    assert first.text == "relative volume 0.30, needed 1.50: 80 % short"
    assert second.text == "SPY ahead by 0.400 points, allowed 0.200: 0.200 too far"
    assert last.missed is None and last.text == "no SPY"


def test_the_threshold_of_a_miss_is_that_of_its_time(tmp_path: Path) -> None:
    path = tmp_path / "record.jsonl"
    study = study_of(path, seen(700, Condition.RELATIVE_VOLUME, relative_volume=1.4))
    study.starts.append(at(500))
    study.rules_by_start.append(Rules(relative_volume_min=2.0))
    assert misses(study)[0].text == "relative volume 1.40, needed 2.00: 30 % short"


def test_the_shares_of_the_funnel(tmp_path: Path) -> None:
    study = study_of(
        tmp_path / "record.jsonl",
        seen(10, gate=DeclineReason.WARM_UP),
        seen(700, Condition.VOLUME_SURGE),
        seen(701, gate=DeclineReason.COOLDOWN),
        seen(702, gate=DeclineReason.COOLDOWN),
    )
    rows = {line.name: line for line in funnel(study)}
    assert rows["evaluated"].left == 4 and rows["warm"].left == 3
    assert (rows["volume_surge"].left, rows["volume_surge"].lost) == (2, 1)
    assert rows["volume_surge"].of_before == pytest.approx(200 / 3)
    assert rows["volume_surge"].of_all == pytest.approx(0.2)
    assert rows["session"].left == 1_000 and rows["session"].of_before == 100
    assert (rows["cooldown"].kind, rows["cooldown"].lost, rows["cooldown"].left) == (RowKind.GATE, 2, 0)
    assert (rows["fired"].left, rows["fired"].of_before) == (0, 0.0)
