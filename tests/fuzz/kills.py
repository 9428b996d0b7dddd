"""Kills the program at the k-th step of a short session, for every k, starts it again, and checks what the phone and the record say.

A step is each opening, write, half write and ``fsync`` of the record, and each stage of a push: sent, under way, accepted and not
answered, answered. ``kill`` keeps what was written, as the kernel does; ``power`` loses what was not yet synced.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from events import Closed, Opened, Withdrawn
from record.folder import record_path
from record.reader import read
from review import verify
from tests.builders import SESSION
from tests.fuzz.kinds import quiet
from tests.fuzz.session import RESTART_S, Killed, Life, Moments, Phone, begun, shown
from tests.virtual_loop import VirtualLoop

MODES = ("kill", "power")


def steps() -> list[str]:
    """Returns the name of each step of a session in which nobody dies."""
    with tempfile.TemporaryDirectory() as folder:
        return list(run(_told(Path(folder), -1, "kill")))


def killed(place: int, mode: str) -> str:
    """Kills the program at a step, and starts it again. Returns what is wrong then; empty if nothing is."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            run(_told(Path(folder), place, mode))
        except Exception as error:  # noqa: BLE001 - whatever is wrong is told with its place
            return f"{mode} at step {place}: {type(error).__name__}: {error}"
    return ""


def run(work: Any) -> Any:
    loop = VirtualLoop()
    try:
        with quiet():
            return loop.run_until_complete(work)
    finally:
        loop.close()


async def _told(folder: Path, place: int, mode: str) -> list[str]:
    """The whole story, with a death at that step."""
    clock, phone = begun(), Phone()
    died = asyncio.Event()

    def strike(name: str) -> None:
        moments.is_dead = True
        died.set()
        raise Killed(name)

    moments = phone.moments = Moments(place, strike)
    life = Life(folder, clock, phone, moments)
    running = asyncio.create_task(life.live())
    dying = asyncio.create_task(died.wait())
    await asyncio.wait({running, dying}, return_when=asyncio.FIRST_COMPLETED)
    if died.is_set():
        if mode == "power":
            for file in life.files:
                file.lose_power()
        running.add_done_callback(lambda task: task.cancelled() or task.exception())
        await life.bury()
        await clock.sleep(RESTART_S)
        phone.moments = Moments(-1, strike)
        life = Life(folder, clock, phone, phone.moments)
        await life.live()
    else:
        await running
    await life.bury()
    check(folder, phone)
    return moments.names


def decisions(folder: Path, kind: type) -> list[Any]:
    """Returns the decisions of a kind in the record."""
    record = read(record_path(folder, SESSION.date))
    assert not record.torn, f"{record.torn} torn bytes are left"
    return [
        decision for entry in record.entries for decision in entry.decisions if isinstance(decision, kind)
    ]


def check(folder: Path, phone: Phone) -> None:
    """No SELL lost, no BUY without its position, nothing told twice unmarked, and a record that derives again."""
    verify.check(record_path(folder, SESSION.date))
    opened, closed, withdrawn = (decisions(folder, kind) for kind in (Opened, Closed, Withdrawn))
    gone = {decision.id for decision in withdrawn}
    held = [decision.id for decision in opened if decision.id not in gone]
    words = shown(folder, phone)
    assert [decision.id for decision in closed if decision.id not in gone] == held, f"not sold\n{words}"
    for name in held:
        sells = [message for message in phone.pushes("SELL") if f"#{name}" in message["message"]]
        assert sells, f"SELL of {name} lost\n{words}"
        assert sum("Repeat of" not in message["message"] for message in sells) <= 1, (
            f"SELL told twice, unmarked\n{words}"
        )
    known = {decision.id for decision in opened}
    buys = phone.pushes("BUY")
    for message in buys:
        assert any(f"#{name}" in message["message"] for name in known), f"a BUY of nothing\n{words}"
    unmarked = Counter(message["message"][-7:] for message in buys if "Repeat of" not in message["message"])
    assert all(count == 1 for count in unmarked.values()), f"BUY told twice, unmarked\n{words}"


def failures(places: Sequence[int]) -> list[str]:
    """Kills the program at each of these steps in each mode. Returns what is wrong."""
    return [wrong for place in places for mode in MODES if (wrong := killed(place, mode))]
