"""What the phone shows of a made session's one BUY and one SELL, and waiting for them."""

from __future__ import annotations

import re

from tests.stage import Stage

BUY = re.compile(
    r"""IWM \$\d+\.\d\d \| VWAP \$\d+\.\d\d \(\+\d\.\d\d%\)
Momentum \+0\.\d{3,}%/s \| Vol Z\d+\.\d

📊 (?P<contract>O:IWM251002C\d{8}) 2025-10-02 \d+(\.5)?c
Δ0\.\d{2,6}( \(outside 0\.30–0\.45\))? IV\d+\.\d%

💰 Entry ~\$\d\.\d\d \(mid \$\d\.\d\d5? \+\$0\.0\d5?\)
Spread \d\.\d% \| Size \d+×\d+

⚠️ Hard Giveback 30% \| Time Stop 15:55 ET

Pay ≤ \$\d\.\d\d until \d\d:\d\d:\d\d \| Stop \$\d\.\d\d5?
No SELL by 15:55\? Close it yourself\.
#(?P<id>[0-9a-f]{6})"""
)

SELL = re.compile(
    r"""Reason: (?P<reason>.+)

IWM \$\d+\.\d\d \| VWAP \$\d+\.\d\d
Peak \$\d\.\d\d5? → Now \$\d\.\d\d5?

📊 (?P<contract>O:IWM251002C\d{8})
(🟢 P&L: \+|🔴 P&L: -)\d+\.\d%

✅ Close at market / best bid

Entry \$\d\.\d\d at 10:\d\d:\d\d, held \d+m?\d*s \| Bid \$\d\.\d\d×\d+ \([+-]\d+\.\d%\)
#(?P<id>[0-9a-f]{6})"""
)


async def bought(play: Stage) -> None:
    await play.until(lambda: play.titles("BUY"), 240, "BUY")


async def sold(play: Stage) -> None:
    await play.until(lambda: play.titles("SELL"), 300, "SELL")


def check_one_of_each(play: Stage) -> None:
    """Exactly one BUY and one SELL, of one position, word for word."""
    (bought_title,), (sold_title,) = play.titles("BUY"), play.titles("SELL")
    assert re.fullmatch(r"🔥 IWM 0DTE CALL — BUY \d+(\.5)?c ≤ \$\d\.\d\d \(\d\d? s\)", bought_title), (
        bought_title
    )
    assert re.fullmatch(r"🚪 IWM 0DTE CALL — SELL [+-]\d+\.\d %", sold_title), sold_title
    texts = {
        message.title.rpartition("— ")[2].partition(" ")[0]: message.text
        for message in play.pushover.messages
    }
    buy, sell = BUY.fullmatch(texts["BUY"]), SELL.fullmatch(texts["SELL"])
    assert buy, texts["BUY"]
    assert sell, texts["SELL"]
    assert buy["id"] == sell["id"]
    assert buy["contract"] == sell["contract"]


def check_one_of_each_beside_the_feed(play: Stage) -> None:
    assert len(play.titles("feed blind")) == 1
    assert len(play.titles("feed recovered")) == 1
    assert len(play.titles("BUY")) == len(play.titles("SELL")) == 1
