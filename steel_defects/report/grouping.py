"""Which runs belong together: those of the same data, and those that differ in their seed alone."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from steel_defects.core.paper import PAPER
from steel_defects.core.settings import Role, keys_with
from steel_defects.page.content import Omission
from steel_defects.report.records import Run, System
from steel_defects.train.settings import TrainSettings

# Where it ran, with which seed, and what it told of itself; and what a resumed run was started with.
_ASIDE = keys_with(TrainSettings, Role.ASIDE)


def without_copies(runs: list[Run]) -> tuple[list[Run], list[Omission]]:
    """A copied run would count as two seeds."""
    kept: dict[str, Run] = {}
    left = []
    for run in runs:
        one = json.dumps([_own(run), run.seed, run.summary["data"], run.summary["test"]], sort_keys=True, default=str)
        if one in kept:
            left.append(Omission(str(run.folder.path), f"is the same run as {kept[one].folder.path}: counted once"))
        else:
            kept[one] = run
    return list(kept.values()), left


def repeated_seeds(systems: Iterable[System]) -> list[Omission]:
    """Runs of a system that have a seed in common, and yet are not the same."""
    left = []
    for system in systems:
        twice = sorted({seed for seed in system.seeds if system.seeds.count(seed) > 1})
        if twice:
            seeds = ", ".join(map(str, twice))
            left.append(Omission(system.name, f"has several runs with seed {seeds}: each counts as a run"))
    return left


def of_one_data_set(runs: list[Run]) -> tuple[list[Run], list[Omission]]:
    """The runs of the data and classes that most have; the others, named."""
    kinds: dict[str, list[Run]] = {}
    for run in runs:
        data = run.summary["data"]
        kinds.setdefault(json.dumps([data["name"], data["data_hash"], data["classes"]]), []).append(run)
    most = max(kinds.values(), key=len)
    ours, left = most[0].summary["data"], []
    for run in runs:
        theirs = run.summary["data"]
        differs = [
            f"{word} {theirs[key]} instead of {ours[key]}"
            for key, word in (("name", "data"), ("data_hash", "data hash"), ("classes", "classes"))
            if theirs[key] != ours[key]
        ]
        if differs:
            left.append(Omission(str(run.folder.path), f"{'; '.join(differs)}: it needs a report of its own"))
    return most, left


def group(runs: Iterable[Run]) -> list[System]:
    """Put runs that differ in nothing but their seed together, and give each such group a name of its own."""
    groups: dict[str, list[Run]] = {}
    for run in runs:
        groups.setdefault(json.dumps(_own(run), sort_keys=True, default=str), []).append(run)
    by_name: dict[str, list[list[Run]]] = {}
    for members in groups.values():
        by_name.setdefault(str(members[0].summary["system"]), []).append(members)
    systems, names = [], set()
    for name, alike in by_name.items():
        differing = differences([members[0] for members in alike])
        for k, members in enumerate(alike):
            changes = ", ".join(f"{key}={values[k]}" for key, values in _brief(differing).items())
            paper = name if name in PAPER else None
            own_name = f"{name} ({changes})" if changes else name
            own_name = own_name if own_name not in names else f"{own_name} #{k + 1}"
            names.add(own_name)
            systems.append(System(own_name, paper, sorted(members, key=lambda run: run.seed)))
    order = list(PAPER)
    return sorted(systems, key=lambda system: order.index(system.paper) if system.paper else len(order))


def differences(runs: Sequence[Run]) -> dict[str, list]:
    """Settings that some runs have otherwise than others: their values in the order of the runs.

    Seed, place and the like are left aside; None stands for a setting that a run does not have.
    """
    own = [_own(run) for run in runs]
    keys = dict.fromkeys(key for settings in own for key in settings)
    values = {key: [settings.get(key) for settings in own] for key in keys}
    return {key: column for key, column in values.items() if any(value != column[0] for value in column)}


def _brief(differing: Mapping[str, list]) -> dict[str, list]:
    """Without what a choice of a group says already: `recipe=strong` instead of all that is in it."""
    names = {key.removesuffix(".name"): values for key, values in differing.items() if key.endswith(".name")}

    def said(key: str, values: list) -> bool:
        name = names.get(key.split(".", 1)[0])
        if name is None:
            return False
        return len({str(pair) for pair in zip(name, values, strict=True)}) == len(set(map(str, name)))

    rest = {key: v for key, v in differing.items() if not key.endswith(".name") and not said(key, v)}
    return names | rest


def _own(run: Run) -> dict[str, Any]:
    """The settings that make a run what it is."""
    # `auto` on this machine is what another was told to be.
    settings = run.settings | {"trainer.precision": run.summary.get("precision")}
    return {
        key: value
        for key, value in settings.items()
        if not any(key == aside or key.startswith(aside + ".") for aside in _ASIDE)
    }
