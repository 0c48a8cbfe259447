"""Every promise names the test that holds it."""

import re
from pathlib import Path

TESTS = Path(__file__).parent
PAGE = TESTS.parent / "docs" / "promises.md"


def test_the_tests_exist():
    found = 0
    for row in PAGE.read_text().splitlines():
        file = None
        for path, name in re.findall(r"`([\w/]*\.py)?(?:::(test_\w+))?`", row):
            file = TESTS / path if path else file
            if file is None:
                continue
            assert file.is_file(), row
            assert f"def {name}(" in file.read_text() or not name, row
            found += 1
    assert found > 25
