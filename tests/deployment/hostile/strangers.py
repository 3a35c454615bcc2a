"""300 strangers at a gate, of six kinds, who come back half a second after each is let go.

    python strangers.py PORT ca.crt

Every second one comes from the address of the sites, the others from addresses of their own.
"""

import asyncio
import contextlib
import ssl
import sys

STRANGERS = 300
BACK_S = 0.5
FLEET = b"POST /v1/fleet/push-object HTTP/1.1\r\nhost: a\r\ncontent-length: 8000000\r\n\r\n"


async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send nothing."""
    await reader.read()


async def slow_headers(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send a header's line a byte at a time."""
    writer.write(b"GET /health HTTP/1.1\r\nx: ")
    while not (reader.at_eof() or writer.is_closing()):
        writer.write(b"a")
        await writer.drain()
        await asyncio.sleep(0.2)


async def slow_body(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send a body a byte at a time."""
    writer.write(b"POST /v1/fleet/get-run HTTP/1.1\r\nhost: a\r\ncontent-length: 60000\r\n\r\n")
    while not (reader.at_eof() or writer.is_closing()):
        writer.write(b"a")
        await writer.drain()
        await asyncio.sleep(0.2)


async def header_bomb(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send one header of 110 MB."""
    writer.write(b"GET /health HTTP/1.1\r\nx: ")
    await much(writer, 110_000_000)


async def large_body(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send 8 MB without a signature."""
    writer.write(FLEET)
    await much(writer, 8_000_000)
    await reader.read()


async def much(writer: asyncio.StreamWriter, size: int) -> None:
    """Send so many bytes in small pieces, until the gate ends it."""
    for _ in range(size // 16384):
        writer.write(PIECE)
        await writer.drain()
        await asyncio.sleep(0)  # else one of them could keep all others waiting


PIECE = b"a" * 16384
KINDS = (silent, silent, slow_headers, slow_body, header_bomb, large_body)


async def stranger(number: int, port: int, tls: ssl.SSLContext, counts: dict[str, int]) -> None:
    """Come, do harm until the gate ends it, come back."""
    kind = KINDS[number // 2 % len(KINDS)]
    address = "127.0.0.1" if number % 2 else f"127.0.{1 + number % 100}.1"
    secured = None if kind is silent and number % 3 else tls
    while True:
        with contextlib.suppress(OSError, EOFError, asyncio.TimeoutError):
            reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=secured, local_addr=(address, 0))
            counts["came"] += 1
            try:
                await kind(reader, writer)
            finally:
                writer.transport.abort()
        counts["ended"] += 1
        await asyncio.sleep(BACK_S)


async def all_of_them(port: int, authority: str) -> None:
    """Start all, and say so; say how often they came every ten seconds."""
    tls = ssl.create_default_context(cafile=authority)
    counts = {"came": 0, "ended": 0}
    tasks = [asyncio.ensure_future(stranger(number, port, tls, counts)) for number in range(STRANGERS)]
    await asyncio.sleep(2)
    print("all there", flush=True)
    while tasks:
        print(counts, flush=True)
        await asyncio.sleep(10)


if __name__ == "__main__":
    asyncio.run(all_of_them(int(sys.argv[1]), sys.argv[2]))
