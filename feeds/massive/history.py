"""The vendor's REST about the past: which calls were listed on a date, and every quote of one of them.

The worker never loads this: `research` does, to fetch sessions.
"""

from __future__ import annotations

from urllib.parse import quote

import msgspec

from events import SECOND, Quote
from feeds.massive.bad_input import BadReason, BadValue
from feeds.massive.errors import RestError, RestErrorKind
from feeds.massive.http_client import SECONDS_BODY_BYTES
from feeds.massive.numbers import FIELDS, NANOSECONDS, UNDECODABLE, amount_of, loose, option_price, time_us
from feeds.massive.pages import Page, RowDecoder
from feeds.massive.rest import Rest
from feeds.massive.rows import Details, contract_terms
from feeds.vendor import ListedCall

CONTRACTS_PAGE_ROWS = 1_000
"""The vendor's maximum for a list of contracts (its default is 10)."""

CONTRACTS_BODY_BYTES = 2 * 1024 * 1024
"""The longest page of contracts, bytes. One of 1,000 has 350 kB."""

QUOTES_PAGE_ROWS = 50_000
"""The vendor's maximum for quotes (its default is 1,000)."""

QUOTES_BODY_BYTES = SECONDS_BODY_BYTES * 2
"""The longest page of quotes, bytes. One of 50,000 has 9 MB."""


class QuoteRow(msgspec.Struct, frozen=True, gc=False):
    """One past quote, as on the wire; an absent side has no fields."""

    sip_timestamp: int | float | None = None
    bid_price: float | None = None
    ask_price: float | None = None
    bid_size: float | None = None
    ask_size: float | None = None


def _decode_contract(raw: msgspec.Raw) -> Details:
    """Returns one contract's row. Raises BadValue."""
    try:
        return msgspec.json.decode(raw, type=Details)
    except UNDECODABLE:
        raise BadValue(BadReason.EVENT) from None


def _decode_quote(raw: msgspec.Raw) -> QuoteRow:
    """Returns one quote's row. Raises BadValue."""
    try:
        return msgspec.json.decode(raw, type=QuoteRow)
    except UNDECODABLE:
        pass
    try:
        fields = FIELDS.decode(raw)
        return QuoteRow(**{name: loose(fields.get(name)) for name in QuoteRow.__struct_fields__})
    except UNDECODABLE:
        raise BadValue(BadReason.EVENT) from None


CONTRACT_ROWS = RowDecoder(
    msgspec.json.Decoder(Page[Details]),
    _decode_contract,
    rows_max=CONTRACTS_PAGE_ROWS,
    values_max=CONTRACTS_PAGE_ROWS * 60,  # the vendor's rows have 9, more with deliverables
)

QUOTE_ROWS = RowDecoder(
    msgspec.json.Decoder(Page[QuoteRow]),
    _decode_quote,
    rows_max=QUOTES_PAGE_ROWS,
    values_max=QUOTES_PAGE_ROWS * 20,  # 8
)


class RestHistory(Rest):
    """The vendor's REST about the past. Its methods raise only RestError for a fault of the vendor or the network."""

    async def calls_on(self, underlying: str, day: str) -> list[ListedCall]:
        """Returns the calls of ``underlying`` that expire on ``day`` (ISO), as they were listed on that day, by strike.

        Raises RestError, also if not one row of an answer can be used.
        """
        params: list[tuple[str, str | int | float | bool | None]] = [
            ("underlying_ticker", underlying),
            ("contract_type", "call"),
            ("expiration_date", day),
            ("as_of", day),
            ("limit", CONTRACTS_PAGE_ROWS),
            ("sort", "strike_price"),
            ("order", "asc"),
        ]
        path = "/v3/reference/options/contracts"
        found, _, _ = await self._lists.rows(path, params, CONTRACT_ROWS, CONTRACTS_BODY_BYTES)
        calls: dict[str, ListedCall] = {}
        for row in found:
            try:
                strike, shares = contract_terms(row, underlying, day)
            except BadValue as error:
                self.bad.add(error.reason, row)
                continue
            name = row.ticker or ""
            calls[name] = ListedCall(name, strike, shares)
        if found and not calls:
            raise RestError(RestErrorKind.BAD_BODY, f"none of its {len(found)} rows is usable")
        return sorted(calls.values(), key=lambda call: (call.strike, call.contract))

    async def past_quotes(self, contract: str, start_us: int, end_us: int) -> list[Quote]:
        """Returns the quotes of ``contract`` that were made in [start_us, end_us), oldest first.

        Raises RestError, also if not one row of an answer can be used, or if all are of another time.
        """
        params: dict[str, str | int] = {
            "timestamp.gte": start_us * NANOSECONDS,
            "timestamp.lt": end_us * NANOSECONDS,
            "order": "asc",
            "sort": "timestamp",
            "limit": QUOTES_PAGE_ROWS,
        }
        path = f"/v3/quotes/{quote(contract, safe=':')}"
        found, _, unusable = await self._lists.rows(path, params, QUOTE_ROWS, QUOTES_BODY_BYTES)
        quotes: list[Quote] = []
        outside = 0
        for row in found:
            try:
                made = self._past_quote(contract, row, end_us)
            except BadValue as error:
                self.bad.add(error.reason, row)
                unusable += 1
                continue
            if start_us <= made.at < end_us:
                quotes.append(made)
            else:
                outside += 1
        if outside or (unusable and not quotes):
            raise RestError(RestErrorKind.BAD_BODY, f"{outside} quotes of another time, {unusable} unusable")
        return sorted(quotes, key=lambda made: made.at)

    def _past_quote(self, contract: str, row: QuoteRow, end_us: int) -> Quote:
        return Quote(
            contract=contract,
            at=time_us(row.sip_timestamp, 1, NANOSECONDS, end_us + SECOND),
            bid=option_price(row.bid_price),
            ask=option_price(row.ask_price),
            bid_size=amount_of(row.bid_size),
            ask_size=amount_of(row.ask_size),
        )
