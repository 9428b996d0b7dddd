"""Decodes the pages of REST, so that a bad row costs only itself."""

from __future__ import annotations

import asyncio
import json
import math
import re
from collections.abc import Callable, Sized
from functools import partial
from typing import Any, Generic, TypeVar

import msgspec

from feeds.massive.bad_input import BadReason, BadValue
from feeds.massive.errors import RestError, RestErrorKind
from feeds.massive.numbers import LONGEST_NUMBER, NO_VALUE, UNDECODABLE
from feeds.massive.pieces import Unbalanced, splits_of
from network import SLOW_FREE_BYTES, slow_numbers
from threads import Threads, in_thread

T = TypeVar("T")


class Page(msgspec.Struct, Generic[T], frozen=True):
    """One page of a list. ``results`` may be absent if there are none; null is not an answer."""

    status: str | None = None
    results: list[T] | msgspec.UnsetType | None = msgspec.UNSET
    next_url: str | None = None
    results_count: msgspec.Raw = msgspec.field(default=NO_VALUE, name="resultsCount")
    ticker: msgspec.Raw = NO_VALUE


class RowDecoder(Generic[T]):
    """Decodes pages of one kind of row: a whole page at once or, if that fails, row by row.

    ``rows_max`` is how many rows are requested, ``values_max`` the most JSON values that this many rows have.
    """

    def __init__(
        self,
        page: msgspec.json.Decoder[Page[T]],
        row: Callable[[bytes], T],
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
        is_long = len(body) > BROKEN_ON_LOOP_BYTES
        if is_long:
            await asyncio.sleep(0)
        if body.count(b",") > self._values_max or body.count(b"{") > self._values_max // VALUES_IN_OBJECT:
            raise RestError(RestErrorKind.BAD_BODY, "more values than were asked for")
        has_slow = await _has_slow(body)
        broken: list[bytes] = []
        try:
            if has_slow:
                raise msgspec.DecodeError
            page = self._page.decode(body)
        except UNDECODABLE:
            if is_long:
                page, broken = await in_thread(
                    threads, "page", partial(self._decode_row_by_row, body, has_slow)
                )
            else:
                page, broken = self._decode_row_by_row(body, has_slow)
        self._check_count(page.results, len(broken))
        return page, broken

    def _check_count(self, rows: Sized | msgspec.UnsetType | None, more: int = 0) -> None:
        """Raises RestError if a page has more rows than were requested."""
        if rows and len(rows) + more > ROWS_SLACK * self._rows_max:
            raise RestError(RestErrorKind.BAD_BODY, "more rows than were asked for")

    def _decode_row_by_row(self, body: bytes, has_slow: bool) -> tuple[Page[T], list[bytes]]:
        page, raw_rows = self._split(body)
        self._check_count(raw_rows)
        rows: list[T] = []
        broken: list[bytes] = []
        slow_left = SLOW_MAX
        for raw in raw_rows:
            try:
                if has_slow and (slow := slow_numbers(raw)):
                    slow_left -= slow
                    if slow_left < 0:
                        raise BadValue(BadReason.NUMBER)
                rows.append(self._decode_row(raw))
            except BadValue:
                broken.append(raw)
        good: Page[T] = Page(
            status=page.status,
            results=rows if isinstance(page.results, list) else page.results,
            next_url=page.next_url,
            results_count=page.results_count,
            ticker=page.ticker,
        )
        return good, broken

    def _decode_row(self, raw: bytes) -> T:
        """Returns a row, mended if it is no JSON. Raises BadValue."""
        try:
            return self._row(raw)
        except BadValue:
            if _is_json(raw) or (mended := _mended(raw)) is None:
                raise
        return self._row(mended)

    def _split(self, body: bytes) -> tuple[Page[msgspec.Raw], list[bytes]]:
        """Returns a page whose rows are left out, and its rows. Raises RestError."""
        try:
            for envelope, rows in splits_of(body, self._values_max):
                page = decode_body(envelope, Page[msgspec.Raw])
                if page.results == []:
                    return page, rows
        except Unbalanced:
            raise RestError(RestErrorKind.BAD_BODY, NOT_JSON) from None
        page = decode_body(body, Page[msgspec.Raw])
        if page.results:
            raise RestError(RestErrorKind.BAD_BODY, NOT_JSON)
        return page, []


SLOW_MAX = 2_000
"""How many numbers that take long to read a page may have: they take 20 ms. With more, it is decoded row by row, and rows that
hold one are bad."""

MENDED_BYTES = 64 * 1024
"""The most bytes of a broken text that are mended: a row, a short answer, or what stands around a page's rows. Each has fewer
than 2,000."""

NOT_JSON = "not the JSON that was asked for"


async def _has_slow(body: bytes) -> bool:
    """Returns whether a page has more than `SLOW_MAX` numbers that take long to read. Gives the event loop its turns."""
    if len(body) <= SLOW_FREE_BYTES:
        return False
    slow = 0
    for begin in range(0, len(body), LOOKED_THROUGH_BYTES):
        slow += slow_numbers(body[begin : begin + LOOKED_THROUGH_BYTES])
        if len(body) > LOOKED_THROUGH_BYTES:
            await asyncio.sleep(0)
    return slow > SLOW_MAX


LOOKED_THROUGH_BYTES = 1024 * 1024
"""How much of a page is looked through for them in one turn of the event loop: this much takes 7 ms at most."""

BROKEN_ON_LOOP_BYTES = 256 * 1024
"""A broken page longer than this is decoded in a thread: this much blocks the event loop for 20 ms."""

VALUES_IN_OBJECT = 4
"""A page may have one object for this many values. The vendor's rows have one for six to nine."""

ROWS_SLACK = 2
"""A page may have this many times the requested rows."""


def decode_body(body: bytes, kind: type[T]) -> T:
    """Returns a whole answer. Raises RestError(BAD_BODY).

    A bare NaN, an overflowing number or an unpaired surrogate makes a whole answer invalid JSON. This repairs a short one:
    impossible numbers become text, and what JSON cannot express is left out.
    """
    try:
        return msgspec.json.decode(body, type=kind)
    except UNDECODABLE:
        pass
    try:
        return msgspec.json.decode(_mended(body) or b"", type=kind)
    except UNDECODABLE:
        raise RestError(RestErrorKind.BAD_BODY, NOT_JSON) from None


def _is_json(text: bytes) -> bool:
    try:
        msgspec.json.decode(text, type=msgspec.Raw)
    except UNDECODABLE:
        return False
    return True


def _mended(text: bytes) -> bytes | None:
    """Returns JSON for a short text that is nearly JSON; None if it cannot be mended."""
    if len(text) > MENDED_BYTES:
        return None
    try:
        mended = json.loads(
            text.decode(errors="replace"),
            parse_constant=str,
            parse_float=_number_or_text,
            parse_int=_number_or_text,
        )
        return _without_surrogates(mended)
    except (ValueError, TypeError, OverflowError, RecursionError):
        return None


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
