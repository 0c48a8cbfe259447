"""Modules of other rooms of the tests."""

from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

TESTS = Path(__file__).parents[1]


def module_of(room: str, name: str) -> ModuleType:
    spec = spec_from_file_location(f"{room}_{name}", TESTS / room / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
