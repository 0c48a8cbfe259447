import json

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from gym_grasp.errors import CheckpointError
from gym_grasp.learning import published
from gym_grasp.learning.checkpoint import Identity, load_policy
from gym_grasp.learning.networks import Policy
from gym_grasp.learning.published import choose_precision, load_published, save_published


@pytest.fixture
def policy():
    torch.manual_seed(0)
    policy = Policy(4, 2, (8, 8))
    policy.normalizer.update(torch.randn(50, 4) * 1e-4 + 1)
    return policy


@pytest.fixture
def metadata(reach):
    return {"identity": vars(Identity(**reach().description)), "seed": 3}


@pytest.fixture
def path(tmp_path, policy, metadata):
    path = tmp_path / "bc.safetensors"
    save_published(path, policy, metadata, torch.float16)
    return path


def test_full_precision_acts_the_same(tmp_path, policy, metadata, reach):
    path = tmp_path / "task" / "bc.safetensors"
    save_published(path, policy, metadata)
    loaded = load_policy(path)
    observation = torch.randn(9, 4) * 1e-4 + 1
    assert torch.equal(loaded(observation), policy(observation))
    loaded.check(reach())
    assert loaded.path == path


def test_half_precision_halves_the_actor_alone(path, policy):
    with safe_open(path, framework="pt") as file:
        dtypes = {name: file.get_tensor(name).dtype for name in policy.state_dict()}
        text = file.metadata()
    actor = {dtypes.pop(name) for name in list(dtypes) if name.startswith("actor.")}
    assert actor == {torch.float16}
    assert set(dtypes.values()) == {torch.float32, torch.int64}
    assert json.loads(text["dtype"]) == "float16"
    assert json.loads(text["identity"])["spec"]["task"] == "reach"
    loaded = load_policy(path)
    assert all(parameter.dtype == torch.float32 for parameter in loaded.parameters())
    assert torch.equal(loaded.normalizer.var, policy.normalizer.var)
    observation = torch.randn(9, 4) * 1e-4 + 1
    rounded = published._rounded(policy, torch.float16)(observation)
    assert torch.equal(loaded(observation), rounded)
    assert not torch.equal(loaded(observation), policy(observation))


def test_metadata_comes_back(path):
    content = load_published(path)
    assert content["seed"] == 3
    assert content["identity"]["actions"] == ["step 0", "step 1"]
    assert content["hidden_sizes"] == [8, 8]
    assert content["state"]["actor.0.weight"].dtype == torch.float32


def test_damage_is_found(path):
    whole = path.read_bytes()
    header = int.from_bytes(whole[:8], "little")
    key = whole.index(b"float16")
    for place in (0, 9, key, 8 + header, 8 + header + 40, len(whole) - 1):
        data = bytearray(whole)
        data[place] ^= 0x01
        path.write_bytes(data)
        with pytest.raises(CheckpointError, match=r"bc\.safetensors (is damaged|has format|is no)"):
            load_policy(path)
    for end in (0, 5, 8 + header, len(whole) - 1):
        path.write_bytes(whole[:end])
        with pytest.raises(CheckpointError, match="damaged"):
            load_policy(path)


def test_foreign_files_are_refused(path, monkeypatch):
    with pytest.raises(CheckpointError, match="There is no file"):
        load_policy(path.with_name("none.safetensors"))
    monkeypatch.setattr(published, "FORMAT", 3)
    with pytest.raises(CheckpointError, match=r"has format 2, gym-grasp .* reads 3"):
        load_policy(path)
    save_file({"weights": torch.zeros(2)}, path)
    with pytest.raises(CheckpointError, match="is no policy of gym-grasp"):
        load_policy(path)


@pytest.mark.parametrize(("half", "dtype"), [(5, "float16"), (6, "float16"), (4, "float32")])
def test_half_precision_is_taken_where_nothing_is_lost(policy, monkeypatch, half, dtype):
    with torch.no_grad():
        policy.actor[0].weight[0, 0] = 0.1  # which float16 cannot hold

    def evaluate(candidate, env, episodes, seed):
        class Result:
            full = bool(candidate.actor[0].weight[0, 0] == policy.actor[0].weight[0, 0])
            successes = 5 if full else half

        assert (env, episodes, seed) == ("env", 10, 2**31)
        return Result

    monkeypatch.setattr(published, "evaluate", evaluate)
    chosen, evaluation = choose_precision(policy, "env", 10)
    assert chosen == getattr(torch, dtype)
    assert evaluation["successes"] == {"float32": 5, "float16": half}
    assert (evaluation["episodes"], evaluation["seed"]) == (10, 2**31)
