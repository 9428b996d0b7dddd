"""*Engine*: one session of two symbols through `Engine.handle`, beside frameworks, naive pandas, and the bare floor."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import msgspec

from benchmarks.contest import ALL, Found, Tape, digest, write_tape
from benchmarks.harness import (
    BenchmarkError,
    Contestant,
    Context,
    Outcome,
    Row,
    Timing,
    call,
    ratio,
    take_turns,
)
from benchmarks.made_session import made_tape
from rules import Rules

OURS, OURS_FINAL, FLOOR = "engine", "engine, final bars", "bare loop"
NAUTILUS = "NautilusTrader, its indicators"
NAUTILUS_LEAN = "NautilusTrader, float windows"
NAUTILUS_EMPTY = "NautilusTrader, empty strategy"
BASANA, BACKTRADER = "Basana, float windows", "Backtrader, float windows"
BACKTESTING = "backtesting.py"
NAIVE = "naive pandas"

GOALS = {NAUTILUS: 1 / 6, NAUTILUS_LEAN: 1 / 6, NAIVE: 1 / 300, FLOOR: 2.5}
"""Our time over theirs, at most."""

NOTES = {
    FLOOR: "final bars; no events, corrections, gates",
    NAUTILUS: "final bars",
    NAUTILUS_LEAN: "with corrections; the windows of benchmarks/peers/windows.py",
    NAUTILUS_EMPTY: "takes the same prints and does nothing with them",
    BASANA: "with corrections; the same windows",
    BACKTRADER: "final bars; the same windows; loading left out",
    BACKTESTING: "final bars, all columns at once; cannot run live",
    OURS_FINAL: "what corrections cost",
}

ROUNDS, QUICK_ROUNDS = 7, 1
"""A quick run has one round more: the one in which they are held to agree."""

ONCE = (NAUTILUS, BACKTRADER, NAIVE, BASANA, BACKTESTING)
"""Not run again in a quick run: what they take is many times ours, whatever disturbs it, or they have no goal."""

STRETCHES = 3
STRETCH_S, QUICK_STRETCH_S = 180, 45
"""How much of the session the naive code is timed on; it would take minutes for all of it."""


def numbers_of(rules: Rules) -> dict[str, float]:
    """What the conditions need, for those who do not know our `Rules`."""
    values = rules.model_dump()
    return {name: value for name, value in values.items() if isinstance(value, int | float)}


def ours(label: str, module: str, tape: Path, *options: str) -> Contestant:
    """A contestant in this interpreter."""
    return Contestant(
        label=label,
        python=Path(sys.executable),
        arguments=("-m", f"benchmarks.{module}", str(tape), *options),
    )


def peer(label: str, module: str, python: Path, tape: Path, *options: str) -> Contestant:
    """A contestant in the peers' environment."""
    arguments = ("-m", f"benchmarks.peers.{module}", str(tape), *options)
    return Contestant(label=label, python=python, arguments=arguments)


def compare(label: str, found: Found, wanted: Found, *, is_partial: bool = False) -> None:
    """Raises BenchmarkError at the first second at which a contestant finds something else than is wanted.

    ``is_partial``: it was asked at some of the seconds only.
    """
    if is_partial:
        asked = {second for second, _ in found}
        wanted = [item for item in wanted if item[0] in asked]
    if found != wanted:
        theirs, other = dict(found), dict(wanted)
        bad = [s for s in sorted(theirs.keys() | other.keys()) if theirs.get(s) != other.get(s)]
        second = bad[0]
        raise BenchmarkError(
            f"{label} disagrees at {len(bad):,} of {len(wanted):,} seconds, first at {second}:"
            f" {theirs.get(second)} instead of {other.get(second)} (a bit for each condition)"
        )
    if not any(mask == ALL for _, mask in found):
        raise BenchmarkError(f"{label} was asked where there is no signal: nothing is compared")


class EngineSpeed:
    """The benchmark."""

    name = "engine"
    title = "one session through the engine, beside what one would pick instead"

    def __init__(self) -> None:
        self._contestants: list[Contestant] = []
        self._digests: dict[str, str] = {}
        self._checked: dict[str, Timing] = {}
        """How long each took when it was held to agree."""
        self._bars = self._prints = self._evaluations = self._signals = 0
        self._naive_evaluations = 1

    def prepare(self, context: Context) -> None:
        """Make the session, install the peers, and hold that all find the same at every second."""
        path = context.directory / "engine.tape"
        tape = made_tape(numbers=numbers_of(Rules()))
        write_tape(path, tape)
        self._prints, self._bars = len(tape.stream), len(tape.final)
        python = context.environments.python("frameworks")
        context.versions |= context.environments.versions("frameworks")

        live, final = ours(OURS, "ours", path), ours(OURS_FINAL, "ours", path, "--final")
        empty = peer(NAUTILUS_EMPTY, "nautilus", python, path, "--empty")
        with_corrections = [
            peer(NAUTILUS_LEAN, "nautilus", python, path),
            peer(BASANA, "basana_events", python, path),
        ]
        of_final_bars = [
            ours(FLOOR, "floor", path),
            peer(NAUTILUS, "nautilus_indicators", python, path),
            peer(BACKTRADER, "backtrader_feeds", python, path),
        ]
        self._contestants = [live, final, *of_final_bars, *with_corrections, empty]
        found, found_final = self._found(context, live), self._found(context, final)
        self._evaluations = len(found)
        self._signals = sum(mask == ALL for _, mask in found)
        for contestant in with_corrections:
            compare(contestant.label, self._found(context, contestant), found)
        for contestant in of_final_bars:
            compare(contestant.label, self._found(context, contestant), found_final)
        self._prepare_columns(context, peer(BACKTESTING, "backtesting_py", python, path), found_final)
        self._prepare_naive(context, python, path, tape, found)

    def _prepare_columns(self, context: Context, contestant: Contestant, wanted: Found) -> None:
        """backtesting.py makes no call for the first bar; at all others it must agree."""
        found = self._found(context, contestant)
        compare(contestant.label, found, wanted[1:])
        self._contestants.append(contestant)

    def _prepare_naive(self, context: Context, python: Path, path: Path, tape: Tape, wanted: Found) -> None:
        """Stretches of the session around signals, so that these are compared, and not their absence alone."""
        length = QUICK_STRETCH_S if context.quick else STRETCH_S
        signals = [second for second, mask in wanted if mask == ALL]
        chosen = [signals[(2 * part + 1) * len(signals) // (2 * STRETCHES)] for part in range(STRETCHES)]
        latest = tape.seconds - length
        begins = ",".join(str(min(max(0, signal - length // 2), latest)) for signal in chosen)
        naive = peer(NAIVE, "naive_pandas", python, path, "--begins", begins, "--length", str(length))
        found = self._found(context, naive)
        compare(NAIVE, found, wanted, is_partial=True)
        self._naive_evaluations = len(found)
        self._contestants.append(naive)

    def _found(self, context: Context, contestant: Contestant) -> Found:
        result = call(contestant, "--found")
        found = [(int(second), int(mask)) for second, mask in result["found"]]
        self._digests[contestant.label] = digest(found)
        self._checked[contestant.label] = timing = Timing(label=contestant.label)
        timing.take(result)
        context.say(f"checked: {contestant.label}, {len(found):,} seconds")
        return found

    def _check(self, contestant: Contestant, result: dict[str, Any]) -> None:
        """Every timed run, too, finds what was agreed upon."""
        wanted = self._digests.get(contestant.label)
        if wanted is not None and result["digest"] != wanted:
            raise BenchmarkError(f"{contestant.label} found something else when it was timed")

    def run(self, context: Context) -> Outcome:
        """Time them in turns. A quick run does not do without the first round, in which they agreed."""
        if context.quick:
            fast = [one for one in self._contestants if one.label not in ONCE]
            timings = take_turns(fast, QUICK_ROUNDS, context.say, self._check, self._checked)
        else:
            timings = take_turns(self._contestants, ROUNDS, context.say, self._check)
        scale = self._evaluations / self._naive_evaluations
        naive = timings[NAIVE]
        timings[NAIVE] = Timing(
            label=NAIVE,
            wall=[value * scale for value in naive.wall],
            cpu=[value * scale for value in naive.cpu],
        )
        return Outcome(
            rows=self._rows(timings, scale),
            raw={
                "prints": self._prints,
                "bars": self._bars,
                "evaluations": self._evaluations,
                "signals": self._signals,
                "naive_scale": scale,
                "timings": msgspec.to_builtins(timings),
            },
        )

    def _rows(self, timings: dict[str, Timing], scale: float) -> list[Row]:
        own = timings[OURS]
        told = f"{self._prints:,} prints, {self._evaluations:,} evaluations, {self._signals} signals"
        rows = [
            Row(
                benchmark=self.name, what="one session", unit="s",
                figure=own.best, median=own.median, note=told,
            ),
            Row(
                benchmark=self.name, what="one print", unit="µs",
                figure=own.best / self._prints * 1e6, median=own.median / self._prints * 1e6,
            ),
        ]  # fmt: skip
        notes = {**NOTES, NAIVE: f"one {scale:.0f}th of the session timed and scaled"}
        for label, timing in timings.items():
            if label == OURS:
                continue
            best, paired = ratio(timings, OURS, label)
            rows.append(
                Row(
                    benchmark=self.name,
                    what=f"engine ÷ {label}",
                    figure=best,
                    median=paired,
                    goal=GOALS.get(label),
                    note=f"{timing.best:.3f} s; {notes[label]}",
                )
            )
        return rows
