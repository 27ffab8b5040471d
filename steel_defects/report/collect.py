"""Which runs a report is about: found in folders, read, and put together where they differ in their seed alone."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from steel_defects.core.errors import UserError
from steel_defects.core.paper import PAPER
from steel_defects.core.runs import RunFolder
from steel_defects.core.settings import Role, keys_with
from steel_defects.page.content import Omission
from steel_defects.report.reading import is_training, read_run
from steel_defects.report.records import Run, Study, System
from steel_defects.train.settings import TrainSettings

# Where it ran, with which seed, and what it told of itself; and what a resumed run was started with.
_ASIDE = keys_with(TrainSettings, Role.ASIDE)


def collect(folders: Sequence[Path]) -> Study:
    """Find and read all runs in some folders.

    Args:
        folders: folders of runs, of sweeps, or of anything that holds such, at any depth.

    Raises:
        UserError: where there is nothing to report, naming all that was found instead.
    """
    runs: list[Run] = []
    omissions: list[Omission] = []
    seen: set[Path] = set()
    for folder in folders:
        paths = list(_run_folders(folder))
        if not paths:
            omissions.append(Omission(str(folder), "holds no run" if folder.is_dir() else "is not a folder"))
        for path in paths:
            if path.resolve() in seen:
                continue
            seen.add(path.resolve())
            try:
                run, lacking = read_run(RunFolder(path))
                omissions += lacking
                runs.append(run)
            except UserError as error:
                omissions.append(Omission(str(path), str(error).removeprefix(f"{path} ")))
    runs, copies = _without_copies(runs)
    omissions += copies
    if not runs:
        lines = "\n".join(f"  {omission}" for omission in omissions)
        raise UserError(f"There is nothing to report:\n{lines}\nruns= takes folders of finished runs or of sweeps.")
    runs, foreign = _of_one_data_set(runs)
    systems = _systems(runs)
    return Study(systems, [*omissions, *foreign, *_repeated_seeds(systems)])


def _run_folders(folder: Path) -> Iterator[Path]:
    """Folders of runs, outermost first; what lies inside of a run (its resumed starts) is not another one."""
    paths: list[Path] = []
    for config in sorted(folder.rglob(".hydra/config.yaml"), key=lambda path: (len(path.parts), path)):
        path = config.parent.parent
        if not any(outer in path.parents for outer in paths) and is_training(config):
            paths.append(path)
            yield path


def _without_copies(runs: Iterable[Run]) -> tuple[list[Run], list[Omission]]:
    """A copied run would count as two seeds."""
    kept: dict[str, Run] = {}
    copies = []
    for run in runs:
        content = [_identity(run), run.seed, run.summary["data"], run.summary["test"]]
        first = kept.setdefault(_key(content), run)
        if first is not run:
            copies.append(Omission(str(run.folder.path), f"is the same run as {first.folder.path}: counted once"))
    return list(kept.values()), copies


def _of_one_data_set(runs: Sequence[Run]) -> tuple[list[Run], list[Omission]]:
    """The runs of the data and classes that most have; the others, named."""
    kinds: dict[str, list[Run]] = {}
    words = {"name": "data", "data_hash": "data hash", "classes": "classes"}
    for run in runs:
        kinds.setdefault(_key([run.summary["data"][key] for key in words]), []).append(run)
    most = max(kinds.values(), key=len)
    ours, foreign = most[0].summary["data"], []
    for run in runs:
        theirs = run.summary["data"]
        differs = [
            f"{word} {theirs[key]} instead of {ours[key]}" for key, word in words.items() if theirs[key] != ours[key]
        ]
        if differs:
            foreign.append(Omission(str(run.folder.path), f"{'; '.join(differs)}: it needs a report of its own"))
    return most, foreign


def _repeated_seeds(systems: Iterable[System]) -> Iterator[Omission]:
    """Runs of a system that have a seed in common, and yet are not the same."""
    for system in systems:
        if repeated := sorted({seed for seed in system.seeds if system.seeds.count(seed) > 1}):
            numbers = ", ".join(map(str, repeated))
            yield Omission(system.name, f"has several runs with seed {numbers}: each counts as a run")


def _systems(runs: Iterable[Run]) -> list[System]:
    """Put runs that differ in nothing but their seed together, and give each such group a name of its own."""
    groups: dict[str, list[Run]] = {}
    for run in runs:
        groups.setdefault(_key(_identity(run)), []).append(run)
    by_name: dict[str, list[list[Run]]] = {}
    for members in groups.values():
        by_name.setdefault(str(members[0].summary["system"]), []).append(members)
    systems: dict[str, System] = {}
    for name, alike in by_name.items():
        differing = _brief(differences([members[0] for members in alike]))
        for k, members in enumerate(alike):
            changes = ", ".join(f"{key}={values[k]}" for key, values in differing.items())
            full_name = f"{name} ({changes})" if changes else name
            full_name = full_name if full_name not in systems else f"{full_name} #{k + 1}"
            paper = name if name in PAPER else None
            systems[full_name] = System(full_name, paper, sorted(members, key=lambda run: run.seed))
    order = list(PAPER)
    return sorted(systems.values(), key=lambda system: order.index(system.paper) if system.paper else len(order))


def differences(runs: Sequence[Run]) -> dict[str, list]:
    """Settings that some runs have otherwise than others: their values in the order of the runs.

    Seed, place and the like are left aside; None stands for a setting that a run does not have.
    """
    settings = [_identity(run) for run in runs]
    columns = {key: [of_run.get(key) for of_run in settings] for of_any in settings for key in of_any}
    return {key: column for key, column in columns.items() if any(value != column[0] for value in column)}


def _brief(differing: Mapping[str, list]) -> dict[str, list]:
    """Without what a choice of a group says already: `recipe=strong` instead of all that is in it."""
    names = {key.removesuffix(".name"): values for key, values in differing.items() if key.endswith(".name")}

    def is_said(key: str, values: list) -> bool:
        name = names.get(key.split(".", 1)[0])
        if name is None:
            return False
        return len({str(pair) for pair in zip(name, values, strict=True)}) == len(set(map(str, name)))

    rest = {key: v for key, v in differing.items() if not key.endswith(".name") and not is_said(key, v)}
    return names | rest


def _identity(run: Run) -> dict[str, Any]:
    """The settings that make a run what it is."""
    # `auto` on this machine is what another was told to be.
    settings = run.settings | {"trainer.precision": run.summary.get("precision")}
    return {
        key: value
        for key, value in settings.items()
        # A key that an earlier version did not know is the same as null.
        if value is not None and not any(key == aside or key.startswith(f"{aside}.") for aside in _ASIDE)
    }


def _key(values: object) -> str:
    return json.dumps(values, sort_keys=True, default=str)
