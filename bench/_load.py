"""A load: connections that are kept, each asking again as soon as it was answered. Run as a process of its own."""

import asyncio
import json
import sys
import time
from typing import Any
from urllib.parse import urlsplit


async def ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes) -> int:
    """Returns the status of the answer, whose body is read to its end."""
    writer.write(request)
    head = await reader.readuntil(b"\r\n\r\n")
    length = next(int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
    await reader.readexactly(length)
    return int(head[9:12])


async def connection(told: dict[str, Any], ends: float, took: list[float], errors: list[int]) -> None:
    address = urlsplit(told["address"])
    body = told["body"].encode()
    head = f"{told['method']} {address.path} HTTP/1.1\r\nHost: {address.netloc}\r\nContent-Length: {len(body)}\r\n"
    head += "".join(f"{name}: {value}\r\n" for name, value in told["headers"].items())
    request = head.encode() + b"\r\n" + body
    reader, writer = await asyncio.open_connection(address.hostname, address.port, limit=2**22)
    while time.perf_counter() < ends:
        start = time.perf_counter()
        try:
            status = await ask(reader, writer, request)
        except (asyncio.IncompleteReadError, ConnectionResetError) as error:
            if getattr(error, "partial", b""):  # in the middle of an answer; before it, the server ends what was idle
                errors.append(0)
            reader, writer = await asyncio.open_connection(address.hostname, address.port, limit=2**22)
            continue
        took.append(time.perf_counter() - start)
        if status != 200:
            errors.append(status)
    writer.close()


async def load(told: dict[str, Any]) -> dict[str, Any]:
    took: list[float] = []
    errors: list[int] = []
    start = time.perf_counter()
    ends = start + told["seconds"]
    await asyncio.gather(*(connection(told, ends, took, errors) for _ in range(told["connections"])))
    took.sort()
    return {
        "per_second": len(took) / (time.perf_counter() - start),
        "p50_ms": 1000 * took[len(took) // 2],
        "p99_ms": 1000 * took[int(len(took) * 0.99)],
        "errors": len(errors),
    }


if __name__ == "__main__":
    print(json.dumps(asyncio.run(load(json.loads(sys.stdin.read())))))
