"""A checkpoint whose digest fits, but not what is in it: torch would read beyond its tensors."""

import math

import pytest
import torch

from gym_grasp.errors import CheckpointError
from gym_grasp.learning.checkpoint import CHECKPOINT, load, to_bytes
from training import run, same

NAN = float("nan")


def put(*path, value):
    """Return a change of one value, which a function makes of the old one, or which is given."""

    def change(content):
        *parts, last = path
        for part in parts:
            content = content[part]
        content[last] = value(content[last]) if callable(value) else value

    return change


def moments(value):
    return put("learner", "optimizer", "state", 1, "exp_avg", value=value)


def own(*path, value):
    return put("processes", 0, *path, value=value)


CHANGES = [
    (moments(torch.zeros(0)), r"optimizer.1.exp_avg is torch.float32 of shape \(0,\)"),
    (moments(lambda old: old.reshape(-1)[:-1].clone()), "optimizer.1.exp_avg is"),
    (moments(lambda old: old.bool()), "exp_avg is torch.bool"),
    (moments(lambda old: old.mT.contiguous().mT), "not dense"),
    (moments(lambda old: old * NAN), "exp_avg holds NaN"),
    (moments(None), "exp_avg is a NoneType"),
    (put("learner", "optimizer", "state", 1, value={}), r"optimizer.1 has \[\]"),
    (
        put("learner", "model", "log_std", value=lambda old: old.double()),
        "log_std is torch.float64",
    ),
    (put("learner", "learning_rate", value=torch.ones(1)), "learning_rate is"),
    (own("observation", value=torch.zeros(3)), r"observation is torch.float32 of shape \(3,\)"),
    (own("random", "generator", value=lambda old: old[:-1].clone()), "generator is torch.uint8"),
    (own("random", "torch_rng", value=None), "torch_rng is a NoneType"),
    (own("random", "sampler", "order", value=lambda old: old + 1), "name each pair once"),
    (own("random", "sampler", "position", value=10**6), "position is 1000000"),
    (put("epoch", value=0), "0 epochs"),
    (put("steps", value=-1), "-1 steps"),
    (put("seconds", value=math.inf), "inf s"),
    (put("history", 0, "epoch", value=3), "epoch 0 says epoch 3"),
    (put("history", 0, "rollout/success", value=1.5), "rates that are none"),
    (put("history", 0, "loss/value", value=10**400), "'loss/value' of epoch 0 is"),
    (put("history", 0, "evaluation/success", value=0.5), "lacks its interval"),
]


def begin(reach, demonstrate, folder, change):
    """Train for an epoch and change its checkpoint, whose digest fits; return the file."""
    run(reach(), folder, demonstrate(), epochs=1)
    content = load(folder / CHECKPOINT, "training")
    change(content)
    made = ("format", "kind", "package_version", "sha256")
    content = {name: value for name, value in content.items() if name not in made}
    (folder / CHECKPOINT).write_bytes(to_bytes("training", content))
    return folder / CHECKPOINT


@pytest.mark.parametrize(("change", "message"), CHANGES)
def test_what_does_not_fit_is_not_loaded(reach, demonstrate, tmp_path, change, message):
    path = begin(reach, demonstrate, tmp_path, change)
    before = path.read_bytes()
    with pytest.raises(CheckpointError, match=message):
        run(reach(), tmp_path, demonstrate(), resume=True, epochs=2)
    assert path.read_bytes() == before


def test_the_settings_of_the_optimizer_are_not_the_files(reach, demonstrate, tmp_path):
    results = []
    changes = {"whole": dict, "changed": put("learner", "optimizer", "param_groups", value=[])}
    for name, change in changes.items():
        path = begin(reach, demonstrate, tmp_path / name, change)
        run(reach(), tmp_path / name, demonstrate(), resume=True, epochs=2)
        results.append(load(path, "training")["learner"])
    assert same(*results)
