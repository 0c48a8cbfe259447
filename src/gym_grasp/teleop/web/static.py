"""The page's files, and the headers that every answer has."""

import mimetypes
from pathlib import Path

from gym_grasp.errors import DependencyError

PAGE = Path(__file__).parents[1] / "webxr" / "dist"
NOT_BUILT = (
    "The page is not built. In a git checkout: "
    "cd src/gym_grasp/teleop/webxr && npm ci && npm run build."
)
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
        raise DependencyError(NOT_BUILT)
    files = {
        "/" + path.relative_to(folder).as_posix(): (
            path.read_bytes(),
            mimetypes.guess_type(path.name)[0] or "application/octet-stream",
        )
        for path in folder.rglob("*")
        if path.is_file()
    }
    return {**files, "/": files[f"/{first}"]}
