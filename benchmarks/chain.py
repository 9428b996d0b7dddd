"""*Chain*: a page of 250 calls from its bytes to a ranked contract, beside the vendor's client building its models."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import msgspec

from benchmarks import made_chain
from benchmarks.harness import BenchmarkError, Contestant, Context, Outcome, Row, ratio, take_turns

OURS, ALL = "page to contract", "page to contract, every row ranked"
MASSIVE = "massive client's models"

GOAL = 5.0
"""How many times as fast, at least."""

TIMES, QUICK_TIMES = 200, 60
ROUNDS, QUICK_ROUNDS = 9, 3


class Chain:
    """The benchmark."""

    name = "chain"
    title = "a page of the option chain to a ranked contract"

    def __init__(self) -> None:
        self._page = Path()
        self._python = Path(sys.executable)

    def prepare(self, context: Context) -> None:
        """Install the vendor's client and make the page."""
        self._python = context.environments.python("massive")
        context.versions.update(context.environments.versions("massive"))
        self._page = context.directory / "page.json"
        self._page.write_bytes(made_chain.page())

    def run(self, context: Context) -> Outcome:
        """Time them in turns. That both find the same rows is checked at every turn."""
        times = QUICK_TIMES if context.quick else TIMES
        numbers = (str(self._page), str(times))
        everyone = [
            Contestant(label=OURS, arguments=("-m", "benchmarks.chain_ours", *numbers)),
            Contestant(label=ALL, arguments=("-m", "benchmarks.chain_ours", *numbers, "--all")),
            Contestant(
                label=MASSIVE,
                python=self._python,
                arguments=("-m", "benchmarks.peers.massive_chain", *numbers),
            ),
        ]
        digests: dict[str, str] = {}
        chosen: list[str] = []

        def check(one: Contestant, result: dict[str, Any]) -> None:
            digests[one.label] = result["digest"]
            if result["count"] != made_chain.ROWS or len(set(digests.values())) > 1:
                raise BenchmarkError(f"{one.label} found other rows than the others")
            if "contract" in result:
                chosen.append(result["contract"])

        timings = take_turns(everyone, QUICK_ROUNDS if context.quick else ROUNDS, context.say, check)
        each = {name: timing.best / times * 1e3 for name, timing in timings.items()}
        rows = []
        for label, what in ((OURS, "as the worker does it"), (ALL, "every row ranked")):
            best, paired = ratio(timings, MASSIVE, label)
            rows.append(
                Row(
                    benchmark=self.name, what=f"page of 250 rows: massive client's models ÷ contract, {what}",
                    figure=best, median=paired, goal=GOAL if label == OURS else None, at_most=False,
                    note=f"{each[label]:.2f} ms, ranked, instead of {each[MASSIVE]:.2f} ms, not ranked",
                )
            )  # fmt: skip
        return Outcome(
            rows=rows, raw={"times": times, "contract": chosen[-1], "timings": msgspec.to_builtins(timings)}
        )
