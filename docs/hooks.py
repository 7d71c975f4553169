"""MkDocs hooks that insert text from the project's own files, so that each text is written once."""

from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PAGES_IN_ROOT = {
    "rollback-plan.md": "ROLLBACK_PLAN.md",
    "changelog.md": "CHANGELOG.md",
    "contributing.md": "CONTRIBUTING.md",
    "security.md": "SECURITY.md",
}
SETTINGS = '--8<-- "settings"'


def on_page_markdown(markdown: str, page: Any, **_context: Any) -> str:
    """Return the text of a page, with the files of the project's root and the table of settings inserted.

    MkDocs is installed only for building the documentation, so its types are not imported here.
    """
    name = page.file.src_uri
    if name in PAGES_IN_ROOT:
        text = (ROOT / PAGES_IN_ROOT[name]).read_text().replace("](docs/", "](")
        for page_name, file_name in PAGES_IN_ROOT.items():
            text = text.replace(f"]({file_name})", f"]({page_name})")
        return text
    return markdown.replace(SETTINGS, settings())


def settings() -> str:
    """Return .env.example as a Markdown table: the comment above each variable is its description."""
    rows, description = ["| variable | what | example |", "|---|---|---|"], [""]
    for line in (ROOT / ".env.example").read_text().splitlines():
        name, is_setting, value = line.lstrip("#").partition("=")
        if is_setting and name.isupper() and " " not in name:
            rows.append(f"| `{name}` | {' '.join(description).strip()} | `{value or ' '}` |")
            description = []
        elif line.startswith("# ") and not line.startswith("#  "):
            description.append(line[2:].replace("|", "\\|"))
        elif not line:
            description = []
    return "\n".join(rows)
