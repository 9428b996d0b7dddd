"""The simulated option chain: same-day calls and puts on a fund whose price is known at any time.

Pure: every question names the time it is about, and its answer depends on the seed, the session and the fund's
price alone.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from events import Session
from sim.chain_rows import ChainRows
from sim.contracts import Contract, OptionQuote, list_contracts
from sim.quoter import Quoter


class Options(ABC):
    """The options on ``symbol`` that end with the session. ``first`` is when the simulated day begins, µs."""

    def __init__(self, seed: int, session: Session, symbol: str, first: int) -> None:
        self.seed, self.session, self.symbol = seed, session, symbol
        self._contracts = {
            contract.ticker: contract for contract in list_contracts(symbol, session, self.spot(session.open))
        }
        self._quoter = Quoter(seed, session, first, self.spot)
        self._rows = ChainRows(self._quoter, session, symbol)

    @abstractmethod
    def spot(self, at: int) -> float:
        """The fund's price at ``at`` (µs), dollars."""

    @property
    def listed(self) -> tuple[Contract, ...]:
        """Every listed contract, in the list's order."""
        return tuple(self._contracts.values())

    def contracts(self) -> tuple[str, ...]:
        """Tickers of every listed contract, in the list's order."""
        return tuple(self._contracts)

    def strike(self, contract: str) -> float:
        """Strike of a listed contract, dollars. Raises KeyError for any other."""
        return self._contracts[contract].strike

    def quote(self, contract: str, at: int) -> OptionQuote | None:
        """The bid and ask of ``contract`` that stand at ``at`` (µs); None for a contract that is not listed."""
        listed = self._contracts.get(contract)
        return None if listed is None else self._quoter.quote(listed, at)

    def row(self, contract: str, at: int) -> dict[str, Any] | None:
        """The vendor's snapshot row of ``contract`` at ``at`` (µs); None for a contract that is not listed."""
        listed = self._contracts.get(contract)
        return None if listed is None else self.row_of(listed, at)

    def row_of(self, contract: Contract, at: int) -> dict[str, Any]:
        """The vendor's snapshot row of a listed contract at ``at`` (µs)."""
        return self._rows.row(contract, at)

    def chain(self, at: int) -> list[dict[str, Any]]:
        """The vendor's snapshot rows of today's whole chain at ``at`` (µs), calls and puts, by ticker."""
        return [self.row_of(contract, at) for contract in self._contracts.values()]
