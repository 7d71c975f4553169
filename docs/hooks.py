"""What the documentation takes from the project's own files when it is built, so that it is written once."""

from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
ELSEWHERE = {"rollback-plan.md": "ROLLBACK_PLAN.md", "changelog.md": "CHANGELOG.md"}
SETTINGS = '--8<-- "settings"'


def on_page_markdown(markdown: str, page: Any, **more: Any) -> str:
    """Pages that lie in the project's root, and the settings, whose words are those of .env.example."""
    name = page.file.src_uri
    if name in ELSEWHERE:
        text = (ROOT / ELSEWHERE[name]).read_text().replace("](docs/", "](")
        return text.replace("](ROLLBACK_PLAN.md)", "](rollback-plan.md)")
    return markdown.replace(SETTINGS, settings())


def settings() -> str:
    """A table of .env.example: what stands above each variable is said of it."""
    rows, said = ["| variable | what | example |", "|---|---|---|"], [""]
    for line in (ROOT / ".env.example").read_text().splitlines():
        name, is_setting, value = line.lstrip("#").partition("=")
        if is_setting and name.isupper() and " " not in name:
            rows.append(f"| `{name}` | {' '.join(said).strip()} | `{value or ' '}` |")
            said = []
        elif line.startswith("# ") and not line.startswith("#  "):
            said.append(line[2:].replace("|", "\\|"))
        elif not line:
            said = []
    return "\n".join(rows)
