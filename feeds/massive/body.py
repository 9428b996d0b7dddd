"""Reads the body of an answer, and unpacks it only up to its limit."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterable, Callable

import httpx

from feeds.massive.errors import RestError, RestErrorKind
from feeds.massive.headers import HTTP_OK

ERROR_BODY_BYTES = 64 * 1024
"""How much of an error's body is read, bytes: its message is at the beginning."""

CHUNKS_AT_ONCE = 256
"""How many pieces of a body are read in one turn of the event loop: a server may send single bytes."""

PACKING = "gzip"
"""The only content coding that is requested. It makes a chain of 250 rows ten times smaller."""

PACKED = frozenset({"gzip", "x-gzip", "deflate"})

ZLIB_OR_GZIP = 32 + zlib.MAX_WBITS
"""Makes zlib read either format."""


async def bounded_body(response: httpx.Response, limit: int) -> bytes:
    """Returns the body, unpacked. Raises RestError(BAD_BODY) if it is longer than ``limit`` bytes, packed or unpacked.

    httpx would unpack each piece as a whole, and one coding inside another: 5 kB can become 3 GB. So this reads the raw
    pieces and unpacks them only up to the limit. Returns only the beginning of an error's body.
    """
    is_error = response.status_code != HTTP_OK
    limit = ERROR_BODY_BYTES if is_error else limit
    unpack = _unpacker(response, limit)
    body, received, number = bytearray(), 0, 0
    async for chunk in _raw(response):
        number += 1
        if number % CHUNKS_AT_ONCE == 0:
            await asyncio.sleep(0)
        received += len(chunk)
        body += unpack(chunk)
        if max(len(body), received) > limit:
            if is_error:
                return bytes(body[:limit])
            raise RestError(RestErrorKind.BAD_BODY, "too long", status=response.status_code)
    body += unpack(None)
    return bytes(body)


def _raw(response: httpx.Response) -> AsyncIterable[bytes]:
    """Returns the pieces of a body as they were sent."""
    if not isinstance(response.stream, httpx.AsyncByteStream):
        raise RestError(RestErrorKind.BAD_BODY, "no stream")
    return response.stream


def _unpacker(response: httpx.Response, limit: int) -> Callable[[bytes | None], bytes]:
    """Returns a function that unpacks the pieces of a body; None marks its end.

    Raises RestError for a content coding that was not requested.
    """
    packings = [
        packing.lower()
        for packing in response.headers.get_list("content-encoding", split_commas=True)
        if packing.lower() not in ("", "identity")
    ]
    if not packings:
        return lambda chunk: chunk or b""
    if len(packings) > 1 or packings[0] not in PACKED:
        raise RestError(
            RestErrorKind.BAD_BODY, "packed in a way that was not asked for", status=response.status_code
        )
    engine = zlib.decompressobj(ZLIB_OR_GZIP)

    def unpack(chunk: bytes | None) -> bytes:
        if chunk is None:
            if not engine.eof:
                raise RestError(RestErrorKind.BAD_BODY, "its packing breaks off", status=response.status_code)
            return b""
        if not chunk or engine.eof:
            return b""
        return engine.decompress(chunk, limit + 1)

    return unpack
