"""The project's own rules for its English: docstrings, comments, messages, templates and pages."""

import ast
import io
import re
import subprocess
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.databases import ROOT

# Words of the elliptical English that the first version was written in. An operator and a newcomer need a named actor
# and a verb of the field instead: the caller, a worker, the gate; return, publish, refuse.
DIALECT = re.compile(
    r"\b(whoever|somebody|nobody|told|tells?|said|says?|whatever|whichever|anew|stands|lies|beforehand|meanwhile)\b",
    re.IGNORECASE,
)
OPENERS = re.compile(
    r"(Of|By|As|With|Without|In|On|For|From|To|At|Beside|Behind|Inside|Within|Where|When|Whose|Whom|Who|Whoever|What"
    r"|Which|How|Once|Only|Even|Also|And|Or|Its|Their|Those|That|It|None|Nothing|Nobody|Another|Down|Back|Not|One|Have)\b"
)
BRITISH = re.compile(
    r"\b\w*(colour|behaviour|neighbour|favour)\w*\b|\bgrey\b|\bcancelled\b|\blabelled\b", re.IGNORECASE
)
LONGEST_FOLDER = 12  # modules that lie flat in one folder, beside its __init__.py


def tracked(*patterns: str) -> list[Path]:
    """Return the project's files of these patterns, as git lists them, without migrations."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", *patterns],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    files = [ROOT / line for line in listed.stdout.splitlines() if "/migrations/" not in line]
    return [file for file in files if file.exists()]


def code() -> list[Path]:
    return [file for file in tracked("*.py") if file.relative_to(ROOT).parts[0] not in ("tests", "bench", "docs")]


def docstrings(file: Path) -> Iterator[tuple[int, str]]:
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield getattr(node, "lineno", 1), ast.get_docstring(node) or ""


def sentences(file: Path) -> Iterator[tuple[int, str]]:
    """Yield the texts of a module that a person reads: docstrings, messages (strings with a space) and comments."""
    source = file.read_text()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value.strip():
            yield node.lineno, node.value
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string


def place(file: Path, line: int, text: str) -> str:
    return f"{file.relative_to(ROOT)}:{line} {text}"


def test_no_text_of_the_code_uses_a_dialect_word() -> None:
    offending = [place(file, line, word) for file in code() for line, text in sentences(file) for word in words(text)]
    assert offending == []


def words(text: str) -> list[str]:
    return [match[0] for pattern in (DIALECT, BRITISH) for match in pattern.finditer(text)]


def test_no_docstring_opens_with_a_preposition_or_a_pronoun() -> None:
    assert [place(file, line, text) for file in code() for line, text in docstrings(file) if OPENERS.match(text)] == []


@pytest.mark.parametrize("pattern", ["*.html", "*.md", ".env.example", "*.js", "*.css"])
def test_no_page_uses_a_dialect_word(pattern: str) -> None:
    offending = [
        place(file, number, word)
        for file in tracked(pattern)
        for number, line in enumerate(file.read_text().splitlines(), 1)
        for word in words(re.sub(r"\{%.*?%\}|\{\{.*?\}\}|`[^`]*`", "", line))
    ]
    assert offending == []


def test_no_folder_holds_more_modules_than_a_reader_can_take_in() -> None:
    folders: dict[str, int] = {}
    for file in code():
        if file.name != "__init__.py":
            folder = str(file.parent.relative_to(ROOT))
            folders[folder] = folders.get(folder, 0) + 1
    assert {folder: modules for folder, modules in folders.items() if modules > LONGEST_FOLDER} == {}


NAMED = re.compile(
    r"(?<![\w/.<])(?:core|config|rollout|providers|caching|validation|tests|bench|docs)/[\w./-]+\.(?:py|json|js|md)\b"
)


def test_every_path_that_a_page_names_exists() -> None:
    """Pages name modules as `rollout/gate/gates.py`, so a module that moves has to take its pages along."""
    missing = [
        place(file, number, path)
        for file in tracked("*.md")
        for number, line in enumerate(file.read_text().splitlines(), 1)
        for path in NAMED.findall(line)
        if not (ROOT / path).exists()
    ]
    assert missing == []
