"""What a worker's parts are handed, without a worker."""

from __future__ import annotations

import random
from pathlib import Path

from delivery.sender import Sender
from pictures.process import drawn_apart
from record.disk import DiskFile
from tests.builders import at
from tests.worker.test_session import settings
from threads import Threads
from utils import ScaledClock
from worker.context import Context
from worker.inbox import Inbox
from worker.pictures import Pictures


def context_of(folder: Path, threads: Threads) -> Context:
    """What a worker's parts are handed, with threads of one's own."""
    chosen, clock, inbox = settings(folder), ScaledClock(at(0), 1.0), Inbox()
    sender = Sender(chosen, clock, inbox.put_now, lambda _: None)
    return Context(
        settings=chosen,
        rules=chosen.rules,
        clock=clock,
        random_source=random.Random(1),
        opener=DiskFile,
        threads=threads,
        transport=None,
        dial=None,
        inbox=inbox,
        sender=sender,
        pictures=Pictures(sender, clock, drawn_apart, is_on=False),
    )
