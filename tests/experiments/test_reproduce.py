"""Tables and figures from results made by hand, with the figures worked out by hand."""

import dataclasses
import json
import math
import shutil

import pytest

from gym_grasp.bench.throughput import Throughput
from gym_grasp.envs.control import ControlConfig
from gym_grasp.errors import GymGraspError, UsageError
from gym_grasp.experiments.perform import perform
from gym_grasp.experiments.results import cells, common_grid, load, policy_path, publish
from gym_grasp.experiments.sweep import Run
from gym_grasp.learning import published
from gym_grasp.learning.checkpoint import load_policy
from gym_grasp.learning.published import load_published
from gym_grasp.paper import fewer_demos, hands, table1, table3

EARLY = [1.0, 0.5, 0.9, 1.0, 1.0]
LATE = [1.0, 0.0, 0.0, 1.0, 1.0]


@pytest.fixture
def out(tmp_path, publish_by_hand):
    """Return a folder with three seeds of DAPG, one of PPO dense and one of BC."""
    for seed, successes in enumerate((100, 98, 96)):
        run = Run("open-drawer", "dapg-sparse", seed)
        publish_by_hand(tmp_path, run, successes, EARLY, [2, 100, 100, 100, 100])
    publish_by_hand(tmp_path, Run("open-drawer", "ppo-dense"), 50, LATE, [2, 100, 100, 100, 100])
    publish_by_hand(tmp_path, Run("open-drawer", "bc"), 90)
    return tmp_path


def test_success_counts_whole_episodes(out):
    """An episode takes up to 2 epochs, so the first value is that of epochs 0 and 1 together."""
    dapg = cells(load(out))["open-drawer", "dapg-sparse"].results[0]
    expected = [(2 + 50) / 102, (50 + 90) / 200, 0.95, 1.0]
    success = dapg.rollout_success()
    assert math.isnan(success[0])
    assert success[1:] == pytest.approx(expected)
    assert dapg.steps_to(0.95) == 4_000_000
    assert dapg.steps_to(0.6) == 3_000_000
    bc = cells(load(out))["open-drawer", "bc"].results[0]
    assert bc.steps_to(0.95) is None


def test_a_cell(out):
    cell = cells(load(out))["open-drawer", "dapg-sparse"]
    assert cell.seeds == [0, 1, 2]
    assert cell.mean == pytest.approx(0.98)
    assert cell.std == pytest.approx(0.02)
    assert 0.85 < cell.interval.low < 0.98 < cell.interval.high < 1
    assert cell.uniform


def test_what_time_cut_is_marked(out):
    path = out / "runs/open-drawer/bc/seed-0.json"
    content = json.loads(path.read_text())
    text = table3.gather(load(out), out)[0].read_text()
    assert "‡" not in text
    path.write_text(json.dumps(content | {"epochs": content["run"]["epochs"] - 1}))
    text = table3.gather(load(out), out)[0].read_text()
    assert "| open-drawer | bc ‡ |" in text
    assert "dapg-sparse ‡" not in text
    assert "‡ Time ended a run" in text


def test_table_from_partial_results(out):
    files = table3.gather(load(out), out)
    assert [path.name for path in files] == [
        "table3.md", "table3.json", "table3-curves.png", "table3-gradients.png",
    ]  # fmt: skip
    text = files[0].read_text()
    assert "| dapg-sparse | 0.98 ± 0.02 [1.00] |" in text
    assert "| ppo-dense | 0.50 ± – [1.00] (1 of 3 seeds) |" in text
    assert "| bc | 0.90 ± – [1.00] (1 of 3 seeds) |" in text
    assert "| 0.980 ± 0.020 | 294 / 300 |" in text
    assert "4.0 (3 of 3)" in text
    assert "PPO dense ÷ DAPG sparse, of the seeds that get there: open-drawer 1.2" in text
    assert "SMOKE" not in text
    assert "500 for stack-cubes" in text
    assert "abacus" in text
    summary = json.loads(files[1].read_text())
    (dapg,) = (cell for cell in summary["cells"] if cell["method"] == "dapg-sparse")
    assert dapg["successes"] == [100, 98, 96]
    assert dapg["steps_to_95"] == [4_000_000] * 3
    assert not summary["smoke"]


def test_steps_are_compared_with_as_many_environments(out, publish_by_hand):
    publish_by_hand(out, Run("open-drawer", "ppo-dense", 0, num_envs=16), 90, LATE)
    assert "÷" not in table3.gather(load(out), out)[0].read_text()
    publish_by_hand(out, Run("open-drawer", "ppo-dense", 1), 90, LATE)
    text = table3.gather(load(out), out)[0].read_text()
    assert "÷" not in text
    assert "| 16 or 256 |" in text


def test_cells_of_unlike_runs_are_marked(out, publish_by_hand):
    publish_by_hand(out, Run("open-drawer", "ppo-dense", 1, epochs=7), 50, LATE)
    assert "ppo-dense †" in table3.gather(load(out), out)[0].read_text()


def test_runs_in_another_environment_are_no_part_of_the_tables(out, publish_by_hand):
    other = Run("open-drawer", "dapg-sparse", 7, control=ControlConfig(interval=6))
    publish_by_hand(out, other, 0, LATE)
    text = table3.gather(load(out), out)[0].read_text()
    assert "| 0.980 ± 0.020 | 294 / 300 |" in text
    assert other.label not in text
    assert other.label not in fewer_demos.gather(load(out), out)[0].read_text()


def test_results_before_specs_can_still_be_read(out):
    for path in (out / "runs/open-drawer/dapg-sparse").iterdir():
        content = json.loads(path.read_text())
        del content["spec"]
        del content["run"]["control"], content["run"]["options"], content["run"]["robot"]
        path.write_text(json.dumps(content | {"task_version": 0, "max_episode_steps": 64}))
    assert "294 / 300" in table3.gather(load(out), out)[0].read_text()


def test_nothing_to_gather(tmp_path):
    (page, _) = table3.gather(load(tmp_path), tmp_path)
    assert "No finished runs" in page.read_text()
    assert "No finished runs" in fewer_demos.gather([], tmp_path)[0].read_text()


def test_smoke_is_labelled(out):
    page, summary, *_ = table3.gather(load(out), out, smoke=True)
    assert page.read_text().startswith("# SMOKE: ")
    assert json.loads(summary.read_text())["smoke"] is True
    assert fewer_demos.gather([], out, smoke=True)[0].read_text().startswith("# SMOKE: ")


def test_fewer_demonstrations(out, publish_by_hand):
    publish_by_hand(out, Run("open-drawer", "dapg-sparse", 0, demos=5), 40, LATE)
    publish_by_hand(out, Run("open-drawer", "dapg-sparse", 0, demos=5, multiplied=1000), 99, LATE)
    page, summary, _ = fewer_demos.gather(load(out), out)
    rows = [line for line in page.read_text().splitlines() if "| DAPG |" in line]
    assert [row.split("|")[3].strip() for row in rows] == ["5", "5 → 1,000", "180"]
    assert "| 40 / 100 |" in rows[0]
    cells = json.loads(summary.read_text())["cells"]
    means = [cell["mean"] for cell in cells if cell["method"].startswith("dapg")]
    assert means == pytest.approx([0.4, 0.99, 0.98])


def test_hands(out, publish_by_hand):
    def cell(robot, seed=0, variant="dapg-sparse", **fields):
        return Run("open-drawer", variant, seed, robot=robot, **fields)

    publish_by_hand(out, cell("ur5-leap"), 97, LATE, attempts=205, failures=5)
    publish_by_hand(out, cell("ur5-leap", 1), 99, LATE, attempts=205, failures=5)
    publish_by_hand(out, cell("ur5-leap", variant="bc"), 61)
    carried = cell("ur5-leap", retargeted_from="ur5-sih")
    publish_by_hand(out, carried, 93, LATE, attempts=180, failures=9)
    few = cell("ur5-leap", demos=5)
    elsewhere = cell("ur5-leap", control=ControlConfig(interval=6))
    unlisted = cell("panda-sih")
    for other in (few, elsewhere, unlisted):
        publish_by_hand(out, other, 1, LATE)
    page, summary, picture = hands.gather(load(out), out)
    rows = [line.strip("| ").split(" | ") for line in page.read_text().splitlines()]
    rows = [row for row in rows if row[1:2] == ["open-drawer"]]
    assert rows == [
        ["ur5-sih", "open-drawer", "–", "90 / 100", "100 / 100, 98 / 100, 96 / 100",
         "4.0 (3 of 3)", "5.0", "500,000", "–", "–"],
        ["ur5-leap", "open-drawer", "200 / 205", "61 / 100", "97 / 100, 99 / 100",
         "5.0 (2 of 2)", "5.0", "500,000", "171 / 180", "93 / 100"],
    ]  # fmt: skip
    assert picture.stat().st_size > 1000
    found = {(one["robot"], one["method"]) for one in json.loads(summary.read_text())["cells"]}
    assert ("ur5-leap", carried.label) in found
    assert not {few.label, elsewhere.label, unlisted.label} & {method for _, method in found}


def test_the_runs_of_hands():
    runs = hands.runs(device="cuda")
    assert len(runs) == len(set(runs)) == (4 * 2 + 14 * 3) * 3
    own = {run for run in runs if run.robot == "ur5-sih"}
    assert own < set(table3.runs(device="cuda"))
    assert {run.retargeted_from for run in runs} == {None, "ur5-sih"}
    some = hands.runs(["lift-object"], ["panda-leap"], [2], "cuda")
    assert [run.name for run in some] == [
        "lift-object/bc-panda-leap/seed-2",
        "lift-object/dapg-sparse-panda-leap/seed-2",
        "lift-object/dapg-sparse-from-ur5-sih-panda-leap/seed-2",
    ]
    with pytest.raises(UsageError, match="Did you mean 'ur5-leap'"):
        hands.runs(robots=["ur5-leep"])
    with pytest.raises(UsageError, match="task of the table"):
        hands.runs(["stack-cubes"])
    with pytest.raises(UsageError, match=r"no pour-cup with panda-leap; it has .*ur5-leap"):
        hands.runs(["pour-cup"], ["panda-leap"])


def test_speed_of_other_robots_is_no_part_of_table_1(out, publish_by_hand):
    before = table1.training_rates(load(out))
    publish_by_hand(out, Run("open-drawer", "dapg-sparse", robot="ur5-leap"), 97, LATE)
    assert table1.training_rates(load(out)) == before


def test_speed_of_training_counts_from_half_success(out):
    rows = table1.training_rates(load(out))
    assert ("open-drawer", "dapg-sparse", "abacus", 256, 3, 500_000) in rows
    assert len(rows) == 2


def test_speed_of_runs_that_shared_a_gpu_is_not_published(out, publish_by_hand):
    run = Run("open-drawer", "dapg-sparse", 3)
    publish_by_hand(out, run, 100, success=LATE, runs_per_gpu=2)
    assert len(load(out)) == 6
    assert ("open-drawer", "dapg-sparse", "abacus", 256, 3, 500_000) in table1.training_rates(
        load(out)
    )


def test_measurements_come_together(tmp_path, monkeypatch):
    def measure(task, num_envs, device, rounds):
        return Throughput(**{**values, "task": task, "num_envs": num_envs})

    values = {field.name: 1.0 for field in dataclasses.fields(Throughput)}
    values |= {"device": "abacus", "counters": {}, "gpu_memory_gb": None}
    monkeypatch.setattr(table1, "measure", measure)
    table1.make([], tmp_path, ["pour-cup"])
    table1.make([], tmp_path, ["open-drawer", "pour-cup"])
    page, summary = table1.make([], tmp_path, [])
    rows = json.loads(summary.read_text())["measured"]
    assert [row["task"] for row in rows] == ["open-drawer", "pour-cup"]
    assert "58,887" in page.read_text()


def test_the_paper_s_figures():
    tasks = ("open-drawer", "open-door", "pour-cup", "lift-object")
    rows = {method: [table3.PAPER[method][task] for task in tasks] for method in table3.PAPER}
    assert rows == {
        "bc": [1.0, 0.96, 0.76, 0.27],
        "ppo-dense": [1.0, 1.0, 0.98, 0.97],
        "ppo-sparse": [1.0, 0.0, 0.48, 0.14],
        "dapg-sparse": [1.0, 1.0, 1.0, 1.0],
    }
    assert all(len(row) == 4 for row in table3.PAPER.values())


def test_the_runs_of_the_paper():
    runs = table3.runs(device="cuda")
    assert len(runs) == len(set(runs)) == 5 * 6 * 3
    assert all(run.epochs * run.num_envs * 32 <= 524_288_000 for run in runs)
    assert {run.label for run in runs} == set(table3.ROWS) >= set(table3.PAPER)
    assert {run.label for run in runs if run.robust} == {"dapg-sparse-robust"}
    assert {run.label for run in runs if not run.config().pretrain_epochs} == {
        "dapg-sparse-from-scratch"
    }
    assert {run.config().exploration_std for run in runs if "scratch" in run.label} == {0.5}
    assert {run.num_envs for run in runs if run.variant != "bc"} == {16_384}
    study = fewer_demos.runs(device="cuda")
    assert len(study) == len(set(study)) == 5 * 2 * 9 * 3
    assert len(set(study) & set(runs)) == 5 * 2 * 3
    assert {(one.demos, one.multiplied, one.recorded) for one in study} == {
        *((few, None, None) for few in (1, 5, 20, None)),
        *((few, many, None) for few in (1, 5) for many in (200, 1000)),
        (None, None, 1000),
    }


def test_curves_meet_where_all_are_known():
    x, mean, spread = common_grid([[0, 10], [2, 8]], [[0.0, 1.0], [0.2, 0.8]], points=3)
    assert x == [2, 5, 8]
    assert mean == pytest.approx([0.2, 0.5, 0.8])
    assert spread == pytest.approx([0, 0, 0])
    assert common_grid([[1]], [[math.nan]]) == ([], [], [])


def test_publishing(tiny, place, tmp_path):
    run, out = tiny("dapg-sparse"), tmp_path / "results"
    result = perform(run, place)
    assert publish(place.runs, out) == [run.name]
    (published,) = load(out)
    assert published.run == run
    assert {k: v for k, v in published.content.items() if k != "curve"} == result
    assert published.curve["lambda"] == [50, 49.5]
    assert published.curve["steps"] == [8, 16]
    assert published.curve["gradient_cloning"][0] > 0
    assert math.isnan(published.curve["gradient_cloning"][1])
    policy = load_policy(policy_path(out, "open-drawer", "dapg-sparse"))
    assert policy.identity.spec["task"] == "open-drawer"
    path = out / "runs" / f"{run.name}.json"
    path.write_text(path.read_text()[:-20])
    with pytest.raises(GymGraspError, match="damaged"):
        load(out)


def test_one_policy_a_cell_is_published_and_evaluated_once(tiny, place, tmp_path, monkeypatch):
    out, measured = tmp_path / "results", []
    evaluate = published.evaluate

    def counted(policy, env, episodes, seed):
        measured.append((env.max_episode_steps, episodes))
        return evaluate(policy, env, episodes, seed)

    monkeypatch.setattr(published, "evaluate", counted)
    path = policy_path(out, "open-drawer", "ppo-sparse")
    for seed in (2, 1):
        perform(tiny(seed=seed), place)
        publish(place.runs, out)
        assert load_published(path)["seed"] == seed
    assert measured == [(8, 2)] * 4
    perform(tiny(seed=3), place)
    perform(tiny("dapg-sparse", demos=2), place)
    perform(tiny(robot="ur5-leap"), place)
    before = path.read_bytes()
    publish(place.runs, out)
    shutil.rmtree(place.folder(tiny(seed=1)))
    publish(place.runs, out)
    assert path.read_bytes() == before
    assert len(measured) == 4
    assert [file.relative_to(out) for file in out.glob("policies/**/*.*")] == [
        path.relative_to(out)
    ]
    content = load_published(path)
    assert content["run"] == "open-drawer/ppo-sparse/seed-1"
    assert content["evaluation"]["episodes"] == 2
    assert set(content["evaluation"]["successes"]) == {"float32", "float16"}
