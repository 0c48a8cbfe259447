"""Files of others: damaged and crafted ones are accepted rightly, or refused in one line, in time.

A mutation fuzzer: the same seed makes the same inputs. CI takes a few; for as many as wanted, with
a table of what was tried, held and failed:

    PYTHONPATH=tests python tests/fuzz/test_files.py COUNT [SEED [KIND ...]]
"""

import contextlib
import dataclasses
import hashlib
import io
import json
import random
import re
import resource
import sys
import tempfile
import time
import traceback
from collections import Counter
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from safetensors.torch import save

from gym_grasp.cli.environment import Environment, spec_of_run
from gym_grasp.cli.resume import resume
from gym_grasp.demos import hdf5
from gym_grasp.demos.meta import DatasetMeta
from gym_grasp.demos.parts import ABOUT, parts_folder, recover
from gym_grasp.demos.reader import check, open_dataset
from gym_grasp.demos.record import describe
from gym_grasp.demos.recorder import EpisodeRecorder
from gym_grasp.demos.writer import DatasetWriter
from gym_grasp.envs.vector import GraspVectorEnv
from gym_grasp.errors import GymGraspError, reason
from gym_grasp.learning import published
from gym_grasp.learning.checkpoint import (
    CHECKPOINT,
    FORMAT,
    POLICY,
    _digest,
    load,
    load_policy,
    to_bytes,
)
from gym_grasp.learning.config import TrainConfig
from gym_grasp.learning.metrics import METRICS, read_history
from gym_grasp.learning.published import load_published
from gym_grasp.learning.record import CONFIG
from gym_grasp.learning.train import train
from gym_grasp.teleop.hand.calibration import load_calibration, save_calibration
from gym_grasp.teleop.hand.retargeting import TYPICAL
from mutations import change_bytes, change_hdf5, change_json, change_tree

SECONDS, PATIENCE = 2.0, 20.0
"""For one input: processor time of this process, and what a clock may show on a busy machine."""
BYTES = 1 << 30
"""That one input may take from this process; the one that reads HDF5 bounds itself."""
EPOCHS = 2
"""Of the run that is resumed."""
# What is read -------------------------------------------------------------------------------------


def make_dataset(folder):
    env = GraspVectorEnv("open-drawer", 3, autoreset=False, num_threads=1)
    env.reset(seed=0)
    recorder = EpisodeRecorder(env)
    for _ in range(4):
        action = torch.zeros(3, env.action_size)
        recorder.add(action, env.step(action)[-1], {"wrist_position": np.zeros((3, 3), np.float32)})
    with DatasetWriter(folder / "demos.hdf5", describe(env, "synthetic", 0)) as writer:
        for index in range(3):
            one = recorder.episode(index, {"mistakes": 0, "skill": 0.5, "strategy": "hook"})
            rewards = one.rewards.copy()
            rewards[-1] = 0
            writer.add(dataclasses.replace(one, success=True, rewards=rewards))
    env.close()


def make_run(folder):
    env = GraspVectorEnv("open-drawer", 2, num_threads=1)
    settings = {
        "spec": env.env_spec.to_dict(),
        "reward": "sparse",
        "num_envs": 2,
        "device": "cpu",
        "perturbation": {},
        "demos": None,
        "demos_from_run": None,
    }
    config = TrainConfig(method="ppo", epochs=EPOCHS, horizon=2, hidden_sizes=(4,))
    train(env, config, folder, settings=settings, progress=False)
    env.close()


def read_dataset(path):
    check(open_dataset(path))


def read_run(folder):
    """Resume, for one epoch more: what was loaded has to be good for it."""
    spec = spec_of_run(folder)
    environment = Environment(spec.robot, spec.control, spec.max_episode_steps, spec.task_options)
    resume(folder, environment=environment, epochs=EPOCHS + 1)


class Files:
    """Whole files of every kind in a folder, and for each kind how to change and to read it."""

    def __init__(self, folder):
        self.folder = folder
        self.accepted = 0
        self.start_clock()
        make_dataset(folder)
        make_run(folder / "run")
        save_calibration(folder / "hand.json", TYPICAL["joints"])
        self.dataset = (folder / "demos.hdf5").read_bytes()
        self.policy = load(folder / "run" / POLICY, "policy")
        self.checkpoint = load(folder / "run" / CHECKPOINT, "training")
        policy = load_policy(folder / "run")
        published.save_published(
            folder / "p.safetensors", policy, {"identity": vars(policy.identity), "seed": 0}
        )
        self.published = (folder / "p.safetensors").read_bytes()
        self.content = load_published(folder / "p.safetensors")
        self.config = (folder / "run" / CONFIG).read_bytes()
        self.kinds = {
            name.removeprefix("try_"): getattr(self, name)
            for name in dir(self)
            if name.startswith("try_")
        }

    def start_clock(self):
        """Making a file does not count."""
        self.began, self.worked = time.perf_counter(), time.process_time()

    def put(self, name, data):
        path = self.folder / name
        path.write_bytes(data)
        self.start_clock()
        return path

    def try_dataset_damaged(self, rng):
        read_dataset(self.put("x.hdf5", change_bytes(rng, self.dataset)))

    def try_dataset_crafted(self, rng):
        """Every digest fits what the file holds."""
        path = self.put("x.hdf5", self.dataset)
        with h5py.File(path, "r+") as file:
            for _ in range(rng.choice((1, 1, 2, 4))):
                change_hdf5(rng, file)
            try:
                file.attrs["structure"] = hdf5.structure(file)
            except Exception:
                file.attrs["structure"] = ""
        self.start_clock()
        read_dataset(path)

    def try_parts(self, rng):
        """The folder of a recording that was cut off."""
        path = self.folder / "cut.hdf5"
        path.unlink(missing_ok=True)
        dataset = open_dataset(self.put("x.hdf5", self.dataset))
        try:
            with DatasetWriter(path, dataset.meta, overwrite=True) as writer:
                writer.add(dataset.episode(0))
                writer.count_failure()
                raise KeyboardInterrupt
        except KeyboardInterrupt:
            pass
        parts = parts_folder(path)
        about = json.loads((parts / ABOUT).read_bytes())
        if rng.random() < 0.5:
            about["meta"] = json.dumps(change_tree(rng, json.loads(about["meta"])))
            (parts / ABOUT).write_text(json.dumps(about))
        elif rng.random() < 0.5:
            (parts / ABOUT).write_bytes(change_json(rng, about))
        else:
            (part,) = parts.glob("*.hdf5")
            data = change_bytes(rng, part.read_bytes())
            part.write_bytes(data)
            if rng.random() < 0.5:  # its digest, which is in its name, fits
                name = f"episode_000000_{hashlib.sha256(data).hexdigest()[:16]}.hdf5"
                part.rename(part.with_name(name))
        self.start_clock()
        read_dataset(recover(path, overwrite=True))

    def try_meta(self, rng):
        with h5py.File(self.folder / "demos.hdf5") as file:
            meta = json.loads(file.attrs["meta"])
        self.start_clock()
        try:
            DatasetMeta.from_json(change_json(rng, meta).decode("utf-8", "replace"))
        except ValueError as error:
            raise GymGraspError(reason(error)) from error

    def try_policy_damaged(self, rng):
        load_policy(self.put("x.pt", change_bytes(rng, to_bytes("policy", self.policy))))

    def try_policy_crafted(self, rng):
        act(load_policy(self.put("x.pt", craft(rng, self.policy, "policy"))))

    def try_published_damaged(self, rng):
        load_policy(self.put("x.safetensors", change_bytes(rng, self.published)))

    def try_published_crafted(self, rng):
        content = {k: v for k, v in self.content.items() if k != "state"}
        state = self.content["state"]
        if rng.random() < 0.5:
            content = change_tree(rng, content)
        else:
            state = change_tree(rng, state)
        if not isinstance(content, dict) or not isinstance(state, dict):
            content, state = {}, {}
        state = {
            k: v
            for k, v in state.items()
            if isinstance(v, torch.Tensor) and v.numel() < 1e6 and v.is_contiguous()
        }
        text = {str(k): json.dumps(v) for k, v in content.items()}
        text["sha256"] = published._digest(state, text)
        act(load_policy(self.put("x.safetensors", save(state, text))))

    def try_checkpoint_damaged(self, rng):
        load(self.put("x.pt", change_bytes(rng, to_bytes("training", self.checkpoint))), "training")

    def try_checkpoint_crafted(self, rng):
        self.put(f"run/{CONFIG}", self.config)
        self.put(f"run/{CHECKPOINT}", craft(rng, self.checkpoint, "training"))
        self.put("run/checkpoints/previous.pt", b"")
        read_run(self.folder / "run")

    def try_config(self, rng):
        self.put(f"run/{CHECKPOINT}", to_bytes("training", self.checkpoint))
        self.put(f"run/{CONFIG}", change_json(rng, json.loads(self.config)))
        try:
            read_run(self.folder / "run")
        finally:
            self.put(f"run/{CONFIG}", self.config)

    def try_metrics(self, rng):
        path = self.put(f"run/{METRICS}", change_json(rng, METRICS_EXAMPLE))
        read_history(path.parent)

    def try_calibration(self, rng):
        whole = json.loads((self.folder / "hand.json").read_bytes())
        load_calibration(self.put("x.json", change_json(rng, whole)), "joints")


METRICS_EXAMPLE = {
    "summary": {"method": "ppo", "last": {"steps": 3}},
    "epochs": [{"epoch": 0, "steps": 3, "x": None}, {"epoch": 1, "steps": 6, "x": 0.5}],
}


def act(policy):
    """A policy that was accepted can act."""
    action = policy(torch.zeros(2, policy.observation_size))
    assert action.shape == (2, policy.action_size)


def craft(rng, content, kind):
    """Return a checkpoint whose digest fits, of changed content."""
    content = {k: v for k, v in content.items() if k not in ("format", "kind", "sha256")}
    content = change_tree(rng, content)
    content = content if isinstance(content, dict) else {"x": content}
    try:
        _digest(content, BYTES)  # a host that promises more memory than it has would end us
        return to_bytes(kind, content)
    except Exception:  # no digest can be made of it
        buffer = io.BytesIO()
        torch.save({"format": FORMAT, "kind": kind, **content, "sha256": "0"}, buffer)
        return buffer.getvalue()


# The tests ----------------------------------------------------------------------------------------


def resident(what):
    """Return the memory of this process, or the most since this was asked before, in bytes."""
    status = Path("/proc/self/status").read_text()
    size = int(re.search(rf"{what}:\s+(\d+) kB", status)[1]) << 10
    Path("/proc/self/clear_refs").write_text("5")  # from now on VmHWM is of what comes
    return size


def held(files, kind, seed):
    """Return what went wrong with one input: nothing, or a reason."""
    rng = random.Random(f"{kind} {seed}")
    before = resident("VmRSS")
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            files.kinds[kind](rng)
        files.accepted += 1
    except GymGraspError as error:
        if len(str(error).splitlines()) != 1 or not str(error).isprintable():
            return f"not one line: {error!r}"[:300]
    except Exception as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        return f"{type(error).__name__} at {Path(where.filename).name}:{where.lineno}: {error}"
    seconds, waited = time.process_time() - files.worked, time.perf_counter() - files.began
    if seconds > SECONDS or waited > PATIENCE:
        return f"took {seconds:.1f} s of the processor, {waited:.1f} s in all"
    taken = resident("VmHWM") - before
    return "" if taken < BYTES else f"took {taken / 1e6:.0f} MB"


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return Files(tmp_path_factory.mktemp("files"))


KINDS = sorted(name.removeprefix("try_") for name in vars(Files) if name.startswith("try_"))


@pytest.mark.parametrize("kind", KINDS)
def test_a_few(files, kind):
    count = 4 if kind in ("dataset_damaged", "dataset_crafted", "parts") else 12
    assert {seed: why for seed in range(count) if (why := held(files, kind, seed))} == {}


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_many(files, kind):
    assert {seed: why for seed in range(200) if (why := held(files, kind, seed))} == {}


def main(count, first=0, *kinds):
    """Try many inputs of each kind; print a table, and each failure once."""
    with tempfile.TemporaryDirectory() as folder:
        files = Files(Path(folder))
        for kind in kinds or KINDS:
            began, files.accepted = time.perf_counter(), 0
            failures = Counter()
            examples = {}
            for seed in range(int(first), int(first) + int(count)):
                why = held(files, kind, seed)
                if why:
                    failures[why[:150]] += 1
                    examples.setdefault(why[:150], seed)
            failed = sum(failures.values())
            memory = max(
                resource.getrusage(who).ru_maxrss
                for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
            )
            print(
                f"| {kind} | {count} | {files.accepted} | {int(count) - failed} | {failed} |"
                f" {(time.perf_counter() - began) / int(count) * 1e3:.0f} ms | {memory >> 10} MB |",
                flush=True,
            )
            for why, number in failures.most_common():
                print(f"    {number} x, as {examples[why]}: {why}", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
