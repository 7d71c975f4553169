"""Request bodies in chunks, sent to gunicorn as production runs it."""

import http.client
import json
import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from config.middleware.chunked_body import LIMIT_BYTES
from tests.browser.site import serve
from tests.conftest import committed
from tests.processes import until

pytestmark = committed
FLAGS = "/ofrep/v1/evaluate/flags"
CONTEXT = json.dumps({"context": {"targetingKey": "user-6"}}).encode()
HEADERS = {"Authorization": "Bearer let-me-in", "Content-Type": "application/json"}
Answer = tuple[int, dict[str, str], bytes]


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[http.client.HTTPConnection]:
    with serve(tmp_path / "web.log") as address:
        connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=30)
        assert until(lambda: post(connection, FLAGS, CONTEXT)[0] != 503)  # until the rollouts are known
        yield connection
        connection.close()


def post(connection: http.client.HTTPConnection, path: str, *chunks: bytes, **headers: str) -> Answer:
    """Send a body in these chunks. Return the status, the headers and the body of the answer."""
    sent = HEADERS | {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request("POST", path, body=iter(chunks), headers=sent, encode_chunked=True)
    answer = connection.getresponse()
    return answer.status, dict(answer.getheaders()), answer.read()


def test_a_chunked_body_is_read(connection: http.client.HTTPConnection) -> None:
    for path in (FLAGS, f"{FLAGS}/derived-data"):
        for chunks in ([CONTEXT], [CONTEXT[:9], CONTEXT[9:]], [bytes([byte]) for byte in CONTEXT]):
            status, _, body = post(connection, path, *chunks)
            assert (status, b'"variant":"control"' in body) == (200, True)
    status, _, body = post(connection, FLAGS)
    assert (status, json.loads(body)["errorCode"]) == (400, "PARSE_ERROR")


def test_a_chunked_body_is_limited(connection: http.client.HTTPConnection) -> None:
    more = json.dumps({"more": "x" * 70_000, "context": {"targetingKey": "user-6"}}).encode()
    status, _, body = post(connection, FLAGS, more)
    assert (status, "at most 65536 bytes" in body.decode()) == (413, True)  # OFREP's own limit
    status, headers, body = post(connection, FLAGS, b"x" * LIMIT_BYTES, b"x")
    assert (status, headers["Content-Type"]) == (413, "application/json")
    assert json.loads(body)["remedy"] == "send the body with a Content-Length"
    connection.close()
    assert post(connection, FLAGS, CONTEXT)[0] == 200


def test_chunks_that_are_not_well_formed_are_refused(connection: http.client.HTTPConnection) -> None:
    head = f"POST {FLAGS} HTTP/1.1\r\nHost: {connection.host}\r\nTransfer-Encoding: chunked\r\n\r\n"
    with socket.create_connection((connection.host, connection.port), timeout=30) as raw:
        raw.sendall(f"{head}zz\r\nnonsense\r\n\r\n".encode())
        assert raw.recv(100).startswith(b"HTTP/1.1 400 ")


def test_not_modified_has_the_headers_of_the_answer_that_it_confirms(connection: http.client.HTTPConnection) -> None:
    status, headers, _ = post(connection, FLAGS, CONTEXT)
    assert (status, headers["Cache-Control"]) == (200, "private, no-cache")
    status, confirmed, body = post(connection, FLAGS, CONTEXT, If_None_Match=headers["ETag"])
    assert (status, body) == (304, b"")
    varying = {"Content-Type", "Content-Length", "Date", "x-request-id", "X-Request-ID"}
    assert {name: value for name, value in headers.items() if name not in varying} == {
        name: value for name, value in confirmed.items() if name not in varying
    }
