"""`gym-grasp study new|run|dry-run|report|status|forget`."""

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from gym_grasp.cli.common import print_json
from gym_grasp.cli.environment import call_one
from gym_grasp.cli.serving import check_reach, network, require_aiohttp, say, serve
from gym_grasp.cli.teleop import DEFAULT_DEVICE, load_device
from gym_grasp.errors import DependencyError, UsageError
from gym_grasp.progress import bar
from gym_grasp.teleop.devices import DEVICES

Folder = Annotated[Path, tyro.conf.Positional]


def main(args: Sequence[str]) -> None:
    """Run one of the subcommands."""
    call_one("gym-grasp study", (new, run, dry_run, report, status, forget), args)


def new(
    folder: Folder,
    /,
    *,
    seed: int | None = None,
    order: Literal["latin-square", "random"] | None = None,
) -> None:
    """Begin a study: write protocol.json, which may be edited until the first participant comes.

    Args:
        folder: of the study; made if there is none.
        seed: of orders and start states; by default a new random one.
        order: counterbalanced, or drawn anew for each participant.
    """
    import secrets

    from gym_grasp.study.folder import Study
    from gym_grasp.study.protocol import ORDERS, Protocol

    seed = secrets.randbelow(2**31) if seed is None else seed
    Study.create(folder, Protocol(seed=seed, order=order or ORDERS[0]))
    say(
        f"{folder / 'protocol.json'}: edit wording, tasks and limits, then try it out with "
        f"`gym-grasp study dry-run {folder}-dry --protocol {folder}` and begin with "
        f"`gym-grasp study run {folder}`."
    )


def run(
    folder: Folder,
    /,
    *,
    participant: str | None = None,
    device: Annotated[str, tyro.conf.arg(metavar=f"{{{','.join(DEVICES)}}}")] = DEFAULT_DEVICE,
    lan: bool = False,
    port: int = 8080,
    seconds: float | None = None,
) -> None:
    """Lead one participant through the study, or go on with one whose session was cut off.

    Args:
        folder: of the study.
        participant: number of the one to go on with; by default a new participant.
        device: what moves the hand; besides webxr and keyboard, the page shows texts alone.
        lan: be reached from other machines, over https with a self-signed certificate.
        port: where to listen; 0 takes any that is free.
        seconds: stop after so long.
    """
    require_aiohttp("The study")
    check_reach(port, seconds)
    import torch

    from gym_grasp.study.conductor import Conductor
    from gym_grasp.study.folder import Study
    from gym_grasp.study.host import EXPERIMENTER, StudyHost
    from gym_grasp.teleop.devices.base import DeviceContext, OpenedDevice

    study = Study(folder)
    if study.protocol.synthetic:
        raise UsageError(
            f"{folder} is of synthetic participants; people need a study of their own."
        )
    addresses, tls = network(lan)
    options = load_device(device)()
    torch.set_num_threads(1)  # one simulation is too small to share out
    name = study.enrol(participant)
    opened: list[OpenedDevice] = []

    def open_device(env: Any) -> Any:
        opened.append(options.open(DeviceContext(env, name, say)))
        return opened[0].device

    conductor = Conductor(study, name, open_device)
    try:
        host = StudyHost(conductor, opened[0].page, tls=tls)
        asyncio.run(
            serve(
                host,
                addresses,
                invitation=f"The page of participant {name}:",
                note=lambda: "\n  ".join(
                    [
                        "Your own page, which no participant should see:",
                        *(host.address(EXPERIMENTER, one) for one in addresses),
                    ]
                ),
                lan=lan,
                port=port,
                browse=opened[0].browse,
                seconds=seconds,
            )
        )
    finally:
        conductor.close()
        study.write_tables()
    trials = len(conductor.progress.ended)
    say(f"{name}: {trials} trials, {len(conductor.progress.answers)} answers in {folder}.")
    if not conductor.over:
        say(f"Go on with `gym-grasp study run {folder} --participant {name}`.")


def dry_run(
    folder: Folder,
    /,
    *,
    participants: int = 6,
    protocol: Path | None = None,
    workers: int = 0,
    seed: int | None = None,
    time_limit: float | None = None,
    report: bool = True,
    json: bool = False,
) -> None:
    """Rehearse a study with synthetic participants, faster than real time, and report on it.

    What comes of it is labelled synthetic, and says nothing about people.

    Args:
        folder: of the rehearsal; one that was cut off is gone on with.
        participants: how many.
        protocol: folder of the study whose protocol is rehearsed; by default a new one.
        workers: how many at once; 0: as many as there are cores.
        seed: of orders and start states of a new protocol; by default 0.
        time_limit: of a trial in s; by default the protocol's.
        report: make the report at the end.
        json: print the time that it took as one JSON object.
    """
    require_aiohttp("The study")
    from dataclasses import replace

    from gym_grasp.study.dry_run import dry_run as rehearse
    from gym_grasp.study.folder import Study
    from gym_grasp.study.protocol import PROTOCOL, Protocol, load_protocol
    from gym_grasp.study.synthetic import dry_protocol

    if participants < 1 or workers < 0:
        raise UsageError(
            f"--participants is {participants} and --workers {workers}; at least 1 and 0 are "
            "expected."
        )
    begin = time.perf_counter()
    if (folder / PROTOCOL).exists():
        study = Study(folder)
        if not study.protocol.synthetic:
            raise UsageError(f"{folder} is a study of people; rehearse in a folder of its own.")
        if (protocol, seed, time_limit) != (None, None, None):
            raise UsageError(
                f"{folder} has its protocol already; leave --protocol, --seed and --time-limit out "
                "to go on."
            )
    else:
        if protocol is not None and seed is not None:
            raise UsageError(f"The protocol of {protocol} says the seed; leave --seed out.")
        wanted = load_protocol(protocol) if protocol else Protocol(seed=seed or 0)
        if time_limit is not None:
            wanted = replace(wanted, time_limit=time_limit)
        study = Study.create(folder, dry_protocol(wanted))
    with bar("synthetic participants", participants) as tell:
        rehearse(study, participants, workers, tell)
    recorded = time.perf_counter() - begin
    say(f"{folder}: {participants} synthetic participants in {recorded:.0f} s")
    if report:
        make_report(folder, None, False)
    if json:
        total = round(time.perf_counter() - begin, 1)
        print_json({"recorded_seconds": round(recorded, 1), "seconds": total})


def report(
    folder: Folder,
    /,
    *,
    out: Path | None = None,
    train: bool = False,
    epochs: int | None = None,
    json: bool = False,
) -> None:
    """Analyse a study: tables, figures and tests, as HTML, Markdown, SVG and PNG.

    Args:
        folder: of the study, or with the tables of one made elsewhere (see docs/study.md).
        out: where to write; by default the folder's `report`.
        train: train BC and DAPG on each condition's demonstrations, in equal numbers, as well.
        epochs: of each training; by default 100 of BC and 40 of DAPG.
        json: print the figures as one JSON object.
    """
    if epochs is not None and not train:
        raise UsageError("--epochs goes with --train; nothing is trained without it.")
    results = make_report(folder, out, train, epochs)
    if json:
        print_json(results)


def make_report(
    folder: Path, out: Path | None, train: bool, epochs: int | None = None
) -> dict[str, Any]:
    """Write a study's report; return its figures."""
    for package in ("scipy", "statsmodels", "pandas"):
        _need(package, "study")
    from gym_grasp.study.report import write_report

    trained = None
    if train:
        from gym_grasp.study.learn import train_conditions

        trained = train_conditions(folder, epochs, tell=say)
    results, path = write_report(folder, out or folder / "report", trained)
    say(f"{path}")
    return results


def status(folder: Folder, /, *, json: bool = False) -> None:
    """Say who took part and how far they are.

    Args:
        folder: of the study.
        json: print it as one JSON object.
    """
    from gym_grasp.study.flow import Kind
    from gym_grasp.study.folder import Study

    study, found = Study(folder), {}
    for name in study.participants:
        progress = study.progress(name)
        trials = sum(step.kind is Kind.TRIAL for step in progress.steps)
        state = "under way"
        if progress.consent is False:
            state = "declined"
        elif progress.aborted is not None:
            state = f"aborted: {progress.aborted}"
        elif progress.finished:
            state = "finished"
        found[name] = {
            "slot": study.slot(name),
            "state": state,
            "trials": len(progress.ended),
            "of": trials,
            "answers": len(progress.answers),
        }
    if json:
        print_json({"participants": found, "forgotten": study.forgotten})
        return
    for name, one in found.items():
        print(f"{name}  place {one['slot']}  {one['trials']}/{one['of']} trials  {one['state']}")
    if not found:
        print(f"Nobody has taken part yet; begin with `gym-grasp study run {folder}`.")


def forget(folder: Folder, participant: Annotated[str, tyro.conf.Positional], /) -> None:
    """Remove everything recorded of a participant; reports have to be made anew.

    Args:
        folder: of the study.
        participant: their number, such as P07.
    """
    from gym_grasp.study.folder import Study

    Study(folder).forget(participant)
    say(f"{participant} is forgotten; make the report anew, and remove copies elsewhere yourself.")


def _need(package: str, extra: str) -> None:
    from importlib.util import find_spec

    if find_spec(package) is None:
        raise DependencyError(
            f"This needs the package '{package}': pip install 'gym-grasp[{extra}]'."
        )
