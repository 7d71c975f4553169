"""The fenced blocks of the documentation, for the tests that run them."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.databases import ROOT

FENCE = re.compile(r'^```(\w*)(?: title="([^"]*)")?\n(.*?)^```', re.DOTALL | re.MULTILINE)
INCLUDE = re.compile(r'^--8<-- "(.*)"$', re.MULTILINE)  # mkdocs inserts the file there
PLAN = ROOT / "ROLLBACK_PLAN.md"  # another test runs it from beginning to end


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block, with the page that contains it."""

    page: Path
    language: str
    title: str
    text: str


def pages() -> list[Path]:
    return [ROOT / "README.md", PLAN, *sorted((ROOT / "docs").rglob("*.md"))]


def blocks(*languages: str) -> Iterator[Block]:
    """Yield the blocks of these languages, page by page; without languages, all blocks."""
    for page in pages():
        for language, title, text in FENCE.findall(page.read_text()):
            if not languages or language in languages:
                whole = INCLUDE.sub(lambda name: (ROOT / name[1]).read_text().rstrip(), text)
                yield Block(page, language, title, whole)


def titled(part: str) -> Block:
    """Return the only block whose title contains this text."""
    [titled_block] = [block for block in blocks() if part in block.title]
    return titled_block
