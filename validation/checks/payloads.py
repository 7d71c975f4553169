"""The validation of a stored payload against the document of its type. Further keys are allowed."""

import msgspec

from caching.derivations.payloads import DECODERS


def payload_problem(cache_type: str, data: bytes) -> str:
    """Return what is wrong with the payload; empty if it is a valid document of its type."""
    decoder = DECODERS.get(cache_type)
    if decoder is None:
        return f"unknown type of entry: {cache_type}"
    try:
        decoder.decode(data)
    except msgspec.ValidationError as error:
        return f"not a valid payload of its type: {error}"
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return f"not JSON: {error}"
    return ""
