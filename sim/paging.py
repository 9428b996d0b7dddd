"""Pages of the simulated vendor's REST: limits, opaque cursors, and the address of the next page."""

from __future__ import annotations

import base64
import json

from aiohttp import web

from sim.account import MarketAccount
from sim.rest_answers import BadRequestError
from sim.wire import dumps


def next_url(account: MarketAccount, request: web.Request, path: str) -> str:
    """The address of the next page at ``path``, misleading if a fault asks for it."""
    if fault := account.faults.take("next_url_offhost", path=request.path):
        return f"{fault['host']}{path}"
    if account.faults.take("next_url_loop", path=request.path):
        return f"{account.rest_url}{request.path_qs}"
    return f"{account.rest_url}{path}"


def write_cursor(query: dict[str, str]) -> str:
    """Packs a query, without the key, into a cursor."""
    kept = {name: value for name, value in query.items() if name not in ("apiKey", "cursor")}
    return base64.urlsafe_b64encode(dumps(kept).encode()).decode()


def read_cursor(cursor: str) -> dict[str, str]:
    """Returns the query in a cursor. Raises BadRequestError for what is none."""
    try:
        query = json.loads(base64.urlsafe_b64decode(cursor))
    except ValueError:
        raise BadRequestError("the cursor is not one of ours") from None
    return {str(name): str(value) for name, value in query.items()}


def read_limit(query: dict[str, str], usual: int, most: int) -> int:
    """How many rows a page may have. Raises BadRequestError for what is no number from 1 to ``most``."""
    text = query.get("limit", str(usual))
    if not text.isdigit() or not 1 <= int(text) <= most:
        raise BadRequestError(f"'limit' must be a number from 1 to {most}")
    return int(text)
