"""Plays seeds: one, or many in several processes, and adds up what came of them."""

from __future__ import annotations

import shutil
import signal
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass, field, fields
from pathlib import Path

from tests.simulation.checker import check
from tests.simulation.draw import drawn
from tests.simulation.faults import Fault
from tests.simulation.invariants.violation import Violation
from tests.simulation.story import Story
from tests.simulation.world import run

TWICE_EVERY = 50
"""Every so many seeds, one is played twice: the same seed must make the same story, to the bit."""

AHEAD = 4
"""How many seeds wait for each process, so that none of them idles."""


@dataclass(frozen=True, slots=True)
class Played:
    """What came of a seed."""

    seed: int
    drawn: tuple[str, ...]
    """The kinds of its faults."""
    hit: tuple[str, ...]
    """Those that really hit something."""
    violations: tuple[str, ...]
    cpu_s: float


def judged(seed: int, faults: Sequence[Fault], *, twice: bool = False) -> tuple[Story, list[Violation]]:
    """Plays a seed with these faults, and judges it; ``twice``: and whether it comes out the same again."""
    story = run(seed, faults)
    violations = check(story)
    if twice and (again := run(seed, faults)).digest() != story.digest():
        violations.append(Violation("I6", again.ended_at, "the same story twice", difference(story, again)))
    return story, violations


def difference(one: Story, other: Story) -> str:
    """The first thing in which two stories differ."""
    for each in fields(one):
        mine, yours = getattr(one, each.name), getattr(other, each.name)
        if each.name == "folder" or repr(mine) == repr(yours):
            continue
        pairs = zip(mine, yours, strict=False) if isinstance(mine, tuple) else [(mine, yours)]
        found = next(
            (f"{a} and {b}" for a, b in pairs if repr(a) != repr(b)), f"{len(mine)} and {len(yours)}"
        )
        return f"{each.name}: {found}"
    return "nothing but the order of time"


def play(seed: int, keep: Path | None = None) -> Played:
    """Plays a seed. What is wrong with the simulation itself counts as a violation, too."""
    faults, begun = drawn(seed), time.process_time()
    kinds = tuple(fault.kind.value for fault in faults)
    try:
        story, violations = judged(seed, faults, twice=seed % TWICE_EVERY == 0)
    except Exception:  # noqa: BLE001 - the border of a run: the other seeds are played all the same
        said = traceback.format_exc(limit=-6)
        return Played(seed, kinds, (), (f"the simulation failed: {said}",), time.process_time() - begun)
    if violations and keep is not None:
        keep_story(story, faults, violations, keep / f"seed-{seed}")
    hit = tuple(injected.kind for injected in story.injected if injected.hits)
    words = tuple(violation.text(story.began_at) for violation in violations)
    return Played(seed, kinds, hit, words, time.process_time() - begun)


def keep_story(story: Story, faults: Sequence[Fault], violations: Sequence[Violation], folder: Path) -> None:
    """Leaves what a run's folder holds, its log and what is wrong in a folder."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(story.folder, folder / "data")
    (folder / "story.txt").write_text("\n".join(told(story, faults, violations)), encoding="utf-8")


def told(story: Story, faults: Sequence[Fault], violations: Sequence[Violation]) -> Iterator[str]:
    """A run in lines: its faults, its processes, its pushes, its log, and what is wrong."""

    def at(moment: int | None) -> str:
        return "        –" if moment is None else f"{(moment - story.began_at) / 1e6:9.3f}"

    yield f"Seed {story.seed}, session {story.session}, digest {story.digest()[:16]}"
    yield "Faults (s after the begin, hits):"
    for fault, injected in zip(faults, story.injected, strict=False):
        yield f"  {fault}: {injected.hits}"
    yield "Processes:"
    for life in story.lives:
        yield f"  {life.number}: {at(life.began_at)} to {at(life.ended_at)}, {life.end}, status {life.status} {life.error}"
    yield "Pushes (first byte, accepted, answer there):"
    for push in story.pushes:
        title = push.text.get("title", "(not whole)")
        moments = f"{at(push.first_byte_at)} {at(push.accepted_at)} {at(push.answer_arrived_at)}"
        yield f"  {moments}  {push.status}  {title}"
    yield "Log:"
    for line in story.lines:
        yield f"  {at(line.at)} {line.life} {line.text}"
    yield "To keep it (tests/simulation/kept_seeds.py):"
    for fault in faults:
        yield f"  Fault(Kind.{fault.kind.name}, {fault.at}, {fault.seconds}, {dict(fault.options)}),"
    yield f"{len(violations)} violations:"
    for violation in violations:
        yield f"  {violation.text(story.began_at)}"


@dataclass(slots=True)
class Tally:
    """What came of many seeds."""

    drawn: Counter[str] = field(default_factory=Counter)
    hit: Counter[str] = field(default_factory=Counter)
    violated: Counter[str] = field(default_factory=Counter)
    """How many runs with a violation had a fault of the kind."""
    failed: dict[int, tuple[str, ...]] = field(default_factory=dict)
    count: int = 0
    cpu_s: float = 0.0

    def add(self, played: Played) -> None:
        """Counts a seed."""
        self.count += 1
        self.cpu_s += played.cpu_s
        self.drawn.update(played.drawn)
        self.hit.update(played.hit)
        if played.violations:
            self.failed[played.seed] = played.violations
            self.violated.update(set(played.drawn) or {"none"})


def play_many(
    seeds: Iterable[int], jobs: int, keep: Path | None, shown: Callable[[Tally], None]
) -> tuple[Tally, bool]:
    """Plays seeds in several processes. Returns what came of them, and whether all were played: Ctrl-C ends it early.

    ``shown`` is called after each seed.
    """
    tally, left = Tally(), iter(seeds)
    with ProcessPoolExecutor(jobs, initializer=_begin_process) as pool:
        waiting: set[Future[Played]] = set()
        try:
            while True:
                while len(waiting) < jobs * AHEAD and (seed := next(left, None)) is not None:
                    waiting.add(pool.submit(play, seed, keep))
                if not waiting:
                    return tally, True
                done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                for future in done:
                    tally.add(future.result())
                shown(tally)
        except KeyboardInterrupt:
            for future in waiting:
                future.cancel()
            return tally, False


def _begin_process() -> None:
    """Ctrl-C is for the process that plays many: it lets these finish what they are at."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
