"""The page's files, and the headers that every answer has."""

import mimetypes
from pathlib import Path

from gym_grasp.errors import DependencyError

PAGE = Path(__file__).parents[1] / "webxr" / "dist"
NOT_BUILT = (
    "The page of the teleoperation is not built. In a git checkout: "
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


def load_page(folder: Path = PAGE) -> dict[str, tuple[bytes, str]]:
    """Return the page's files, body and content type by path.

    Raises:
        DependencyError: the page is not built.
    """
    if not (folder / "index.html").exists():
        raise DependencyError(NOT_BUILT)
    files = {
        "/" + path.relative_to(folder).as_posix(): (
            path.read_bytes(),
            mimetypes.guess_type(path.name)[0] or "application/octet-stream",
        )
        for path in folder.rglob("*")
        if path.is_file()
    }
    return {**files, "/": files["/index.html"]}
