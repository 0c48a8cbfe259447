import json

import pytest
import torch

from gym_grasp.cli.main import main
from gym_grasp.envs.spec import EnvSpec
from gym_grasp.errors import CheckpointError
from gym_grasp.learning.checkpoint import Identity, load_policy, policy_file
from gym_grasp.learning.networks import Policy
from gym_grasp.tasks.features import Packer

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Return the path of a policy whose actions reach the clip, as do observations."""
    spec = EnvSpec("open-drawer")
    observed = list(Packer(spec.features).names)
    torch.manual_seed(0)
    policy = Policy(len(observed), len(spec.action_names), (32, 16))
    policy.normalizer.update(0.2 * torch.randn(100, len(observed)) + 0.3)
    with torch.no_grad():
        policy.actor[-1].weight.mul_(30)
    identity = Identity(spec.to_dict(), observed, list(spec.action_names), "scene")
    path = tmp_path_factory.mktemp("run") / "policy.pt"
    path.write_bytes(policy_file(policy, identity))
    return path


def test_onnx_acts_as_the_policy_and_says_what_it_is(trained, tmp_path, capsys):
    path = tmp_path / "policy.onnx"
    assert main(["export", str(trained), "--to", str(path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["max_difference"] <= 1e-5
    session = onnxruntime.InferenceSession(path)
    policy = load_policy(trained)
    for count in (1, 7):
        observation = 3 * torch.randn(count, policy.observation_size)
        observation[0, 0] = 1e4  # beyond the clip of the normaliser
        (action,) = session.run(["action"], {"observation": observation.numpy()})
        expected = policy(observation)
        assert float((torch.from_numpy(action) - expected).abs().max()) <= 1e-5
    assert expected.abs().max() == 1
    assert 0.1 < expected.abs().median() < 1
    about = session.get_modelmeta().custom_metadata_map
    about = {key: json.loads(value) for key, value in about.items()}
    assert about["env_name"] == "gym_grasp/OpenDrawer-v5"
    assert EnvSpec.from_dict(about["spec"]) == EnvSpec("open-drawer")
    assert about["observation_names"][0] == "drawer_opening"
    assert about["observation_units"][:2] == ["m", "rad"]
    assert len(about["observation_units"]) == policy.observation_size
    assert about["action_names"][6] == "drive thumb_rotation"
    assert about["action_full_scale"][:6] == [0.6] * 3 + [3.0] * 3
    assert about["action_units"][3] == "rad/s, world"
    assert len(about["action_full_scale"]) == len(about["action_units"]) == policy.action_size
    assert about["control_rate_hz"] == pytest.approx(30)


def test_a_file_that_acts_otherwise_is_not_written(trained, tmp_path, monkeypatch):
    from gym_grasp.learning import export

    policy = load_policy(trained)
    monkeypatch.setattr(export, "OBSERVATION_LIMIT", 9.0)
    with pytest.raises(CheckpointError, match="act otherwise"):
        export.export_onnx(policy, tmp_path / "policy.onnx", {})
    assert not list(tmp_path.iterdir())


def test_another_suffix_is_refused(trained, tmp_path, capsys):
    assert main(["export", str(trained), "--to", str(tmp_path / "policy.pt")]) == 2
    assert ".onnx" in capsys.readouterr().err
