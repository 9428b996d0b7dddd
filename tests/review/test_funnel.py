"""The counts: what a recount of the trace gives, and which misses are told."""

from __future__ import annotations

import csv
import random
from collections import Counter
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine import Engine
from events import (
    SECOND,
    Bar,
    Condition,
    Covered,
    Declined,
    DeclineReason,
    FeedCause,
    FeedLost,
    FeedRestored,
    Hold,
    HoldReason,
    Shutdown,
    Tick,
)
from record.lines import Entry
from record.reader import Reader
from review.funnel import RowKind, failing, followed, funnel, misses
from review.keeper import read
from review.replay import replay_record
from review.study import Study
from rules import Rules
from signals import BUY_FOLLOWS_S, EPISODE_GAP_S
from tests.builders import SESSION, at, bar, chain, row
from tests.made_day import Made
from tests.review.studies import EASY, at_s, seen, study_of
from utils import utc_iso


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
        "volume 3,800, needed 4,000: 5% short",
        "volume 3,600, needed 4,000: 10% short",
        "volume 3,200, needed 4,000: 20% short",
    ]
    assert [miss.nearness for miss in found] == pytest.approx([1 / 30, 0.05, 0.1, 0.2])
    counts = {item.condition: item for item in failing(study)}
    assert (counts[surge].failed, counts[surge].alone, counts[surge].alone_open) == (7, 6, 5)


def test_a_miss_without_a_value_comes_last(tmp_path: Path) -> None:
    lag, volume = Condition.SPY_LAG, Condition.RELATIVE_VOLUME
    study = study_of(
        tmp_path / "record.jsonl",
        seen(700, lag, benchmark_roc5=None),
        seen(710, volume, relative_volume=0.3),
        seen(720, lag, benchmark_roc5=0.5),
    )
    first, second, last = misses(study)
    assert first.text == "relative volume 0.30, needed 1.50: 80% short"
    assert second.text == "SPY ahead by 0.400 points, allowed 0.200: 0.200 too far"
    assert last.missed is None and last.text == "no SPY"


def test_the_threshold_of_a_miss_is_that_of_its_time(tmp_path: Path) -> None:
    path = tmp_path / "record.jsonl"
    study = study_of(path, seen(700, Condition.RELATIVE_VOLUME, relative_volume=1.4))
    study.starts.append(at(500))
    study.rules_by_start.append(Rules(relative_volume_min=2.0))
    assert misses(study)[0].text == "relative volume 1.40, needed 2.00: 30% short"


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
