"""What a synthetic human sees of the hand that it moves, whatever that hand is."""

import numpy as np
import pytest
import torch

from gym_grasp.demos.operators.operator import SyntheticOperator
from gym_grasp.envs.spec import EnvSpec
from gym_grasp.envs.vector import GraspVectorEnv
from gym_grasp.errors import UsageError
from gym_grasp.robots import leap


@pytest.mark.parametrize(
    ("robot", "middle"), [("ur5-sih", "middle_proximal"), ("ur5-three", "middle_lower")]
)
def test_it_sees_wrist_and_fingers(robot, middle):
    env = GraspVectorEnv("open-drawer", 2, num_threads=1, autoreset=False, robot=robot)
    env.reset(seed=0)
    hand = env.robot.hand
    drives = torch.zeros(len(hand.drives))
    drives[hand.drives.index("middle")] = 0.3
    qpos = env.physics.bind("qpos").clone()
    qpos[1, 6 : 6 + len(hand.joints)] = hand.joint_targets(drives)
    qpos[1, :6] += torch.linspace(-0.3, 0.3, 6)
    env.physics.reset(torch.ones(2, dtype=torch.bool), qpos)
    human = SyntheticOperator(env).humans[1]
    position, quaternion = human.see_wrist()
    expected, orientation = env.controller.wrist_pose()
    np.testing.assert_array_equal(position, expected[1])
    np.testing.assert_array_equal(human.feel_wrist(), position)
    np.testing.assert_array_equal(human.position, position)
    np.testing.assert_array_equal(quaternion, orientation[1])
    assert human.see_drive("middle") == pytest.approx(0.3, abs=1e-6)
    assert human.see_drive("index") == pytest.approx(0.0, abs=1e-6)
    angle = human.see_joint(f"hand/{middle}")
    assert angle == pytest.approx(float(hand.joint_targets(drives)[hand.joints.index(middle)]))
    # The three-fingered hand has no ring finger; its last one stands for it.
    assert human.see_drive("ring") == pytest.approx(0.3 if robot == "ur5-three" else 0.0, abs=1e-6)
    env.close()


@pytest.mark.parametrize(
    ("goal", "kind"),
    [
        *(("all", kind) for kind in ("cube", "lever", "cup")),
        *(("stack-cubes", "cube"), ("open-door", "lever"), ("pour-cup", "cup")),
    ],
)
def test_a_study_scene_with_something_it_cannot_hold_is_refused_at_once(goal, kind, monkeypatch):
    monkeypatch.delitem(leap._GRASPS, kind)
    spec = EnvSpec("study-scene", robot="ur5-leap", options={"goal": goal})
    env = GraspVectorEnv(spec, 1, num_threads=1, autoreset=False)
    env.reset(seed=0)
    with pytest.raises(UsageError, match=f"'leap' has no grasp of a {kind}"):
        SyntheticOperator(env).act()
    env.close()
