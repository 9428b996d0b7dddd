"""Tries one mutant in a copy of the tree: runs the tests that judge it until one fails."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from tests import conftest
from tests.mutants import plugin
from tests.mutants.covering import Covering, file_of
from tests.mutants.mutant import Mutant
from tests.mutants.tree import ROOT, write

LIMIT_S = 90
"""Seconds after which a test counts as hung: far longer than any takes, even on a busy machine."""

FIRST = 25
"""How many of the fastest tests are run together first: most mutants die by one of them."""

MOST_S = 1_200.0
"""How many seconds of tests (as measured) one mutant is worth."""

GONE = b"no match in any of"
"""What pytest says of a test that does not exist."""

BROKEN = b"INTERNALERROR"
"""What pytest says when it has failed itself, or a plugin."""


class Verdict(StrEnum):
    """What became of a mutant."""

    KILLED = "killed"
    HUNG = "hung"
    """A test did not end: a kill, too."""
    SURVIVED = "survived"
    UNJUDGED = "unjudged"
    """No test runs it."""


@dataclass(frozen=True)
class Result:
    """How one trial ended: by which test, and the processor's seconds."""

    verdict: Verdict
    by: str = ""
    cpu_s: float = 0.0

    @property
    def is_killed(self) -> bool:
        """Returns whether a test has noticed the fault."""
        return self.verdict in (Verdict.KILLED, Verdict.HUNG)


class Judge:
    """Tries mutants in one copy of the tree, one after the other."""

    def __init__(self, tree: Path, covering: Covering, sound: dict[str, bool]) -> None:
        self._tree = tree
        self._covering = covering
        self._sound = sound
        """Whether a test passes alone without any fault: one that does not must not kill. Shared by all judges."""
        self._running: subprocess.Popen[bytes] | None = None
        self._is_stopped = False
        self._cpu_s = 0.0

    def stop(self) -> None:
        """Ends what is running, and lets nothing more begin."""
        self._is_stopped = True
        if (running := self._running) is not None:
            _kill(running)

    def judge(self, mutant: Mutant, first: str = "") -> Result:
        """Tries a mutant; ``first`` is the test that killed it the last time. Raises Stale, InterruptedError."""
        self._cpu_s = 0.0
        tests = self._covering.tests(mutant)
        if not tests:
            return Result(Verdict.UNJUDGED)
        if first in tests:
            tests.insert(0, tests.pop(tests.index(first)))
        path = self._tree / mutant.file
        write(path, mutant.mutated)
        try:
            return self._result(mutant, tests, ahead=1 if first in tests else 0)
        finally:
            write(path, mutant.text)

    def _result(self, mutant: Mutant, tests: list[str], ahead: int) -> Result:
        tests = self._worth(tests)
        for batch in (tests[:ahead], tests[ahead : ahead + FIRST], tests[ahead + FIRST :]):
            left = batch
            while left:
                verdict, failed = self._run(left)
                if verdict is Verdict.SURVIVED:
                    break
                if not failed:
                    self._check_import(mutant, left)
                    return Result(verdict, "an import fails", self._cpu_s)
                if self._is_kill(mutant, failed):
                    return Result(verdict, failed, self._cpu_s)
                left = left[left.index(failed) + 1 :]
        return Result(Verdict.SURVIVED, cpu_s=self._cpu_s)

    def _worth(self, tests: list[str]) -> list[str]:
        spent, kept = 0.0, list[str]()
        for test in tests:
            spent += self._covering.seconds[test]
            if kept and spent > MOST_S:
                break
            kept.append(test)
        return kept

    def _is_kill(self, mutant: Mutant, test: str) -> bool:
        """Returns whether a failure is the mutant's: the test passes without it, and fails again unless it must."""
        path = self._tree / mutant.file
        if test not in self._sound:
            write(path, mutant.text)
            self._sound[test] = self._run([test])[0] is Verdict.SURVIVED
            write(path, mutant.mutated)
        if not self._sound[test]:
            return False
        return conftest.is_fast(ROOT / file_of(test)) or self._run([test])[0] is not Verdict.SURVIVED

    def _check_import(self, mutant: Mutant, tests: Sequence[str]) -> None:
        """Raises RuntimeError if tests cannot even be imported without the mutant."""
        path = self._tree / mutant.file
        write(path, mutant.text)
        verdict, _ = self._run(tests, "--collect-only")
        write(path, mutant.mutated)
        if verdict is not Verdict.SURVIVED:
            raise RuntimeError("tests cannot be imported, whatever the mutant")

    def _run(self, tests: Sequence[str], *more: str) -> tuple[Verdict, str]:
        """Runs tests until one fails. Returns how that ended, and the test; empty if no test could even begin."""
        if self._is_stopped:
            raise InterruptedError
        scratch = self._tree.parent
        order, outcomes = scratch / "order", scratch / "outcomes"
        order.write_text("\n".join(tests), encoding="utf-8")
        outcomes.write_text("", encoding="utf-8")
        outcomes.chmod(0o666)  # some tests are another user's for a while
        options = ("-x", "-n", "0", "-p", "no:cacheprovider", "-p", plugin.__name__)
        places = (f"--basetemp={scratch / 'tests'}", f"@{order}")
        settings = {plugin.ORDER: order, plugin.OUTCOMES: outcomes, plugin.LIMIT_S: LIMIT_S}
        with (scratch / "output").open("wb") as output:
            self._running = process = subprocess.Popen(
                [sys.executable, "-m", "pytest", *options, *more, *places],
                cwd=self._tree,
                env={
                    **os.environ,
                    "DRAW_THE_SAME": "1",
                    **{name: str(value) for name, value in settings.items()},
                },
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            status = self._wait(process)
        if self._is_stopped:
            raise InterruptedError
        return self._ending(status, outcomes, (scratch / "output").read_bytes())

    def _ending(self, status: int, outcomes: Path, said: bytes) -> tuple[Verdict, str]:
        """Returns how a run of tests has ended, from pytest's status, what the plugin has noted, and what pytest has said."""
        seen = [json.loads(line) for line in outcomes.read_text(encoding="utf-8").splitlines()]
        if status == 0:
            return Verdict.SURVIVED, ""
        last = seen[-1][0] if seen else ""
        failed = next((name for name, outcome, _ in seen if outcome == "failed"), "")
        if status < 0:
            return (Verdict.HUNG if status == -signal.SIGALRM else Verdict.KILLED), failed or last
        if not failed and GONE in said:
            raise RuntimeError(
                f"tests are not where they were measured: {said[-500:].decode(errors='replace')}"
            )
        if not failed and BROKEN in said:
            failed = last  # whether that is the mutant's doing shows when it is run alone
        return Verdict.KILLED, failed

    def _wait(self, process: subprocess.Popen[bytes]) -> int:
        """Waits for a process and counts its time. Returns its status. Leaves nothing that it has started."""
        over = threading.Timer(LIMIT_S * 8, _kill, (process,))
        over.start()
        try:
            _, status, used = os.wait4(process.pid, 0)
        finally:
            over.cancel()
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        process.returncode = os.waitstatus_to_exitcode(status)
        self._running = None
        self._cpu_s += used.ru_utime + used.ru_stime
        return process.returncode


def _kill(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
