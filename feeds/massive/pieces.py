"""Finds the whole objects in a text that is broken JSON, so that what is broken costs only itself. Pure, in linear time."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from errors import TheirError

_PIECE = re.compile(
    rb"""\{(?>[^{}"]+|"(?>[^"\\]+|\\.)*+")*+\}   # a whole object without another in it: most events are one
    | "(?>[^"\\]+|\\.)*+"                        # a text, with whatever brackets in it
    | [{}\[\]"]                                   # a bracket, or the quote of a text that never ends
    """,
    re.DOTALL | re.VERBOSE,
)
"""Finds the structure of a broken text. Its possessive groups never backtrack, so it takes linear time."""

OPENING_BRACE = ord("{")

_ROWS = re.compile(rb'"results"\s*:\s*\[')

_CLOSES = {b"{": b"}", b"[": b"]"}

LISTS_TRIED = 3
"""How many lists named ``results`` are tried: the page's own may not be the first."""


def whole_objects(frame: bytes, pieces_max: int) -> Iterable[bytes]:
    """Yields each complete object that is directly in the list of a broken frame.

    An object inside another one is a part of that one and not an event. Stops at the beginning of a text that never ends:
    everything after it may belong to that text. Reads at most ``pieces_max`` pieces.
    """
    braces = brackets = begin = 0
    for piece in itertools.islice(_PIECE.finditer(frame), pieces_max):
        at, end = piece.span()
        if end - at > 1:
            if frame[at] == OPENING_BRACE and not braces and brackets <= 1:
                yield piece[0]
            continue
        match frame[at : at + 1]:
            case b"{":
                begin = begin if braces else at
                braces += 1
            case b"}":
                braces = max(0, braces - 1)
                if not braces and brackets <= 1:
                    yield frame[begin:end]
            case b"[":
                brackets += not braces
            case b"]":
                brackets -= not braces and brackets > 0
            case _:
                return


class Unbalanced(TheirError, ValueError):
    """A text whose brackets or quotes have no partners: where its rows end, nobody can tell."""


class Split(NamedTuple):
    """A page in two: everything around its rows, with an empty list in their place, and each row."""

    envelope: bytes
    rows: list[bytes]


def splits_of(body: bytes, pieces_max: int) -> Iterator[Split]:
    """Yields how a page may be split at a list named ``results``: the first whose envelope is one is right.

    Raises Unbalanced, also for a list of more than ``pieces_max`` pieces.
    """
    for begin in itertools.islice(_ROWS.finditer(body), LISTS_TRIED):
        rows, end = _rows(body, begin.end(), pieces_max)
        yield Split(body[: begin.end()] + body[end:], rows)


def _rows(body: bytes, start: int, pieces_max: int) -> tuple[list[bytes], int]:
    """Returns the rows of the list that begins before ``start``, and where its closing bracket is. Raises Unbalanced."""
    rows: list[bytes] = []
    around: list[bytes] = []
    row_at = edge = start
    for piece in itertools.islice(_PIECE.finditer(body, start), pieces_max):
        at, end = piece.span()
        kind = body[at : at + 1]
        if end - at > 1:
            if not around and kind == b"{":
                rows += [*_scraps(body[edge:at]), piece[0]]
                edge = end
        elif kind in _CLOSES:
            row_at = row_at if around else at
            around.append(kind)
        elif not around and kind == b"]":
            return [*rows, *_scraps(body[edge:at])], at
        elif not around or _CLOSES[around.pop()] != kind:
            raise Unbalanced
        elif not around:
            rows += [*_scraps(body[edge:row_at]), body[row_at:end]]
            edge = end
    raise Unbalanced


def _scraps(between: bytes) -> Iterator[bytes]:
    """Yields what stands between two objects and is none, such as a number: a row, too, and a bad one."""
    return (scrap for scrap in between.split(b",") if scrap.strip())
