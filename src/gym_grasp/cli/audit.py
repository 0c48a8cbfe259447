"""`gym-grasp audit TASK`."""

from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from gym_grasp.cli.common import TaskName, print_json
from gym_grasp.cli.environment import EnvironmentOptions, call
from gym_grasp.errors import GymGraspError, UsageError

if TYPE_CHECKING:
    from torch import Tensor

    from gym_grasp.envs.audit import Auditor
    from gym_grasp.envs.audit_figures import Figure
    from gym_grasp.envs.spec import EnvSpec
    from gym_grasp.envs.vector import GraspVectorEnv

RANDOM, PRESS = "random", "press"
EPISODES = 16


def main(args: Sequence[str]) -> None:
    """Run the subcommand."""
    given = dict(pairwise(part for word in args for part in word.split("=", 1)))
    demos = given.get("--demos")
    base = _base(given.get("--policy"), None if demos is None else Path(demos))
    call(audit, args, "gym-grasp audit", base)


def audit(
    task: TaskName,
    /,
    *,
    environment: EnvironmentOptions,
    policy: Annotated[str | None, tyro.conf.arg(metavar="{PATH,random,press}")] = None,
    demos: Path | None = None,
    held: bool = False,
    episodes: int | None = None,
    seed: int | None = None,
    strict: bool = False,
    json: bool = False,
) -> None:
    """Measure speeds, torques, forces, depths and couplings at every physics step, against limits.

    Args:
        task: which task.
        environment: in which; with --policy or --demos by default theirs.
        policy: who acts: a run's folder or policy file, or `random`, which draws every action
            anew, or `press`, which pushes at full scale, half of the time against what stands
            there; by default the synthetic operator.
        demos: a dataset whose first episodes act instead.
        held: instead of all that, hold random directions for 10 s and come back, first without
            and then with rotations: whether the arm keeps its configuration and stands still.
        episodes: how many, one in each environment; by default 16, or all of fewer demonstrations.
        seed: of the start states, and of random actions; by default 0. Demonstrations have theirs.
        strict: fail where a limit is exceeded.
        json: print the figures as one JSON object instead of a table.
    """
    from gym_grasp.envs.audit_figures import figures
    from gym_grasp.envs.checks import checked_count
    from gym_grasp.envs.vector import GraspVectorEnv

    if policy is not None and demos is not None:
        raise UsageError("--policy and --demos both say who acts; give one of them.")
    if demos is not None and seed is not None:
        raise UsageError("--demos says the start states; leave --seed out.")
    count = checked_count("--episodes", EPISODES if episodes is None else episodes, 1)
    seed = seed or 0
    if held and (policy is not None or demos is not None):
        raise UsageError("--held says who acts; leave --policy and --demos out.")
    known = _base(policy, demos)
    if known is not None and known.task != task:
        raise UsageError(f"{policy or demos} is of the task '{known.task}', not of '{task}'.")
    spec = environment.spec(task)
    if held:
        _hold(spec, count, seed, strict, json)
        return
    if demos is not None:
        there = _available(demos, spec)
        if episodes is not None and episodes > there:
            raise UsageError(f"--episodes is {episodes}; {demos} has {there}.")
        count = min(count, there)
    env = GraspVectorEnv(spec, count, autoreset=False)
    env.reset(seed=seed)
    if demos is not None:
        auditor = _replayed(env, demos)
    elif policy is None:
        auditor = _operated(env)
    else:
        auditor = _acted(env, _policy(policy, env, seed))
    found = figures(auditor)
    who = policy or (str(demos) if demos else "operator")
    successes = int(auditor.samples.success.sum())
    env.close()
    counts = {"successes": successes, "substeps": int(auditor.samples.valid.sum())}
    head = f"{task}, {who}: {successes} of {env.num_envs} episodes succeed"
    described = {"who": who, "seed": seed, "episodes": env.num_envs, **counts}
    _report(spec, found, head, described, strict, json)


def _base(policy: str | None, demos: Path | None) -> "EnvSpec | None":
    """Return the environment of who acts; None where any will do."""
    if policy not in (None, RANDOM, PRESS):
        from gym_grasp.experiments.perform import spec_of_policy
        from gym_grasp.learning.checkpoint import load_policy

        return spec_of_policy(load_policy(str(policy)))
    if demos is not None:
        from gym_grasp.demos.reader import open_dataset

        return open_dataset(demos).env_spec()
    return None


def _available(demos: Path, spec: "EnvSpec") -> int:
    """Return how many episodes a dataset has; refuse those of another environment."""
    from gym_grasp.demos.reader import open_dataset

    dataset = open_dataset(demos)
    dataset.require(spec)
    return len(dataset)


def _hold(spec: "EnvSpec", count: int, seed: int, strict: bool, json: bool) -> None:
    """Report what held directions do."""
    from gym_grasp.envs.held import held_figures
    from gym_grasp.envs.vector import GraspVectorEnv

    found: list[Figure] = []
    for rotations in (False, True):
        env = GraspVectorEnv(spec, count, autoreset=False)
        env.reset(seed=seed)
        found += held_figures(env, seed, rotations)
        env.close()
    described = {"who": "held", "seed": seed, "episodes": count}
    _report(spec, found, f"{spec.task}, held directions: {count} arms", described, strict, json)


def _report(
    spec: "EnvSpec",
    found: "list[Figure]",
    head: str,
    described: dict[str, Any],
    strict: bool,
    json: bool,
) -> None:
    """Print the figures under a head line, or as JSON; with `strict` refuse what exceeds."""
    from gym_grasp.envs.audit_figures import markdown

    exceeded = [one.name for one in found if not one.ok]
    if json:
        whole = {"task": spec.task, "spec": spec.to_dict(), **described, "exceeded": exceeded}
        print_json({**whole, "figures": [one.to_dict() for one in found]})
    else:
        print(head, "", *markdown(found), sep="\n")
    if strict and exceeded:
        raise GymGraspError(f"{len(exceeded)} limit(s) exceeded: {'; '.join(exceeded)}.")


def _policy(name: str, env: "GraspVectorEnv", seed: int) -> "Callable[[Tensor], Tensor]":
    from gym_grasp.envs.held import presser

    if name == PRESS:
        return presser(env, seed)
    return _random(env, seed) if name == RANDOM else _loaded(name, env)


def _loaded(path: str, env: "GraspVectorEnv") -> "Callable[[Tensor], Tensor]":
    from gym_grasp.learning.checkpoint import load_policy

    policy, here = load_policy(path), env.description
    for what, known in (
        ("observations", policy.identity.observations),
        ("actions", policy.identity.actions),
    ):
        if list(known) != here[what]:
            raise UsageError(
                f"{path} knows {len(known)} {what}, of which the environment has others or in "
                "another order; leave --robot and the task's options out."
            )
    return policy


def _random(env: "GraspVectorEnv", seed: int) -> "Callable[[Tensor], Tensor]":
    import torch

    generator = torch.Generator().manual_seed(seed)
    shape = env.num_envs, env.action_size
    return lambda _: 2.0 * torch.rand(shape, generator=generator) - 1.0


def _acted(env: "GraspVectorEnv", policy: "Callable[[Tensor], Tensor]") -> "Auditor":
    import torch

    from gym_grasp.envs.audit import Auditor

    auditor, observation = Auditor(env), env.observation()
    with torch.no_grad():
        while auditor.running.any():
            observation = auditor.step(policy(observation))[0]
    return auditor


def _operated(env: "GraspVectorEnv") -> "Auditor":
    import torch

    from gym_grasp.demos.operators.operator import SyntheticOperator
    from gym_grasp.envs.audit import Auditor

    auditor, operator = Auditor(env), SyntheticOperator(env)
    while auditor.running.any():
        auditor.step(operator.act()[0])
        operator.rest(torch.from_numpy(~auditor.running))
    return auditor


def _replayed(env: "GraspVectorEnv", demos: Path) -> "Auditor":
    import numpy as np
    import torch

    from gym_grasp.demos.reader import open_dataset
    from gym_grasp.envs.audit import Auditor

    episodes = open_dataset(demos).summaries[: env.num_envs]
    env.reset_to(torch.tensor([one.seed for one in episodes], dtype=torch.int64))
    auditor = Auditor(env)
    lengths = np.array([len(one) for one in episodes])
    for step in range(lengths.max()):
        actions = [one.actions[min(step, len(one) - 1)] for one in episodes]
        auditor.step(torch.from_numpy(np.stack(actions)))
        auditor.stop(lengths == step + 1)
    return auditor
