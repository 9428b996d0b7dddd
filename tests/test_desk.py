"""A session's desk: what it makes of a record that an earlier start has left."""

from __future__ import annotations

from pathlib import Path

from pydantic import SecretStr

import alerts
from config import Settings
from desk import Desk
from events import Event, FeedRestored, Tick
from journal import Entry, Journal, Reader, record_path
from tests.builders import SESSION, at
from utils import ScaledClock


def desk(folder: Path, held: list[Event]) -> Desk:
    settings = Settings(
        polygon_api_key=SecretStr("key"),
        pushover_token=SecretStr("a" * 30),
        pushover_user_key=SecretStr("b" * 30),
        data_dir=folder,
    )
    sender = alerts.Sender(settings, ScaledClock(at(100), 1.0), held.append, lambda _: None)
    return Desk(settings, SESSION, Journal(record_path(folder, SESSION.date)), sender, held.append)


async def test_a_clock_behind_the_record_stands_still_until_it_has_caught_up(tmp_path: Path) -> None:
    path, held = record_path(tmp_path, SESSION.date), list[Event]()
    first = desk(tmp_path, held)
    first.begin(at(0), None)
    first.take(at(10), FeedRestored())
    first.take(at(20), Tick())
    await first.end()
    second, past = desk(tmp_path, held), Reader(path)
    second.begin(at(19.5), past)
    second.resume(at(19.5), past)
    second.take(at(19.75), Tick())
    second.take(at(20.25), Tick())
    await second.end()
    times = [line.now for line in Reader(path) if isinstance(line, Entry)]
    assert times == [at(10), at(20), at(20), at(20), at(20.25)]
    assert held == []
