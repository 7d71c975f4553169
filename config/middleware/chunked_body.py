"""Request bodies that are sent in chunks (RFC 9112, 7.1). They have no Content-Length, so Django would read none."""

import io
import json
from collections.abc import Callable, Iterable
from typing import Any

import structlog
from gunicorn.http.errors import ParseException

LIMIT_BYTES = 2 * 1024 * 1024  # as the setting DATA_UPLOAD_MAX_MEMORY_SIZE for bodies with a Content-Length
PIECE_BYTES = 64 * 1024
Environ = dict[str, Any]
StartResponse = Callable[..., Any]
Application = Callable[[Environ, StartResponse], Iterable[bytes]]
log = structlog.get_logger("slipway.requests")


class ReadChunkedBodies:
    """A WSGI application that reads a chunked body to its end, and then calls another one with its length.

    It answers 413 if the body has more than 2 MiB, and 400 if its chunks are not well-formed.
    """

    def __init__(self, application: Application) -> None:
        self._application = application

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        if "chunked" not in environ.get("HTTP_TRANSFER_ENCODING", "").lower():
            return self._application(environ, start_response)
        try:
            body = _read(environ["wsgi.input"])
        except (OSError, ParseException) as error:
            return _refuse(environ, start_response, "400 Bad Request", f"cannot read the chunked body: {error}")
        if len(body) > LIMIT_BYTES:
            problem = f"a chunked body must have at most {LIMIT_BYTES:,} bytes"
            return _refuse(environ, start_response, "413 Content Too Large", problem)
        del environ["HTTP_TRANSFER_ENCODING"]  # from here on, the body is one with a length
        environ |= {"wsgi.input": io.BytesIO(body), "CONTENT_LENGTH": str(len(body))}
        return self._application(environ, start_response)


def _read(stream: Any) -> bytes:
    """Return the body, or its first bytes if it is longer than the limit: then one byte more than that at least."""
    pieces, length = [], 0
    while length <= LIMIT_BYTES and (piece := stream.read(PIECE_BYTES)):
        pieces.append(piece)
        length += len(piece)
    return b"".join(pieces)


def _refuse(environ: Environ, start_response: StartResponse, status: str, problem: str) -> Iterable[bytes]:
    log.warning("refused a request", status=status, problem=problem, path=environ.get("PATH_INFO"))
    body = json.dumps({"error": problem, "remedy": "send the body with a Content-Length"}).encode()
    headers = [("Content-Type", "application/json"), ("Content-Length", str(len(body))), ("Cache-Control", "no-store")]
    start_response(status, headers)
    return [body]
