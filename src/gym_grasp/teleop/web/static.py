"""The page's files, and the headers that every answer has."""

import mimetypes
import shutil
from pathlib import Path

from gym_grasp.errors import DependencyError

PAGE = Path(__file__).parents[1] / "webxr" / "dist"
HEADERS = {
    "Content-Security-Policy": "default-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "Permissions-Policy": "xr-spatial-tracking=(self)",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-cache",
}


def load_page(folder: Path = PAGE, first: str = "index.html") -> dict[str, tuple[bytes, str]]:
    """Return the pages' files, body and content type by path.

    Args:
        folder: where they lie.
        first: the page that `/` is: `index.html`, teleoperation, or another there.

    Raises:
        DependencyError: the page is not built.
    """
    if not (folder / first).exists():
        raise DependencyError(_not_built(folder.parent))
    files = {
        "/" + path.relative_to(folder).as_posix(): (
            path.read_bytes(),
            mimetypes.guess_type(path.name)[0] or "application/octet-stream",
        )
        for path in folder.rglob("*")
        if path.is_file()
    }
    return {**files, "/": files[f"/{first}"]}


def _not_built(client: Path) -> str:
    """Say what to do about a page that is not there, by what else is."""
    if not (client / "package.json").exists():
        return (
            "The browser page is missing from this installation; install it anew from a release's "
            "wheel, which has the page built."
        )
    if shutil.which("npm") is None:
        return (
            "The browser page is not built, and npm, which builds it, is not installed; on Debian "
            "or Ubuntu: apt-get install npm. Then: make client, in the checkout."
        )
    return "The browser page is not built; run: make client, in the checkout."
