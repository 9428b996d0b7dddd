"""*Growth*: what a bar costs as windows get longer and corrections more, and how many symbols one core could follow."""

from __future__ import annotations

import msgspec

from benchmarks.contest import Tape, write_tape
from benchmarks.engine_speed import numbers_of, ours
from benchmarks.harness import Contestant, Context, Outcome, Row, Timing, ratio, take_turns
from benchmarks.made_session import SECONDS, made_tape
from rules import Rules

SHORTEST, LONGEST = "20 min", "a day"
WINDOWS = {SHORTEST: 1_200, "2 h": 7_200, LONGEST: SECONDS}
LAST_S = 3_600
"""Windows are compared over the last hour: only then a window of a day is nearly full."""

CORRECTIONS = (0.0, 0.1, 0.5)

WINDOW_GOAL, CORRECTION_GOAL = 1.3, 1.5
ROUNDS, QUICK_ROUNDS = 7, 2

BUSY = 0.5
"""Share of each second that a core may be at work before a burst makes alerts late."""


class Growth:
    """The benchmark."""

    name = "growth"
    title = "cost of a bar against window length and corrections"

    def __init__(self) -> None:
        self._contestants: list[Contestant] = []
        self._prints: dict[str, int] = {}
        self._bars: dict[str, int] = {}

    def prepare(self, context: Context) -> None:
        """One session per case, in a quick run without those between. All windows that the rules let grow so long are as long as the case says."""
        numbers = numbers_of(Rules())
        session = made_tape(numbers=numbers, measured_from=SECONDS - LAST_S)
        for label, width in WINDOWS.items():
            if context.quick and label not in (SHORTEST, LONGEST):
                continue
            lengths = {
                "vwap_long_seconds": width,
                "vwap_short_seconds": width,
                "volume_window_seconds": width,
            }
            self._add(context, label, session._replace(rules=lengths))
        for share in CORRECTIONS:
            self._add(context, corrected(share), made_tape(numbers=numbers, corrections=share))

    def _add(self, context: Context, label: str, tape: Tape) -> None:
        path = context.directory / f"growth-{len(self._contestants)}.tape"
        write_tape(path, tape)
        measured = [row for row in tape.stream if row.batch >= tape.measured_from]
        self._prints[label] = len(measured)
        self._bars[label] = sum(not row.is_repeat for row in measured)
        self._contestants.append(ours(label, "ours", path))

    def run(self, context: Context) -> Outcome:
        """Time them in turns."""
        timings = take_turns(self._contestants, QUICK_ROUNDS if context.quick else ROUNDS, context.say)
        rows = [*self._window_rows(timings), *self._correction_rows(timings), self._symbols(timings)]
        return Outcome(
            rows=rows,
            raw={"prints": self._prints, "bars": self._bars, "timings": msgspec.to_builtins(timings)},
        )

    def _window_rows(self, timings: dict[str, Timing]) -> list[Row]:
        rows = []
        for label in (name for name in WINDOWS if name in timings and name != SHORTEST):
            best, paired = ratio(timings, label, SHORTEST)
            rows.append(
                Row(
                    benchmark=self.name, what=f"bar with windows of {label} ÷ {SHORTEST}",
                    figure=best, median=paired, goal=WINDOW_GOAL if label == LONGEST else None,
                    note=f"last hour; {self._cost(timings, label)} instead of {self._cost(timings, SHORTEST)} a print",
                )
            )  # fmt: skip
        return rows

    def _correction_rows(self, timings: dict[str, Timing]) -> list[Row]:
        none = corrected(0.0)
        rows = []
        for share in CORRECTIONS[1:]:
            label = corrected(share)
            best, paired = ratio(timings, label, none)
            prints = self._prints[label] / self._prints[none]
            is_last = share == CORRECTIONS[-1]
            rows.append(
                Row(
                    benchmark=self.name, what=f"bar, all its corrections with it, at {share:.0%} ÷ none",
                    figure=best, median=paired, goal=CORRECTION_GOAL if is_last else None,
                    note=f"{prints:.2f} × the prints, so {best / prints:.2f} × for each print",
                )
            )  # fmt: skip
        return rows

    def _cost(self, timings: dict[str, Timing], label: str) -> str:
        return f"{timings[label].best / self._prints[label] * 1e6:.1f} µs"

    def _symbols(self, timings: dict[str, Timing]) -> Row:
        """Each symbol with a benchmark of its own, which is more than it needs."""
        label = corrected(CORRECTIONS[1])
        per_second = timings[label].best / SECONDS
        return Row(
            benchmark=self.name, what="symbols that one core could follow live", unit="symbols",
            figure=BUSY // per_second,
            note=f"engine alone, half of each second at work; {per_second * 1e6:.0f} µs a second of the market for a symbol and its benchmark",
        )  # fmt: skip


def corrected(share: float) -> str:
    """The label of a case."""
    return f"{share:.0%} corrected"
