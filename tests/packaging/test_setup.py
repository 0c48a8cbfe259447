"""What setup.py refuses and writes."""

import importlib.util
import shutil
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def setup():
    spec = importlib.util.spec_from_file_location("setup_of_the_package", ROOT / "setup.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_no_package_without_the_whole_client(setup, tmp_path):
    """Also not where it was built before a page or a script was added."""
    built = tmp_path / "dist"
    shutil.copytree(setup.CLIENT.parent / "public", tmp_path / "public")
    with pytest.raises(SystemExit, match="make client"):
        setup.check_client(built)
    shutil.copytree(tmp_path / "public", built)
    scripts = ["experimenter.js", "main.js", "participant.js", "view.js", "worker.js"]
    for name in scripts:
        with pytest.raises(SystemExit, match=f"{name} is missing"):
            setup.check_client(built)
        (built / name).touch()
    setup.check_client(built)
    (built / "view.css").unlink()
    with pytest.raises(SystemExit, match=r"view\.css is missing"):
        setup.check_client(built)


def test_readme_points_to_the_repository_or_nowhere(setup):
    there, nowhere = setup.description("https://example.org/x"), setup.description("")
    assert "](docs/" not in there + nowhere
    assert "https://example.org/x/blob/v" in there
    assert "https://example.org/x/raw/v" in there
    assert "![" not in nowhere.replace("![](https", "")
