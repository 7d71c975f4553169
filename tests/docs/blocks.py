"""The fenced blocks of the documentation, and the ways in which each kind is tried."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.databases import ROOT

FENCE = re.compile(r'^```(\w*)(?: title="([^"]*)")?\n(.*?)^```', re.DOTALL | re.MULTILINE)
PLAN = ROOT / "ROLLBACK_PLAN.md"  # which a test of its own runs from beginning to end


@dataclass(frozen=True, slots=True)
class Block:
    page: Path
    language: str
    title: str
    text: str


def pages() -> list[Path]:
    return [ROOT / "README.md", PLAN, *sorted((ROOT / "docs").rglob("*.md"))]


def blocks(*languages: str) -> Iterator[Block]:
    for page in pages():
        for language, title, text in FENCE.findall(page.read_text()):
            if not languages or language in languages:
                yield Block(page, language, title, text)


def titled(part: str) -> Block:
    """The only one whose title holds this."""
    [found] = [block for block in blocks() if part in block.title]
    return found
