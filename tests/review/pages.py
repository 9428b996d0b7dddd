"""Studies that a page is made of, and the page as it is written."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from events import SECOND, Bar, Condition, DeclineReason, Evaluation, Opened, Tick
from review import fills, moment, what_if
from review.keeper import read
from review.page import page
from review.page.asked import Asked
from review.study import MarkPoint, Seen, Study
from rules import Rules
from tests.builders import SESSION, at, bar
from tests.made_day import BEGIN_S, END_S, Made

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """A made session with one BUY and one SELL, and a near miss long before: the others are followed by the BUY."""
    story = Made(tmp_path_factory.mktemp("record") / f"{SESSION.date}.jsonl")
    story.start(at(BEGIN_S))
    story.go(0, BEGIN_S, END_S)
    story.journal.close()
    study = read(story.path)
    surge = list(Condition).index(Condition.VOLUME_SURGE)
    near, row = next(
        (place, row)
        for place, row in enumerate(study.seen)
        if row.evaluation.start > at(END_S - 300) and row.evaluation.passes[surge] is False
    )
    passes = tuple(place != surge for place in range(len(Condition)))
    study.seen[near] = row._replace(evaluation=replace(row.evaluation, passes=passes, gate=None))
    return study


def evaluation(
    second: int, price: float, *, passes: int = 0, gate: DeclineReason | None = None
) -> Evaluation:
    """An evaluation at which the conditions hold whose bits are set in ``passes``."""
    return Evaluation(
        start=at(second),
        symbol="IWM",
        price=price,
        vwap_1m=price - 0.1,
        vwap_5m=price - 0.2,
        vwap_5m_change=0.01,
        vwap_distance=0.05,
        vwap_rising_s=40,
        volume=500.0 + second % 997,
        volume_p95=1_400.5,
        volume_z=0.3,
        momentum=0.002,
        relative_volume=1.4,
        roc5=0.1,
        benchmark_roc5=0.12,
        passes=tuple(bool(passes >> place & 1) for place in range(len(Condition))),
        gate=gate,
    )


def bar_of(seen: Seen) -> Bar:
    """The bar of the second that was evaluated."""
    evaluation = seen.evaluation
    second = (evaluation.start - SESSION.open) // SECOND
    return bar(second, evaluation.price or 0.0, evaluation.volume)


def study_of(seen: list[Seen], until: int = SESSION.close) -> Study:
    """A study that was not read from a record."""
    rules = Rules()
    return Study(
        path=Path(f"{SESSION.date}.jsonl"),
        session=SESSION,
        rules=rules,
        starts=[SESSION.open],
        rules_by_start=[rules],
        digests=[rules.digest()],
        odd=[],
        torn=0,
        until=until,
        asked_at=until,
        seen=seen,
        bars=[bar_of(item) for item in seen],
        trades=fills.Trades(),
    )


def whole_day(opened: Opened) -> Study:
    """Every second of a session, and a dozen positions of a quarter of an hour with four marks a second."""
    gates = [None, DeclineReason.WARM_UP, DeclineReason.COOLDOWN, DeclineReason.POSITION_OPEN]
    seen = [
        Seen(
            at(second + 3),
            evaluation(second, 240 + second % 613 / 100, passes=second % 128, gate=gates[second // 600 % 4]),
            False,
            "",
            None,
        )
        for second in range(23_400)
    ]
    study = study_of(seen)
    for number in range(12):
        begin = at(900 + number * 1_800)
        trade = replace(opened, id=f"{number:06x}")
        study.trades.record(begin, Tick(), [trade])
        study.marks[trade.id] = [
            MarkPoint(
                begin + step * SECOND // 4,
                opened.mid + step % 97 * 50,
                opened.mid + step,
                5_000 + step,
                6_000 + step,
            )
            for step in range(3_600)
        ]
    return study


HOSTILE = "O:</script><img src=x onerror=alert(1)>\u2028&'\""


def hostile_day(opened: Opened) -> Study:
    """A trade whose texts would be dangerous if a page took them as they are."""
    study = study_of([Seen(at(2_000), evaluation(1_997, 215.0, passes=127), False, "", None)])
    trade = replace(opened, id="</script><i>", contract=HOSTILE)
    study.trades.record(at(2_000), Tick(), [trade])
    study.marks[trade.id] = [MarkPoint(at(2_000), opened.mid, opened.mid, 1, 2)]
    study.odd.append(f"rule {HOSTILE} is unknown")
    study.path = Path(f"{HOSTILE.replace('/', '')}.jsonl")
    return study


def written(study: Study, folder: Path) -> Path:
    """The study's page on disk."""
    path = folder / "page.html"
    page.write(study, path)
    return path


def asked_of(study: Study) -> Asked:
    """A second of it, and what another rule would have brought."""
    shown = at(END_S - 400)
    settings = {"STOP_LOSS_PERCENT": "40"}
    other = read(study.path, settings)
    compared = what_if.compare(study, other, settings, what_if.Trials(1))
    return Asked(shown, moment.show(study, shown), compared)


def opened_of(study: Study) -> Opened:
    """The first BUY of a study."""
    return study.trades.all[0].opened
