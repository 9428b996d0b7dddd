"""Puts together what the surroundings of a run saw: the story."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from sim.link import Link
from sim.network import Dial as SeenDial
from tests.simulation import days
from tests.simulation import story as told
from tests.simulation.services import PUSH_PATH, SeenPush, SeenQuestion
from tests.simulation.story import Place, Story

if TYPE_CHECKING:
    from tests.simulation.life import Life
    from tests.simulation.world import World

DIAL_ENDS = {
    "connected": told.DialEnd.CONNECTED,
    "refused": told.DialEnd.REFUSED,
    "unresolved": told.DialEnd.UNRESOLVED,
}


def tell(world: World, warm_bytes: int, healed_at: int, stopped_at: int, ended_at: int) -> Story:
    """Returns the story of a run that has ended."""
    return Story(
        seed=world.plan.seed,
        session=days.session().date,
        is_whole_session=world.plan.is_whole,
        began_at=world.plan.begin,
        healed_at=healed_at,
        stopped_at=stopped_at,
        ended_at=ended_at,
        folder=world.folder,
        warm_bytes=warm_bytes,
        settings=(("on_shutdown", world.on_shutdown),),
        lives=tuple(_life(world, life) for life in world.host.lives),
        injected=tuple(_injected(world)),
        dials=tuple(_dial(world, dial) for dial in world.network.dials),
        connections=tuple(_connection(world, link) for link in world.network.links),
        frames=tuple(
            told.Frame(seen.at, seen.connection, Place(seen.cluster), seen.payload, seen.arrived_at)
            for seen in world.services.frames
        ),
        requests=tuple(
            told.Request(at, number, Place(cluster), action, pairs)
            for at, number, cluster, action, pairs in world.services.requests
        ),
        questions=tuple(_question(world, seen) for seen in world.services.questions),
        pushes=_pushes(world),
        service_questions=tuple(_asked(world, seen) for seen in world.services.service_questions),
        acknowledged=tuple(world.acknowledged),
        beats=tuple(_beat(world, seen) for seen in world.services.beats),
        disk=tuple(world.disk_events),
        lines=tuple(world.console.lines),
        clock=tuple(world.clock_changes),
        files=tuple(_files(world)),
    )


def _life(world: World, life: Life) -> told.Life:
    at = world.services.at
    return told.Life(
        number=life.number,
        began_at=at(life.began_at),
        stop_asked_at=None if life.stop_asked_at is None else at(life.stop_asked_at),
        ended_at=None if life.ended_at is None else at(life.ended_at),
        end=life.end,
        status=life.status,
        error=life.error,
        pauses=tuple((at(begin), at(end)) for begin, end in life.pauses),
    )


def _injected(world: World) -> list[told.Injected]:
    found: list[told.Injected] = []
    for playing in world.playing:
        begin = world.plan.begin + round(playing.fault.at * 1_000_000)
        found.append(
            told.Injected(
                playing.number, str(playing.fault.kind), begin, max(begin, playing.ended_at), playing.hits
            )
        )
    return found


def _place(name: str) -> Place:
    return Place(name) if name in tuple(Place) else Place.UNKNOWN


def _dial(world: World, dial: SeenDial) -> told.Dial:
    at = world.services.at
    link = dial.link
    return told.Dial(
        at=at(dial.at),
        ended_at=None if dial.ended_at is None else at(dial.ended_at),
        life=world.host.number_of(dial.process),
        place=_place((dial.route if link is None else link.route).name),
        end=DIAL_ENDS.get(dial.end, told.DialEnd.GIVEN_UP),
        connection=None if link is None else link.number,
    )


def _connection(world: World, link: Link) -> told.Connection:
    at = world.services.at
    return told.Connection(
        number=link.number,
        life=world.host.number_of(link.process),
        place=_place(link.route.name),
        opened_at=at(link.opened_at),
        closed_at=None if link.closed_at is None else at(link.closed_at),
        ended_by="worker" if link.ended_by == "client" else link.ended_by,
        is_reset=link.is_reset,
        sent=link.directions[0].written,
        received=link.directions[1].delivered,
    )


def _question(world: World, seen: SeenQuestion) -> told.Question:
    return told.Question(
        at=seen.at,
        connection=seen.link.number,
        life=world.host.number_of(seen.link.process),
        method=seen.method,
        path=seen.path,
        query=seen.query,
        status=seen.status,
        answered_at=seen.answered_at,
        body=seen.body,
    )


def _asked(world: World, seen: SeenQuestion) -> told.ServiceQuestion:
    life = world.host.number_of(seen.link.process)
    return told.ServiceQuestion(seen.at, life, seen.path.removeprefix("/1/"), seen.status, seen.answered_at)


def _beat(world: World, seen: SeenQuestion) -> told.Beat:
    word = seen.path.removeprefix("/beat").strip("/")
    return told.Beat(seen.at, world.host.number_of(seen.link.process), word, seen.text, seen.status)


def _pushes(world: World) -> tuple[told.Push, ...]:
    """Every push by its first byte: those that the service has whole, and those of which it never had all."""
    whole = [_push(world, seen) for seen in world.services.pushes]
    for link in world.network.links:
        if link.asked is not None and link.asked[1].startswith(f"POST {PUSH_PATH} ".encode()):
            whole.append(_lost_push(world, link, link.asked[0]))
    return tuple(sorted(whole, key=lambda push: (push.first_byte_at, push.connection)))


def _push(world: World, seen: SeenPush) -> told.Push:
    return told.Push(
        life=world.host.number_of(seen.link.process),
        connection=seen.link.number,
        first_byte_at=seen.first_byte_at,
        fields=seen.fields,
        has_picture=seen.has_picture,
        arrived_at=seen.arrived_at,
        accepted_at=seen.accepted_at,
        status=seen.status,
        answered_at=seen.answered_at,
        answer_arrived_at=seen.answer_arrived_at,
        receipt=seen.receipt,
    )


def _lost_push(world: World, link: Link, began: float) -> told.Push:
    return told.Push(
        life=world.host.number_of(link.process),
        connection=link.number,
        first_byte_at=world.services.at(began),
        fields=(),
        has_picture=False,
        arrived_at=None,
        accepted_at=None,
        status=0,
        answered_at=None,
        answer_arrived_at=None,
        receipt="",
    )


def _files(world: World) -> list[told.LeftFile]:
    """The records and what lies beside them. The lease holds this process's id, and is none of the story's."""
    found: list[told.LeftFile] = []
    for path in sorted(world.folder.rglob("*")):
        if path.is_file() and path.name != "lease":
            data = path.read_bytes()
            name = str(path.relative_to(world.folder))
            found.append(told.LeftFile(name, len(data), hashlib.sha256(data).hexdigest()))
    return found
