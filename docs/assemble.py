"""Gathers what the site is built of: `python docs/assemble.py BUILD [URL]`.

README becomes the home page, and `docs` and `results` lie side by side. A link to another file of
the repository leads to it at URL, or stays plain text where none is given.
"""

import os
import re
import shutil
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
LINK = re.compile(r"(!?)\[([^\]]*)\]\((?!https?://|#)([^)\s#]+)(#[^)\s]*)?\)")


def assemble(build: Path, url: str = "") -> None:
    """Write the pages into a folder, which is emptied first."""
    shutil.rmtree(build, ignore_errors=True)
    shutil.copytree(ROOT / "docs", build, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    shutil.copytree(ROOT / "results", build / "results", ignore=shutil.ignore_patterns("runs"))
    home = build / "index.md"
    shutil.copy(ROOT / "README.md", home)
    for page in build.rglob("*.md"):
        text = page.read_text()
        page.write_text(LINK.sub(lambda link, at=page: _moved(link, at, build, url), text))


def _moved(link: re.Match[str], page: Path, build: Path, url: str) -> str:
    mark, text, path, anchor = link.groups(default="")
    at = ROOT if page == build / "index.md" else _source(page.parent, build)
    target = (at / path).resolve().relative_to(ROOT)
    there = build / (target.relative_to("docs") if target.parts[0] == "docs" else target)
    if there.is_file():
        return f"{mark}[{text}]({os.path.relpath(there, page.parent)}{anchor})"
    return f"[{text}]({url}/blob/main/{target})" if url else text


def _source(folder: Path, build: Path) -> Path:
    below = folder.relative_to(build)
    return ROOT / below if below.parts[:1] == ("results",) else ROOT / "docs" / below


if __name__ == "__main__":
    assemble(Path(sys.argv[1]).resolve(), sys.argv[2] if len(sys.argv) > 2 else "")
