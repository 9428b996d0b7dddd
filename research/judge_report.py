"""A judgement in words and for machines. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from research.judgement import Judgement
from research.statistics.days import SESSIONS_A_YEAR
from research.statistics.intervals import DRAWS, MEAN_BLOCK, Interval
from research.statistics.verdict import LEAST_SESSIONS, Verdict
from research.statistics.walk_forward import CHOOSE_ON, RUN_FOR
from review.report import wrapped
from utils import plural_s

LABEL_WIDTH = 34

COUNTS = ("sessions", "with_result", "total", "compounded")
"""What is told of days that are too few for rates."""

RATES = ("mean_interval", "sharpe_interval", "deflated", "overfitting", "superiority", "walk_forward")
"""What is null then."""

Row = tuple[str, str]


def percent(value: float, places: int = 2) -> str:
    """Returns a fraction as a percentage with its sign: ``−0.31 %``."""
    text = f"{abs(value) * 100:,.{places}f}"
    sign = "" if not float(text.replace(",", "")) else "−" if value < 0 else "+"
    return f"{sign}{text}%"


def ratio(value: float, places: int = 2) -> str:
    """Returns a number with a real minus sign."""
    text = f"{abs(value):,.{places}f}"
    return f"−{text}" if value < 0 and float(text.replace(",", "")) else text


def headline(found: Judgement) -> str:
    """Returns the verdict in one sentence, with its n and its interval where there are enough days."""
    figures = found.figures
    subject = f"{found.name}, the best of {len(found.record.names)}," if found.was_chosen else found.name
    said = found.verdict.value[0].upper() + found.verdict.value[1:]
    if not found.tells_rates:
        return f"{said}: {found.reasons[0]}."
    return (
        f"{said}: {subject} brings {percent(figures.mean, 3)} a day of what is staked "
        f"(95%: {span(found.intervals.mean)}, n {figures.sessions} sessions)."
    )


def span(interval: Interval, places: int = 3) -> str:
    """Returns an interval of fractions as percentages."""
    return f"{percent(interval.low, places)} to {percent(interval.high, places)}"


def lines(found: Judgement) -> list[str]:
    """Returns the report."""
    record = found.record
    first, last = record.days[0], record.days[-1]
    told = [*wrapped(headline(found))]
    if found.tells_rates:
        why = "Stands on" if found.verdict in (Verdict.WINS, Verdict.LOSES) else "In the way of more"
        told += wrapped(f"{why}: {'; '.join(found.reasons)}.")
    told += ["", *wrapped(_subject(found, f"{first} to {last}"))]
    told += _table("Its days", day_rows(found))
    if found.tells_rates:
        told += _table("Luck", luck_rows(found))
        told += _table("Choosing", choice_rows(found))
    told += ["", *wrapped(caveat(found))]
    return told


def _subject(found: Judgement, dates: str) -> str:
    names, count = found.record.names, found.figures.sessions
    how = " (the highest Sharpe ratio)" if found.was_chosen else ""
    which = f"{found.name} of {len(names)} trials{how}" if len(names) > 1 else found.name
    return f"{which}, {count} session{plural_s(count)}, {dates}. Results are fractions of the stake, after costs."


def _table(title: str, rows: Iterable[Row]) -> list[str]:
    made = [f"  {name:<{LABEL_WIDTH}}{value}" for name, value in rows]
    return ["", title, *made] if made else []


def day_rows(found: Judgement) -> list[Row]:
    """Returns what its days come to."""
    figures = found.figures
    rows = [
        ("sessions, with a result", f"{figures.sessions}, {figures.with_result}"),
        ("total, equal stakes", percent(figures.total)),
    ]
    if figures.compounded is not None:
        rows.append(("total, compounded", percent(figures.compounded, 4)))
    if not found.tells_rates:
        return rows
    rows.append(("mean a day (95%)", f"{percent(figures.mean, 3)} ({span(found.intervals.mean)})"))
    if figures.deviation is not None:
        rows.append(("standard deviation", percent(figures.deviation, 3).lstrip("+")))
    if figures.sharpe is not None:
        text = f"{ratio(figures.sharpe, 4)} a year (× √{SESSIONS_A_YEAR})"
        if (sure := found.intervals.sharpe) is not None:
            text += f", 95%: {ratio(sure.low)} to {ratio(sure.high)}"
        rows.append(("Sharpe ratio", text))
    if figures.skew is not None and figures.kurtosis is not None:
        rows.append(("skew, kurtosis", f"{ratio(figures.skew)}, {ratio(figures.kurtosis)} (normal: 0, 3)"))
    rows += [
        ("worst day, mean of the worst 5%", f"{percent(figures.worst)}, {percent(figures.shortfall)}"),
        ("deepest fall of the running sum", percent(figures.drawdown, 4).lstrip("+")),
    ]
    if figures.compounded_drawdown is not None:
        rows.append(("deepest fall, compounded", percent(figures.compounded_drawdown, 4).lstrip("+")))
    if figures.best_day_share is not None and figures.best_percent_share is not None:
        text = f"{100 * figures.best_day_share:.0f}%, {100 * figures.best_percent_share:.0f}%"
        rows.append(("share of the best day, best 1%", text))
    return rows


def luck_rows(found: Judgement) -> list[Row]:
    """Returns whether its Sharpe ratio is more than luck."""
    luck = found.deflated
    if luck is None:
        return []
    counted = f"{luck.trials}"
    if luck.effective_trials is not None:
        counted += f", {luck.effective_trials:.1f}"
    rows = [
        ("trials, of them independent" if luck.effective_trials is not None else "trials", counted),
        ("probabilistic Sharpe ratio, PSR", f"{luck.psr:.4f}"),
    ]
    if luck.dsr_by_spread is not None and luck.luck_by_spread is not None:
        rows.append(
            (
                "deflated, DSR, by their spread",
                f"{luck.dsr_by_spread:.4f} (luck alone: {ratio(luck.luck_by_spread, 4)} a day)",
            )
        )
    rows.append(
        (
            "deflated, DSR, by 1 ÷ √sessions",
            f"{luck.dsr_by_length:.4f} (luck alone: {ratio(luck.luck_by_length, 4)} a day)",
        )
    )
    return rows


def choice_rows(found: Judgement) -> list[Row]:
    """Returns what choosing among its trials is worth; nothing with one trial."""
    rows: list[Row] = []
    if (split := found.overfitting) is not None:
        rows.append(
            (
                "probability of overfitting, PBO",
                f"{split.probability:.4f} ({split.splits:,} splits of {split.blocks} blocks)",
            )
        )
        rows.append(("choices that lose afterwards", f"{100 * split.losing:.0f}%"))
        if split.slope is not None:
            rows.append(("Sharpe after ÷ before, slope", ratio(split.slope)))
    if (tested := found.superiority) is not None:
        rows.append(("SPA against doing nothing, p", f"{tested.p_value:.3f} ({tested.tested} tested)"))
        better = ", ".join(found.record.names[column] for column in tested.superior) or "none"
        rows.append(("better than nothing at 5%, StepM", better))
    if (walk := found.walk_forward) is not None:
        rows.append(
            (
                f"choose on {CHOOSE_ON}, run {RUN_FOR}",
                f"{percent(walk.mean, 3)} a day over {len(walk.results)} sessions, "
                f"{percent(walk.distance, 3)} from what was seen",
            )
        )
    return rows


def caveat(found: Judgement) -> str:
    """Returns what the figures are worth."""
    if not found.tells_rates:
        return f"Below {LEAST_SESSIONS} sessions with a result there are counts and no rates: they would only pretend."
    return (
        f"Intervals are those of {DRAWS:,} stationary bootstraps over days, blocks of {MEAN_BLOCK} in the mean. The count of "
        "trials is the one given: settings that were tried and left out of the file make every figure look better than "
        "it is (--trials). Past results do not predict future ones."
    )


def as_json(found: Judgement) -> str:
    """Returns every number for machines."""
    record = found.record
    data: dict[str, Any] = {
        "verdict": found.verdict.value,
        "reasons": found.reasons,
        "column": found.name,
        "was_chosen": found.was_chosen,
        "trials_seen": len(record.names),
        "first": record.days[0].isoformat(),
        "last": record.days[-1].isoformat(),
        "notes": list(record.notes),
        "days": found.figures._asdict(),
        "enough_for_rates": found.tells_rates,
        **dict.fromkeys(RATES),
    }
    if found.tells_rates:
        data |= _rates(found)
    else:  # counts and no rates
        data["days"] = {name: data["days"][name] for name in COUNTS}
    return json.dumps(data, indent=1, ensure_ascii=False, allow_nan=False)


def _rates(found: Judgement) -> dict[str, Any]:
    names, sure = found.record.names, found.intervals
    luck, tested, walk = found.deflated, found.superiority, found.walk_forward
    return {
        "mean_interval": sure.mean._asdict(),
        "sharpe_interval": sure.sharpe and sure.sharpe._asdict(),
        "deflated": luck and {**luck._asdict(), "dsr": luck.dsr},
        "overfitting": found.overfitting and found.overfitting._asdict(),
        "superiority": tested
        and {**tested._asdict(), "superior": [names[column] for column in tested.superior]},
        "walk_forward": walk
        and {
            "choices": [names[column] for column in walk.choices],
            "sessions": len(walk.results),
            "mean": walk.mean,
            "mean_chosen_on": walk.mean_chosen_on,
            "distance": walk.distance,
        },
    }
