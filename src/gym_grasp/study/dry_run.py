"""A study with synthetic participants: a rehearsal of everything, faster than real time."""

import asyncio
import multiprocessing
import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

from gym_grasp.study.conductor import Conductor
from gym_grasp.study.folder import Study
from gym_grasp.study.host import StudyHost
from gym_grasp.study.synthetic import Participant, skill_of
from gym_grasp.teleop.web.page import PageDevice


def dry_run(
    study: Study, count: int, workers: int = 0, tell: Callable[[int], None] = lambda done: None
) -> None:
    """Let synthetic participants take part until so many are done; goes on where it was killed.

    Args:
        study: a synthetic one.
        count: participants in all.
        workers: at once; 0: as many as there are cores.
        tell: called with how many are done.
    """
    missing = [one for one in study.participants if not study.progress(one).finished][:count]
    while len(study.participants) < count:
        missing.append(study.enrol())
    done = count - len(missing)
    tell(done)
    workers = min(workers or len(os.sched_getaffinity(0)), len(missing))
    if workers <= 1:
        for name in missing:
            take_part(study.folder, name)
            tell(done := done + 1)
    else:
        context = multiprocessing.get_context("spawn")  # torch does not outlive a fork
        with ProcessPoolExecutor(workers, context) as pool:
            futures = [pool.submit(take_part, study.folder, name) for name in missing]
            for future in as_completed(futures):
                future.result()
                tell(done := done + 1)
    study.write_tables()


def take_part(folder: Path, name: str) -> None:
    """Let one synthetic participant do what is left for them."""
    import torch

    torch.set_num_threads(1)  # one simulation is too small to share out
    study = Study(folder)
    page = PageDevice()
    conductor = Conductor(study, name, lambda env: page, "synthetic")
    try:
        asyncio.run(_take_part(conductor, page))
    finally:
        conductor.close()


async def _take_part(conductor: Conductor, page: PageDevice) -> None:
    host = StudyHost(conductor, page, files={}, lockstep=True)
    await host.start("127.0.0.1", 0)
    running = asyncio.create_task(host.run())
    slot, seed = conductor.slot, conductor.protocol.seed
    try:
        await Participant(host, skill_of(seed, slot), slot).take_part()
    finally:
        host.stop()
        await running
