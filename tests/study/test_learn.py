"""Policies trained on the trials of each condition: from as many, judged apart, and reported."""

import dataclasses
import html
import json
import math

import pytest
import torch

pytest.importorskip("statsmodels")
pytest.importorskip("pandas")
from gym_grasp.cli.main import main
from gym_grasp.demos.episode import Episode, sparse_rewards
from gym_grasp.demos.reader import open_dataset
from gym_grasp.demos.record import describe
from gym_grasp.demos.recorder import EpisodeRecorder
from gym_grasp.envs.vector import GraspVectorEnv
from gym_grasp.errors import UsageError
from gym_grasp.learning.config import PUBLISHED_SEED
from gym_grasp.study.flow import Kind, plan, trial_seed
from gym_grasp.study.folder import Study
from gym_grasp.study.journal import Journal
from gym_grasp.study.learn import METHODS, train_conditions
from gym_grasp.study.protocol import Protocol
from gym_grasp.study.sections import policies
from gym_grasp.study.stats import wilson
from gym_grasp.study.synthetic import dry_protocol
from gym_grasp.study.tables import read_records
from gym_grasp.study.trials import file_of, trial_spec, write_trial
from gym_grasp.tasks.random import episode_seeds

PROTOCOL = dry_protocol(Protocol(tasks=("open-door",), questionnaires=(), time_limit=1.0, seed=3))
CONDITIONS = PROTOCOL.conditions
FEWER, MORE = 2, 3
TINY = {"epochs": 1, "num_envs": 2, "episodes": 2}


@pytest.fixture(scope="module")
def trials() -> tuple:
    """What a participant with each of these places does; that it is a success is made up."""
    env = GraspVectorEnv(trial_spec(PROTOCOL, "open-door"), 1, num_threads=1, autoreset=False)
    found = {}
    for slot in range(MORE):
        for step in plan(PROTOCOL, slot):
            if step.kind is Kind.TRIAL:
                seed = trial_seed(PROTOCOL, slot, step.key, 1)
                env.reset_to(torch.tensor([seed]))
                recorder = EpisodeRecorder(env)
                for _ in range(4):
                    action = torch.rand(env.action_space.shape) - 0.5
                    recorder.add(action, env.step(action)[4], {})
                found[slot, step.key] = recorder.episode(0, {})
    meta = describe(env, "synthetic", PROTOCOL.seed)
    env.close()
    return meta, found


@pytest.fixture
def study(tmp_path, trials) -> Study:
    """A study in which fewer were done with haptics than without."""
    meta, episodes = trials
    study = Study.create(tmp_path / "study", PROTOCOL)
    for slot in range(MORE):
        path = study.path(study.enrol())
        with Journal(path / "journal.jsonl") as journal:
            journal.add("consent", accepted=True)
            for step in plan(PROTOCOL, slot):
                if step.kind is Kind.TRIAL:
                    success = slot < FEWER or step.condition != CONDITIONS[0]
                    episode, file = episodes[slot, step.key], file_of(step, 1)
                    whole = as_success(episode) if success else episode
                    about = {
                        "key": step.key,
                        "attempt": 1,
                        "outcome": "success" if success else "time-out",
                        "seconds": len(episode) / meta.control_rate,
                    }
                    whole = dataclasses.replace(whole, events=about)
                    digest = write_trial(path / file, meta, whole)
                    seed = episode.seed
                    journal.add("began", key=step.key, attempt=1, seed=seed, time="")
                    journal.add("ended", file=file, sha256=digest, seed=seed, began="", **about)
    return study


def as_success(episode: Episode) -> Episode:
    return dataclasses.replace(episode, success=True, rewards=sparse_rewards(len(episode), True))


def datasets(study: Study) -> dict:
    """The demonstrations that each condition's policies learned from."""
    found = {
        one: list((study.folder / "policies" / one).rglob("study-scene*.hdf5"))
        for one in CONDITIONS
    }
    assert all(len(paths) == 1 for paths in found.values())
    return {one: open_dataset(paths[0]) for one, paths in found.items()}


def test_every_condition_gives_as_many_and_is_judged_apart(study, monkeypatch) -> None:
    monkeypatch.setattr("gym_grasp.learning.metrics.plot_learning_curve", lambda *args: None)
    told: list[str] = []
    found = train_conditions(study.folder, **TINY, tell=told.append)
    assert [(one.condition, one.method) for one in found] == [
        (condition, method) for condition in CONDITIONS for method in METHODS
    ]
    assert len(told) == len(found) == 4
    for one in found:
        assert (one.error, one.demonstrations, one.episodes) == (None, FEWER, TINY["episodes"])
        assert (one.low, one.high) == wilson(one.successes, one.episodes)
        assert 0.0 <= one.low <= one.successes / one.episodes <= one.high <= 1.0

    demonstrations = datasets(study)
    started = {
        trial_seed(PROTOCOL, slot, step.key, 1): step.condition
        for slot in range(MORE)
        for step in plan(PROTOCOL, slot)
        if step.kind is Kind.TRIAL
    }
    for condition, dataset in demonstrations.items():
        seeds = [one.seed for one in dataset.summaries]
        assert [started[seed] for seed in seeds] == [condition] * FEWER  # and none of the other
        assert all(one.success for one in dataset.summaries)
        assert dataset.meta.operator == "synthetic"

    for path in (study.folder / "policies").rglob("result.json"):
        result = json.loads(path.read_text())
        assert result["spec"]["max_episode_steps"] == 30  # as long as a participant had
        assert result["evaluation_seed"] == PUBLISHED_SEED
        base = torch.full((TINY["episodes"],), result["evaluation_seed"])
        numbers = torch.arange(TINY["episodes"])
        met = episode_seeds(base, numbers, torch.zeros_like(numbers))
        assert not set(met.tolist()) & set(started)

    def again(*arguments: object) -> str:
        pytest.fail("what is trained already was trained again")

    monkeypatch.setattr("gym_grasp.study.learn.attempt", again)
    assert train_conditions(study.folder, **TINY) == found


def test_more_trials_are_learned_from_anew(study, monkeypatch) -> None:
    drawn: list[set] = []

    def look(run, place) -> str:
        drawn.append({one.seed for one in open_dataset(place.dataset(run)).summaries})
        return "not tried"

    monkeypatch.setattr("gym_grasp.study.learn.attempt", look)
    first = train_conditions(study.folder, **TINY)
    assert {one.error for one in first} == {"not tried"}
    assert [len(seeds) for seeds in drawn] == [FEWER] * 4
    before, drawn[:] = list(drawn), []
    key = f"{CONDITIONS[1]}/open-door/1"
    seeds = [trial_seed(PROTOCOL, slot, key, 1) for slot in range(MORE)]
    slot = next(slot for slot in range(MORE) if seeds[slot] in before[2])
    with Journal(study.path(study.participants[slot]) / "journal.jsonl") as journal:
        journal.add("voided", key=key, reason="repeated")
    train_conditions(study.folder, **TINY)
    assert drawn[:2] == before[:2]  # nothing changed with haptics
    assert drawn[2:] == [set(seeds) - {seeds[slot]}] * 2


def test_it_stands_in_the_report_as_synthetic(study, capsys, monkeypatch) -> None:
    monkeypatch.setattr("gym_grasp.study.learn.attempt", write_result)
    command = ["study", "report", str(study.folder), "--train"]
    assert main([*command, "--epochs", "1", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out.splitlines()[-1])
    report = study.folder / "report"
    assert json.loads((report / "report.json").read_text()) == printed
    assert printed["synthetic"]
    first = printed["trained"][0]
    assert (first["successes"], first["episodes"], first["demonstrations"]) == (37, 100, FEWER)
    assert (first["low"], first["high"]) == pytest.approx((0.2818, 0.4678), abs=1e-4)  # Wilson
    title = "SYNTHETIC. Policies trained on each condition's trials"
    assert f"<caption>{title}</caption>" in html.unescape((report / "report.html").read_text())
    markdown = (report / "report.md").read_text()
    assert title in markdown
    for condition in CONDITIONS:
        for method in METHODS:
            row = f"| open-door | {condition} | {method} | {FEWER} | 37 of 100 \\[0.28, 0.47\\] |"
            assert row in markdown


def write_result(run, place) -> None:
    """Pretend that a run was trained."""
    folder = place.folder(run)
    folder.mkdir(parents=True)
    (folder / "result.json").write_text(json.dumps({"successes": 37, "episodes": 100}))


def test_a_condition_that_few_were_done_in_trains_nothing(study) -> None:
    for participant in ("P01", "P02"):
        with Journal(study.path(participant) / "journal.jsonl") as journal:
            journal.add("voided", key=f"{CONDITIONS[0]}/open-door/1", reason="repeated")
    found = train_conditions(study.folder, **TINY)
    assert [one.demonstrations for one in found] == [0] * 4
    assert {one.error for one in found} == {"needs 2 successful trials in every condition"}
    assert all(math.isnan(one.low) and one.episodes == 0 for one in found)
    assert not (study.folder / "policies").exists()
    _, table, _ = policies(read_records(study.folder), found)
    assert [row[-1] for row in table.rows] == ["needs 2 successful trials in every condition"] * 4


def test_nobody_to_learn_from(tmp_path) -> None:
    Study.create(tmp_path, PROTOCOL)
    with pytest.raises(UsageError, match="no trials"):
        train_conditions(tmp_path)


@pytest.mark.parametrize("wrong", [{"epochs": 0}, {"episodes": 0}, {"num_envs": -1}])
def test_numbers_out_of_range(study, wrong) -> None:
    with pytest.raises(UsageError, match="must be at least 1"):
        train_conditions(study.folder, **wrong)
    assert not (study.folder / "policies").exists()


def test_epochs_without_training(study, capsys) -> None:
    assert main(["study", "report", str(study.folder), "--epochs", "1"]) == 2
    assert "--epochs goes with --train" in capsys.readouterr().err
