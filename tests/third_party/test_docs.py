"""The guides show the very files that the tests install and use."""

import re
from pathlib import Path

TESTS = Path(__file__).parents[1]
PACKAGE = TESTS / "third_party" / "my_package"
PAGES = ("extending.md", "own-device.md", "own-robot.md")
SHOWN = re.compile(r"^`([\w./]+)`:\n```\w+\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def test_every_file_is_shown_as_it_is():
    texts = [(TESTS.parent / "docs" / name).read_text() for name in PAGES]
    shown = dict(SHOWN.findall("\n".join(texts)))
    files = {
        path.relative_to(PACKAGE).as_posix(): path
        for path in PACKAGE.rglob("*")
        if path.suffix in (".py", ".xml", ".toml") and "build" not in path.parts
    }
    assert set(shown) == set(files)
    for name, path in files.items():
        assert shown[name] == path.read_text(), f"the guides show another {name}"
