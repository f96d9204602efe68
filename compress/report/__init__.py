"""The report of a run: for the terminal, for people (Markdown and HTML) and for programs (JSON)."""

import json
from pathlib import Path

from compress.report import markdown, page
from compress.report.content import Report
from targets.errors import UserError


def write(report: Report, directory: Path) -> None:
    """Writes `report.json`, `report.md` and `report.html`, each whole or not at all. UserError where the folder can't be written."""
    texts = {
        "report.json": json.dumps(report.as_dict(), indent=2, ensure_ascii=False, allow_nan=False) + "\n",
        "report.md": markdown.text(report),
        "report.html": page.text(report),
    }
    for name, text in texts.items():
        _write_whole(directory / name, text)


def _write_whole(path: Path, text: str) -> None:
    part = path.with_name(f".{path.name}.part")
    try:
        part.write_bytes(text.encode("utf-8", errors="replace"))
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise UserError(f"{path}: can't be written: {error.strerror}; make room or name another folder") from None
