"""Decodes the pages of REST, so that a bad row costs only itself."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from functools import partial
from typing import Any, Generic, TypeVar

import msgspec

from feeds.massive.bad_input import BadValue
from feeds.massive.errors import RestError, RestErrorKind
from feeds.massive.numbers import LONGEST_NUMBER, UNDECODABLE
from threads import Threads, in_thread

T = TypeVar("T")


class Page(msgspec.Struct, Generic[T], frozen=True):
    """One page of a list. ``results`` may be absent if there are none; null is not an answer."""

    status: str | None = None
    results: list[T] | msgspec.UnsetType | None = msgspec.UNSET
    next_url: str | None = None
    results_count: Any = msgspec.field(default=None, name="resultsCount")
    ticker: Any = None


class RowDecoder(Generic[T]):
    """Decodes pages of one kind of row: a whole page at once or, if that fails, row by row.

    ``rows_max`` is how many rows are requested, ``values_max`` the most JSON values that this many rows have.
    """

    def __init__(
        self,
        page: msgspec.json.Decoder[Page[T]],
        row: Callable[[msgspec.Raw], T],
        *,
        rows_max: int,
        values_max: int,
    ) -> None:
        self._page = page
        self._row = row
        self._rows_max = rows_max
        self._values_max = values_max

    async def decode(self, body: bytes, threads: Threads) -> tuple[Page[T], list[bytes]]:
        """Returns a page with its good rows, and the bad rows' bytes. Raises RestError(BAD_BODY).

        Decodes a long page with bad rows in a thread of ``threads``, because that takes long.
        """
        if body.count(b",") > self._values_max:
            raise RestError(RestErrorKind.BAD_BODY, "more values than were asked for")
        broken: list[bytes] = []
        try:
            page = self._page.decode(body)
        except UNDECODABLE:
            if len(body) > BROKEN_ON_LOOP_BYTES:
                page, broken = await in_thread(threads, "page", partial(self._decode_row_by_row, body))
            else:
                page, broken = self._decode_row_by_row(body)
        if page.results and len(page.results) + len(broken) > ROWS_SLACK * self._rows_max:
            raise RestError(RestErrorKind.BAD_BODY, "more rows than were asked for")
        return page, broken

    def _decode_row_by_row(self, body: bytes) -> tuple[Page[T], list[bytes]]:
        page = decode_body(body, Page[msgspec.Raw])
        rows: list[T] = []
        broken: list[bytes] = []
        for raw in page.results or ():
            try:
                rows.append(self._row(raw))
            except BadValue:
                broken.append(bytes(raw))
        good: Page[T] = Page(
            status=page.status,
            results=rows if isinstance(page.results, list) else page.results,
            next_url=page.next_url,
            results_count=page.results_count,
            ticker=page.ticker,
        )
        return good, broken


BROKEN_ON_LOOP_BYTES = 256 * 1024
"""A broken page longer than this is decoded in a thread: this much blocks the event loop for 20 ms."""

ROWS_SLACK = 2
"""A page may have this many times the requested rows."""


def decode_body(body: bytes, kind: type[T]) -> T:
    """Returns a whole answer. Raises RestError(BAD_BODY).

    A bare NaN, an overflowing number or an unpaired surrogate makes a whole page invalid JSON. This repairs such a page:
    impossible numbers become text, and what JSON cannot express is left out. Then each fault costs only its own row.
    """
    try:
        return msgspec.json.decode(body, type=kind)
    except UNDECODABLE:
        pass
    try:
        mended = json.loads(
            body.decode(errors="replace"),
            parse_constant=str,
            parse_float=_number_or_text,
            parse_int=_number_or_text,
        )
        return msgspec.json.decode(_without_surrogates(mended), type=kind)
    except (ValueError, TypeError, OverflowError, RecursionError):
        raise RestError(RestErrorKind.BAD_BODY, "not the JSON that was asked for") from None


def _without_surrogates(mended: Any) -> bytes:
    """Returns JSON. Leaves out a field that JSON cannot express, and replaces such a row with its text, which is no row."""
    if isinstance(mended, dict):
        if isinstance(rows := mended.get("results"), list):
            mended["results"] = [row if _is_encodable(row) else json.dumps(row) for row in rows]
        mended = {name: value for name, value in mended.items() if _is_encodable((name, value))}
    return msgspec.json.encode(mended)


def _is_encodable(value: Any) -> bool:
    try:
        msgspec.json.encode(value)
    except UnicodeError:
        return False
    return True


def _number_or_text(token: str) -> int | float | str:
    if len(token) > LONGEST_NUMBER or not math.isfinite(float(token)):
        return token
    return float(token) if re.search(r"[.eE]", token) else int(token)
