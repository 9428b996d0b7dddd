"""The vendor's own client: ``client.list_snapshot_options_chain(...)`` builds its models from the same bytes.

``python -m benchmarks.peers.massive_chain PAGE TIMES``. Its HTTP pool is a page in memory and costs it nothing. It
does not rank: whoever uses it has that still to do.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from massive import RESTClient  # type: ignore[import-untyped]
from massive.rest.models import OptionContractSnapshot  # type: ignore[import-untyped]

from benchmarks.contest import Stopwatch
from benchmarks.measured import tell, told

WARM = 3


class Answer:
    """What the pool hands back."""

    status = 200

    def __init__(self, data: bytes) -> None:
        self.data = data


class Memory:
    """A pool that always has the same answer."""

    def __init__(self, body: bytes) -> None:
        self._answer = Answer(body)

    def request(self, *_: Any, **__: Any) -> Answer:
        """The page."""
        return self._answer


def shown(snapshot: OptionContractSnapshot) -> tuple[str, float, float, float, float, float, float]:
    """What is compared."""
    details, quote = snapshot.details, snapshot.last_quote
    sizes = float(quote.bid_size), float(quote.ask_size)
    strike = float(details.strike_price)
    return details.ticker, strike, quote.bid, quote.ask, *sizes, float(snapshot.open_interest)


def main() -> None:
    """Build the models, and tell."""
    body, times = Path(sys.argv[1]).read_bytes(), int(sys.argv[2])
    client = RESTClient(api_key="benchmark-key")
    client.client = Memory(body)
    watch = Stopwatch()
    chain: list[OptionContractSnapshot] = []
    for number in range(WARM + times):
        if number == WARM:
            watch.start()
        chain = list(client.list_snapshot_options_chain("IWM", params={"limit": 250}))
    watch.stop()
    tell(told(watch, [shown(snapshot) for snapshot in chain]))


if __name__ == "__main__":
    main()
