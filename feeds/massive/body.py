"""Reads the body of an answer, and unpacks it no further than its bound."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterable, Callable

import httpx

from feeds.massive.errors import RestError, RestErrorKind
from feeds.massive.headers import HTTP_OK

ERROR_BODY_BYTES = 64 * 1024
"""How much is read of an error: what it says stands at its beginning."""

CHUNKS_AT_ONCE = 256
"""Pieces of a body that are read before the loop gets its turn: a server may send single bytes."""

PACKING = "gzip"
"""The only packing that is asked for. It makes a chain of 250 rows ten times smaller."""

PACKED = frozenset({"gzip", "x-gzip", "deflate"})

ZLIB_OR_GZIP = 32 + zlib.MAX_WBITS
"""Makes zlib read either format."""


async def bounded_body(response: httpx.Response, limit: int) -> bytes:
    """Returns the body, unpacked. Raises RestError(BAD_BODY) if it is longer than ``limit`` bytes, packed or unpacked.

    httpx would unpack each piece whole, and one packing inside another: 5 kB can become 3 GB. So the raw pieces are
    read here, and unpacked no further than the limit. Of an error's body, the beginning is enough.
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

    Raises RestError for a packing that was not asked for.
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
