"""Registries: what is refused, in which words, and what a broken package does to the others."""

import gymnasium
import pytest

from building import SHIPPED
from gym_grasp import registry
from gym_grasp.demos.operators import OPERATORS
from gym_grasp.demos.operators.operator import load_script
from gym_grasp.errors import UsageError
from gym_grasp.registry import Registry, load_plugins
from gym_grasp.tasks import TASKS, gym_id, load_task, register_task
from gym_grasp.tasks.open_drawer import OpenDrawer
from gym_grasp.tasks.pour_cup import PourCup


class Point:
    """An entry point."""

    def __init__(self, name, load):
        self.name = self.value = name
        self.load = load


@pytest.fixture
def plugins(monkeypatch):
    """Entry points in place of those that are installed."""
    points = []
    monkeypatch.setattr(registry, "entry_points", lambda group: points)
    load_plugins.cache_clear()
    yield points
    load_plugins.cache_clear()


@pytest.fixture
def things(plugins):
    return Registry("thing", {"stick": "math:pi", "stone": "math:tau"})


def test_a_name_is_entered_once(things):
    things.register("stick", "math:pi")
    with pytest.raises(
        UsageError, match=r"thing 'stick' is registered already, as math:pi; .* for math:e\."
    ):
        things.register("stick", "math:e")
    assert things.targets["stick"] == "math:pi"


@pytest.mark.parametrize("target", ["math", "math:", ":pi", ""])
def test_a_target_is_module_and_attribute(things, target):
    with pytest.raises(
        UsageError, match=rf"'leaf' is registered as '{target}'; expected 'module:attribute'"
    ):
        things.register("leaf", target)
    assert "leaf" not in things


def test_what_is_registered_is_imported_when_it_is_asked_for(things):
    things.register("leaf", "nowhere_at_all:leaf")
    things.register("twig", "math:twig")
    things.register("stem", "nowhere_at_all.below:stem")
    assert list(things) == ["stick", "stone", "leaf", "twig", "stem"]
    assert len(things) == 5
    assert things.load("stick") == pytest.approx(3.14159, abs=1e-5)
    for name in ("leaf", "twig", "stem"):
        with pytest.raises(UsageError, match=rf"thing '{name}' is registered as .* does not exist"):
            things.load(name)


def test_a_module_that_lacks_something_else_says_so_itself(things, tmp_path, monkeypatch):
    (tmp_path / "needs_more.py").write_text("import nothing_of_that_name\n")
    monkeypatch.syspath_prepend(tmp_path)
    things.register("leaf", "needs_more:leaf")
    with pytest.raises(ModuleNotFoundError, match="nothing_of_that_name"):
        things.load("leaf")


def test_an_unknown_name_comes_with_a_hint(things):
    with pytest.raises(
        UsageError, match=r"Unknown thing 'stik'\. Did you mean 'stick'\? Known: stick, stone\."
    ):
        things.load("stik")


def test_packages_are_imported_only_for_names_that_are_not_known(things, plugins):
    loads = []
    plugins.append(Point("leaves", lambda: loads.append(things.register("leaf", "math:e"))))
    assert "stick" in things
    assert things.load("stone") > 6
    assert loads == []
    assert "leaf" in things
    assert "twig" not in things
    assert len(loads) == 1  # once, however many names are missing


def test_a_package_that_fails_leaves_the_others_alone(things, plugins, caplog):
    def fail():
        raise RuntimeError("no licence")

    plugins.append(Point("broken", fail))
    plugins.append(Point("leaves", lambda: things.register("leaf", "math:e")))
    assert things.load("leaf") > 2.7
    assert [record.message for record in caplog.records] == [
        "The package behind the entry point 'broken' (broken) is left out: RuntimeError: no licence"
    ]


@pytest.fixture
def tasks(plugins, monkeypatch):
    """The registries of tasks, which forget what a test enters."""
    monkeypatch.setattr(TASKS, "targets", dict(TASKS.targets))
    monkeypatch.setattr("gym_grasp.tasks._gym", dict(__import__("gym_grasp.tasks").tasks._gym))
    monkeypatch.setattr(gymnasium.envs.registration, "registry", dict(gymnasium.registry))


def test_a_task_has_one_version(tasks):
    drawer, now = "gym_grasp.tasks.open_drawer:OpenDrawer", OpenDrawer.version
    register_task("open-drawer", drawer, version=now)  # again, which changes nothing
    with pytest.raises(UsageError, match=r"task 'open-drawer' is registered already"):
        register_task("open-drawer", "elsewhere:OpenDrawer", version=now)
    with pytest.raises(UsageError, match=rf"as gym_grasp/OpenDrawer-v{now}; .*OpenDrawer-v99"):
        register_task("open-drawer", drawer, version=99)
    assert gym_id("open-drawer") == f"gym_grasp/OpenDrawer-v{OpenDrawer.version}"
    register_task("pull-drawer", drawer, version=99, namespace="mine")
    assert gym_id("pull-drawer") == "mine/PullDrawer-v99"
    with pytest.raises(
        UsageError, match=rf"registered with version 99, but .*'open-drawer' of version {now}"
    ):
        load_task("pull-drawer")


def test_ids_of_gymnasium_follow_the_version():
    assert gym_id("open-drawer") == f"gym_grasp/OpenDrawer-v{OpenDrawer.version}"
    assert gym_id("pour-cup") == f"gym_grasp/PourCup-v{PourCup.version}"
    assert gym_id("pour-cup") in gymnasium.registry
    assert "gym_grasp/PourCup-v0" not in gymnasium.registry
    with pytest.raises(UsageError, match=r"Unknown task 'pour-cap'\. Did you mean 'pour-cup'\?"):
        gym_id("pour-cap")


def test_every_task_has_its_operator(plugins):
    assert {*SHIPPED} <= {*OPERATORS} <= {*TASKS}
    for name in OPERATORS:
        assert load_script(name).__name__ == "script"
    with pytest.raises(UsageError, match=r"Unknown task with a synthetic operator 'lift-pegs'"):
        load_script("lift-pegs")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("Lift Peg", "math:pi"), "lower-case words joined by dashes"),
        ((None, "math:pi"), "lower-case words joined by dashes"),
        (("bad-target", int), "expected 'module:attribute'"),
        (("bad-version", "math:pi", "1"), "version of the task 'bad-version' is '1'"),
        (("bad-version", "math:pi", -1), "version of the task 'bad-version' is -1"),
        (("bad-space", "math:pi", 0, "a b"), "namespace of the task 'bad-space' is 'a b'"),
    ],
)
def test_what_gymnasium_cannot_name_is_not_registered(arguments, message):
    name, target, *rest = arguments
    with pytest.raises(UsageError, match=message):
        register_task(name, target, **dict(zip(("version", "namespace"), rest, strict=False)))
    assert name not in TASKS


def test_what_is_no_task_is_refused(monkeypatch):
    monkeypatch.setattr(TASKS, "targets", dict(TASKS.targets))
    register_task("no-task", "math:pi")
    with pytest.raises(UsageError, match="registered as math:pi, which is no Task"):
        load_task("no-task")
