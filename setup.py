"""What pyproject.toml cannot say: no package without the browser client, and where README points.

`PROJECT_URL=https://…` names the repository in the metadata; `make dist URL=https://…` sets it.
"""

import os
import re
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py
from setuptools.command.sdist import sdist

ROOT = Path(__file__).parent
CLIENT = ROOT / "src/gym_grasp/teleop/webxr/dist"
RELATIVE = r"(!?)\[([^\]]*)\]\((?!https?://|#)([^)\s]+)\)"
"""A link or picture in Markdown that leads into the repository."""


def check_client(folder: Path = CLIENT) -> None:
    """Raise `SystemExit` unless every page of the browser client is built, with its scripts."""
    public = folder.parent / "public"
    scripts = {
        name
        for page in public.glob("*.html")
        for name in re.findall(r'src="/([^"]+)"', page.read_text())
    }
    wanted = {path.name for path in public.iterdir()} | scripts | {"worker.js"}
    missing = sorted(name for name in wanted if not (folder / name).is_file())
    if missing:
        raise SystemExit(
            f"error: the browser client is not built ({folder / missing[0]} is missing), and no "
            "package is made without it: run `make client`, which needs npm, first; `make dist` "
            "does both, and `pip install --editable .` works without."
        )


def description(url: str) -> str:
    """Return README for where there is no repository around it: absolute links, or none."""
    source = (ROOT / "src/gym_grasp/__init__.py").read_text()
    version = re.search(r'__version__ = "(.+)"', source)
    assert version is not None

    def absolute(link: re.Match[str]) -> str:
        picture, text, path = link.groups()
        if not url:
            return "" if picture else text
        return f"{picture}[{text}]({url}/{'raw' if picture else 'blob'}/v{version[1]}/{path})"

    return re.sub(RELATIVE, absolute, (ROOT / "README.md").read_text())


class BuildPy(build_py):
    """Copies the package's files, the client among them."""

    def run(self) -> None:
        """Check, but not for an editable installation, into which a client may come later."""
        if not self.editable_mode:
            check_client()
        super().run()


class Sdist(sdist):
    """Packs the sources and the client."""

    def run(self) -> None:
        """Check first."""
        check_client()
        super().run()


if __name__ == "__main__":
    home = os.environ.get("PROJECT_URL", "").rstrip("/")
    pages = {"Documentation": "/tree/main/docs", "Changes": "/blob/main/CHANGELOG.md"}
    setup(
        cmdclass={"build_py": BuildPy, "sdist": Sdist},
        long_description=description(home),
        long_description_content_type="text/markdown",
        project_urls={"Repository": home} | {k: home + v for k, v in pages.items()} if home else {},
    )
