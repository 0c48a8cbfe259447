"""Leading a participant through: what is recorded, what counts, and what a crash leaves."""

import csv

import numpy as np
import pytest
from study_fakes import SHORT, Person

from gym_grasp.demos.reader import open_dataset
from gym_grasp.errors import GymGraspError, UsageError
from gym_grasp.study.conductor import Conductor
from gym_grasp.study.folder import Study
from gym_grasp.study.protocol import CONDITIONS, Protocol
from gym_grasp.study.trials import Judge, read_trial
from gym_grasp.teleop.session.session import State


def table(person: Person, name: str) -> list[dict]:
    with open(person.study.folder / f"{name}.csv", newline="") as file:
        return list(csv.DictReader(file))


def test_from_consent_to_thanks(tmp_path) -> None:
    person = Person(tmp_path / "study")
    conductor = person.conductor
    assert conductor.screen().kind == "consent"
    person.accept()
    for _ in range(2):
        assert conductor.screen().kind == "trial"
        person.trial()
        assert conductor.screen().kind == "item"
        person.answer()
    assert conductor.over
    assert conductor.progress.finished
    assert conductor.screen().text == SHORT.texts["end"]
    rows = table(person, "trials")
    assert [row["outcome"] for row in rows] == ["unrecoverable"] * 2
    assert {row["condition"] for row in rows} == set(CONDITIONS)
    assert all(float(row["seconds"]) == pytest.approx(0.2) for row in rows)
    assert [row["value"] for row in table(person, "answers")] == ["3"] * 4
    for row in rows:
        dataset = open_dataset(tmp_path / "study" / row["file"])
        assert dataset.meta.operator == "human"
        assert dataset.meta.spec["options"] == {"goal": "open-door"}
        episode = dataset.episode(0)
        assert (episode.events["participant"], episode.events["task"]) == ("P01", "open-door")
        assert {"wrist_position", "fingertip_force", "brake", "vibration"} <= set(
            episode.operator_input
        )
    consent = next(e for e in conductor.journal.events if e["event"] == "consent")
    assert consent["accepted"]
    assert consent["text"] == SHORT.consent
    assert consent["time"].endswith("+00:00")
    conductor.close()


def test_the_tables_lie_beside_as_parquet(tmp_path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    person = Person(tmp_path / "study")
    person.accept()
    person.trial()
    person.answer()
    person.conductor.close()
    person.study.write_tables()
    for name in ("trials", "answers"):
        rows = table(person, name)
        found = parquet.read_table(person.study.folder / f"{name}.parquet")
        assert found.column_names == list(rows[0])
        assert [
            {k: "" if v is None else str(v) for k, v in row.items()} for row in found.to_pylist()
        ] == rows


def test_who_declines_is_not_recorded_and_gives_the_place_away(tmp_path) -> None:
    person = Person(tmp_path / "study")
    person.conductor.choose(0)
    person.conductor.confirm()
    assert person.conductor.over
    assert person.conductor.screen().text == SHORT.texts["declined"]
    assert table(person, "trials") == []
    person.conductor.close()
    name = person.study.enrol()
    assert (name, person.study.slot(name)) == ("P02", 0)


def test_buttons_answer_as_the_page_does(tmp_path) -> None:
    person = Person(tmp_path / "study")
    conductor = person.conductor
    person.tick()
    person.tick(reset=True)  # nothing is chosen yet
    assert conductor.screen().kind == "consent"
    person.tick()
    person.tick(clutch=True)
    assert conductor.selected == 0
    person.tick()
    person.tick(clutch=True)
    assert conductor.selected == 1
    person.tick()
    person.tick(next=True)
    assert conductor.screen().kind == "trial"
    person.trial()
    person.tick()
    person.tick(discard=True)
    assert conductor.selected == 5  # from the far end
    person.tick(40, discard=True)
    assert conductor.selected == 5  # not yet repeated
    person.tick(120, discard=True)
    assert conductor.selected == 1  # a key that is held goes on to the end
    person.tick()
    person.tick(30, reset=True)  # held: confirms one item, not two
    assert conductor.step is not None
    assert conductor.step.item == 1
    assert conductor.selected is None
    conductor.back()
    assert (conductor.step.item, conductor.selected) == (0, 1)
    conductor.choose(2)
    conductor.confirm()
    assert conductor.step.item == 1
    assert conductor.progress.answers[f"{conductor.step.condition}/asked/1"] == 2
    with pytest.raises(UsageError, match="expected one of"):
        conductor.choose(6)
    conductor.close()


def test_what_is_withheld_is_recorded_and_not_felt(tmp_path, monkeypatch) -> None:
    person = Person(tmp_path / "study")
    strong = np.tile([0.0, 0.0, -30.0], (5, 1)), np.tile([0.0, 0.0, 1.0], (5, 1))
    monkeypatch.setattr(
        "gym_grasp.teleop.haptics.forces.FingertipForces.measure", lambda *_: strong
    )
    person.accept()
    felt, recorded = {}, {}
    for _ in range(2):
        step = person.conductor.step
        assert step is not None
        person.hand.felt.clear()
        person.trial()
        felt[step.condition] = max(person.hand.felt)
        ended = person.conductor.progress.ended[step.key]
        episode = read_trial(person.study.path("P01") / ended["file"])
        recorded[step.condition] = episode.operator_input["brake"].max()
        assert ended["peak_force"] == pytest.approx(150.0)
        person.answer()
    assert felt == recorded == {"haptics": 1.0, "no-haptics": 0.0}
    person.conductor.close()


def test_time_is_up(tmp_path) -> None:
    person = Person(tmp_path / "study")
    person.accept()
    person.engage()
    person.tick(200)
    (ended,) = person.conductor.progress.ended.values()
    assert ended["outcome"] == "time-out"
    assert ended["seconds"] == pytest.approx(2.0)
    assert person.conductor.last == "time-out"
    person.conductor.close()


def test_the_experimenter_pauses_repeats_and_aborts(tmp_path) -> None:
    person = Person(tmp_path / "study")
    conductor = person.conductor
    with pytest.raises(UsageError, match="No trial"):
        conductor.repeat()
    with pytest.raises(UsageError, match="No trial is running"):
        conductor.fail()
    person.accept()
    person.engage()
    person.tick(18)
    conductor.pause(True)
    before = conductor.seconds
    person.tick(90, clutch=True)
    assert conductor.session.state is State.PAUSED
    assert conductor.seconds <= before + 1 / 30
    assert conductor.screen().note == SHORT.texts["paused"]
    conductor.pause(False)
    person.engage()
    person.tick(18)
    conductor.mark("slipped")
    first = conductor.session.env.episode_seed.item()
    conductor.repeat()
    assert conductor.progress.running is None
    assert conductor.session.env.episode_seed.item() != first
    person.trial()
    (ended,) = conductor.progress.ended.values()
    assert ended["attempt"] == 2
    assert ended["wall_seconds"] == pytest.approx(0.2, abs=0.05)
    conductor.note("left-handed")
    conductor.abort("felt sick")
    assert conductor.over
    rows = table(person, "trials")
    assert [(row["counts"], row["reason"]) for row in rows] == [("False", "repeated"), ("True", "")]
    assert float(rows[0]["wall_seconds"]) < 1.0  # a second's pause is taken off
    assert person.study.left("P01")
    conductor.close()


def test_a_trial_that_was_running_is_done_again(tmp_path) -> None:
    person = Person(tmp_path / "study")
    person.accept()
    person.engage()
    person.tick(30)
    seed = person.conductor.session.env.episode_seed.item()
    person.crash()
    again = Person(tmp_path / "study")
    assert again.conductor.screen().kind == "trial"  # consent is not asked for again
    assert again.conductor.session.env.episode_seed.item() != seed
    again.trial()
    rows = table(again, "trials") if again.conductor.over else []
    assert rows == []
    (ended,) = again.conductor.progress.ended.values()
    assert ended["attempt"] == 2
    assert [one["reason"] for one in again.conductor.progress.voided] == ["cut off"]
    again.conductor.close()


@pytest.mark.parametrize("event", ["ended", "voided"])
def test_a_trial_whose_file_was_whole_is_neither_lost_nor_doubled(
    tmp_path, monkeypatch, event
) -> None:
    person = Person(tmp_path / "study")
    person.accept()
    person.engage()
    person.tick(30)
    write = Conductor._write

    def die(self: Conductor, name: str, **values: object) -> None:
        if name == event:
            raise KeyboardInterrupt
        write(self, name, **values)

    monkeypatch.setattr(Conductor, "_write", die)
    with pytest.raises(KeyboardInterrupt):
        person.conductor.fail() if event == "ended" else person.conductor.repeat()
    person.crash()
    monkeypatch.setattr(Conductor, "_write", write)
    again = Person(tmp_path / "study")
    progress = again.conductor.progress
    if event == "ended":
        (ended,) = progress.ended.values()
        assert ended["adopted"]
        assert (ended["outcome"], ended["attempt"]) == ("unrecoverable", 1)
        assert again.conductor.screen().kind == "item"
    else:
        assert not progress.ended
        assert [one["reason"] for one in progress.voided] == ["repeated"]
        assert again.conductor.screen().kind == "trial"
    again.conductor.close()


def test_two_processes_do_not_lead_one_person(tmp_path) -> None:
    person = Person(tmp_path / "study")
    with pytest.raises(GymGraspError, match="Another process"):
        Person(tmp_path / "study")
    with pytest.raises(GymGraspError, match="taking part at the moment"):
        person.study.forget("P01")
    person.conductor.close()


def test_who_is_forgotten_is_gone(tmp_path) -> None:
    person = Person(tmp_path / "study")
    person.accept()
    person.trial()
    person.conductor.note("a secret")
    person.conductor.close()
    study = person.study
    assert study.enrol() == "P02"
    made = [study.folder / name for name in ("report", "policies")]
    for folder in made:
        folder.mkdir()
    study.forget("P01")
    for path in study.folder.rglob("*"):
        assert "secret" not in (path.read_text(errors="replace") if path.is_file() else "")
    assert not study.path("P01").exists()
    assert not any(folder.exists() for folder in made)
    assert study.participants == ["P02"]
    assert table(person, "trials") == []
    name = study.enrol()
    assert (name, study.slot(name)) == ("P03", 0)  # the number is not given again, the place is
    with pytest.raises(UsageError, match="no participant 'P01'"):
        study.forget("P01")


def test_the_judge_waits_whether_what_is_lost_stays_so() -> None:
    class Env:
        control_rate = 30.0
        physics = None
        lost = True

        @property
        def task(self) -> "Env":
            return self

    env = Env()
    env.lost = lambda physics: [lost]  # type: ignore[assignment]
    judge, lost = Judge(env), True
    assert [judge(env) for _ in range(14)] == [""] * 14
    lost = False
    assert judge(env) == ""
    lost = True
    assert [judge(env) for _ in range(15)] == [""] * 14 + ["unrecoverable"]


def test_practice_ends_when_they_are_ready(tmp_path) -> None:
    protocol = Protocol(tasks=("open-door",), practice_seconds=5.0, questionnaires=())
    person = Person(tmp_path / "study", protocol)
    person.accept()
    assert person.conductor.screen().kind == "practice"
    person.engage()
    person.tick(30)
    person.tick(next=True)
    assert person.conductor.screen().kind == "trial"
    (practised,) = (e for e in person.conductor.journal.events if e["event"] == "practised")
    assert practised["by"] == "participant"
    assert not list((person.study.path("P01") / "trials").iterdir())
    person.conductor.close()
    assert Study(tmp_path / "study").progress("P01").practised == {practised["key"]}
