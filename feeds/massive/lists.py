"""Requests the lists that REST answers page by page."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import TypeVar

import httpx
import msgspec

from feeds.massive.bad_input import BadInput, BadReason, beginning
from feeds.massive.errors import RestError, RestErrorKind
from feeds.massive.http_client import HttpClient, Params, origin_of
from feeds.massive.numbers import value_of
from feeds.massive.pages import Page, RowDecoder
from feeds.vendor import LIST_DEADLINES
from threads import Threads

T = TypeVar("T")

PAGES_MAX = 20
"""The most pages of one list. A chain has one or two, and so has a day of seconds."""

LIST_ROWS_MAX = 100_000
"""The most rows of one list: a day has 86,400 seconds."""

FINE_STATUSES = frozenset({"OK", "DELAYED"})
"""The vendor's statuses of a usable answer."""


class Lists:
    """Requests every page of a list. ``bad`` counts the rows that cannot be decoded."""

    def __init__(self, http: HttpClient, bad: BadInput, threads: Threads) -> None:
        self._http = http
        self._threads = threads
        self._bad = bad

    async def rows(
        self, path: str, params: Params, decoder: RowDecoder[T], limit: int, ticker: str | None = None
    ) -> tuple[list[T], bool, int]:
        """Returns the rows of every page, whether they are delayed, and how many more were broken.

        ``limit`` is the most bytes of a page. ``ticker`` is the symbol that the answer must be of, if it names one. Raises
        RestError if any page fails, because a list with a hole is useless, and if every row is broken.
        """
        try:
            async with asyncio.timeout(LIST_DEADLINES * self._http.deadline_s):
                return await self._pages(self._http.address(path, params), decoder, limit, ticker)
        except TimeoutError:
            raise RestError(RestErrorKind.TIMEOUT, "its pages do not end in time") from None

    async def _pages(
        self, url: httpx.URL, decoder: RowDecoder[T], limit: int, ticker: str | None
    ) -> tuple[list[T], bool, int]:
        rows: list[T] = []
        broken: list[bytes] = []
        delayed = False
        seen = {str(url)}
        for _ in range(PAGES_MAX):
            page, undecodable = await decoder.decode(await self._http.get(url, limit), self._threads)
            rows += self._results(page, is_empty=not undecodable)
            broken += undecodable
            delayed = delayed or is_delayed(page.status)
            if ticker is not None and value_of(page.ticker) not in (None, ticker):
                raise RestError(RestErrorKind.BAD_BODY, "another symbol than was asked for")
            if len(rows) + len(broken) > LIST_ROWS_MAX:
                raise RestError(RestErrorKind.BAD_BODY, f"more than {LIST_ROWS_MAX} rows")
            if not page.next_url:
                self._count_broken(broken)
                if broken and not rows:
                    raise RestError(RestErrorKind.BAD_BODY, f"none of its {len(broken)} rows is usable")
                return rows, delayed, len(broken)
            url = self._next(page.next_url)
            if str(url) in seen:
                raise RestError(RestErrorKind.BAD_BODY, "the next page is one already seen")
            seen.add(str(url))
        raise RestError(RestErrorKind.BAD_BODY, f"more than {PAGES_MAX} pages")

    def _count_broken(self, broken: Sequence[bytes]) -> None:
        if broken:
            self._bad.add(BadReason.EVENT, broken[0], times=len(broken))

    def _results(self, page: Page[T], *, is_empty: bool) -> list[T]:
        """Returns the rows of a page. Raises RestError for an empty page unless it says so: with ``[]``, or a count of 0."""
        check_status(page.status, self._http.scrub)
        results, count = page.results, value_of(page.results_count)
        if results is msgspec.UNSET and count == 0:
            results = []
        if not isinstance(results, list):
            raise RestError(RestErrorKind.BAD_BODY, "no results in it")
        if not results and is_empty and (page.status is None or count not in (None, 0)):
            raise RestError(RestErrorKind.BAD_BODY, "empty, and it does not say that it should be")
        return results

    def _next(self, address: str) -> httpx.URL:
        """Returns the next page's URL unchanged. Raises RestError for another server's: it would get the key."""
        try:
            url, base = httpx.URL(address), httpx.URL(self._http.base)
            is_ours = origin_of(url) == origin_of(base) and not url.userinfo
        except (httpx.InvalidURL, TypeError, ValueError):
            raise RestError(RestErrorKind.BAD_BODY, "the next page has no address") from None
        if not is_ours:
            raise RestError(RestErrorKind.BAD_BODY, "the next page is on another server; it was not asked")
        return url


def check_status(status: str | None, scrub: Callable[[str], str]) -> None:
    """Raises RestError unless ``status`` is one of `FINE_STATUSES` or absent."""
    if status is not None and status.upper() not in FINE_STATUSES:
        raise RestError(RestErrorKind.BAD_BODY, f"status {shown(status, scrub)}")


def is_delayed(status: str | None) -> bool:
    """Returns whether the vendor says that the answer is 15 minutes old."""
    return status is not None and status.upper() == "DELAYED"


def shown(text: str, scrub: Callable[[str], str]) -> str:
    """Returns an unknown word of the vendor's for the log: its first 40 characters, or ``(none)``."""
    return beginning(text, scrub, 40) or "(none)"
