"""Recovery's statements, written by hand since the ORM has no COPY and no hash over whole rows."""

from collections.abc import Sequence

from django.db import connection


def copy_out(table: str, columns: Sequence[str], key: str) -> str:
    """In the order of the key, so that equal tables make equal files."""
    quote = connection.ops.quote_name
    names = ", ".join(map(quote, columns))
    return f"COPY (SELECT {names} FROM {quote(table)} ORDER BY {quote(key)}) TO STDOUT"


def content_hash(table: str, columns: Sequence[str]) -> str:
    """The sum of two 64-bit hashes of each row's text: the same in whatever order rows are read, and side by side."""
    quote = connection.ops.quote_name
    row = f"ROW({', '.join(map(quote, columns))})::text"
    sums = ", ".join(f"coalesce(sum(hashtextextended({row}, {seed})::numeric), 0)" for seed in (1, 2))
    return f"SELECT concat_ws(':', count(*), {sums}) FROM {quote(table)}"
