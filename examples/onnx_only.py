"""Drive an environment by a policy that is an ONNX file: the policy needs no torch.

gym-grasp export RUN --to policy.onnx
python examples/onnx_only.py policy.onnx
"""

import json
import sys

import gymnasium
import onnxruntime

import gym_grasp  # noqa: F401 - registers the environments

FIRST_SEED = 2**31  # apart from training's


def load(path: str) -> onnxruntime.InferenceSession:
    """Open a policy on one thread: more only wait for each other in networks this small."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def main(path: str, episodes: int = 10) -> int:
    """Run some episodes of the policy's own environment; return how many succeeded."""
    session = load(path)
    about = session.get_modelmeta().custom_metadata_map
    spec = json.loads(about["spec"])
    limit = spec["max_episode_steps"]
    env = gymnasium.make(json.loads(about["env_name"]), task=spec, max_episode_steps=limit)
    successes = 0
    for episode in range(episodes):
        observation, _ = env.reset(seed=FIRST_SEED + episode)
        ended = False
        while not ended:
            (action,) = session.run(["action"], {"observation": observation[None]})
            observation, _, terminated, truncated, info = env.step(action[0])
            ended = terminated or truncated
        successes += info["success"]
    env.close()
    print(f"{spec['task']}: {successes} of {episodes} episodes succeed")
    return successes


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
