"""A load generator that runs as a process of its own.

Its connections are kept open, and each sends the next request as soon as it has an answer. The case comes as JSON on
standard input, the result goes as JSON to standard output.
"""

import asyncio
import json
import sys
import time
from typing import Any
from urllib.parse import urlsplit


async def ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes) -> int:
    """Send a request, read the whole answer, and return its status."""
    writer.write(request)
    head = await reader.readuntil(b"\r\n\r\n")
    length = next(int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
    await reader.readexactly(length)
    return int(head[9:12])


async def connection(case: dict[str, Any], ends: float, durations: list[float], errors: list[int]) -> None:
    address = urlsplit(case["address"])
    body = case["body"].encode()
    head = f"{case['method']} {address.path} HTTP/1.1\r\nHost: {address.netloc}\r\nContent-Length: {len(body)}\r\n"
    head += "".join(f"{name}: {value}\r\n" for name, value in case["headers"].items())
    request = head.encode() + b"\r\n" + body
    reader, writer = await asyncio.open_connection(address.hostname, address.port, limit=2**22)
    while time.perf_counter() < ends:
        start = time.perf_counter()
        try:
            status = await ask(reader, writer, request)
        except (asyncio.IncompleteReadError, ConnectionResetError) as error:
            if getattr(error, "partial", b""):  # broken inside an answer; before one, the server closes idle ones
                errors.append(0)
            reader, writer = await asyncio.open_connection(address.hostname, address.port, limit=2**22)
            continue
        durations.append(time.perf_counter() - start)
        if status != 200:
            errors.append(status)
    writer.close()


async def load(case: dict[str, Any]) -> dict[str, Any]:
    durations: list[float] = []
    errors: list[int] = []
    start = time.perf_counter()
    ends = start + case["seconds"]
    await asyncio.gather(*(connection(case, ends, durations, errors) for _ in range(case["connections"])))
    durations.sort()
    return {
        "per_second": len(durations) / (time.perf_counter() - start),
        "p50_ms": 1000 * durations[len(durations) // 2],
        "p99_ms": 1000 * durations[int(len(durations) * 0.99)],
        "errors": len(errors),
    }


if __name__ == "__main__":
    print(json.dumps(asyncio.run(load(json.loads(sys.stdin.read())))))
