"""Which runs a report is about: found in folders, read, grouped into systems; what cannot be reported is named."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
from omegaconf import OmegaConf

from steel_defects.errors import UserError
from steel_defects.paper import PAPER
from steel_defects.runs import RunFolder

# Settings that do not make a run another system: where it ran, with which seed, and what it told of itself.
_ASIDE = (
    *("seed", "resume", "figures", "speed", "sweep", "logger", "data.root", "data.num_workers"),
    *("trainer.progress", "trainer.accelerator", "trainer.devices", "trainer.num_nodes", "trainer.strategy"),
)


@dataclass(frozen=True)
class Left:
    """Something that is not reported, or not in full.

    Args:
        path: of the folder or file.
        reason: why, and what is missing of it for that.
    """

    path: str
    reason: str

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"


@dataclass(frozen=True, eq=False)
class Run:
    """A finished run, read.

    Args:
        folder: that it lies in.
        summary: `summary.json`.
        settings: its configuration, by dotted key.
        overrides: as typed.
        history: a row an epoch; empty where the file is missing.
        per_image: a row a test image by `ImageId`; None where the file is missing.
        predictions: columns `ClassId`, `EncodedPixels`, `ResizedPixels` by `ImageId`; None where the file is missing.
    """

    folder: RunFolder
    summary: dict
    settings: dict[str, Any]
    overrides: list[str]
    history: pd.DataFrame
    per_image: pd.DataFrame | None
    predictions: pd.DataFrame | None

    @property
    def seed(self) -> int:
        return self.summary["seed"]

    @property
    def classes(self) -> list[str]:
        """Names of the defect classes."""
        return self.summary["data"]["classes"]

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) in pixels that the net works at."""
        return tuple(self.summary["data"]["size"])

    def defective(self, native: bool) -> pd.DataFrame:
        """The rows of `per_image` whose truth has a defect, at the images' own size or at the net's."""
        prefix = "native_true_" if native else "true_"
        return self.per_image[self.per_image[[f"{prefix}{name}" for name in self.classes]].any(axis=1)]

    def test_set(self) -> tuple:
        """Equal for runs that were tested on the same images with the same labels."""
        pixels = self.per_image[[f"native_true_{name}" for name in self.classes]]
        return tuple(sorted(pixels.itertuples(name=None)))


@dataclass(frozen=True, eq=False)
class System:
    """Runs that differ in their seed alone.

    Args:
        name: unlike that of any other system of the study.
        paper: its name in the paper's tables; None where it is not in them.
        runs: at least one, by seed.
    """

    name: str
    paper: str | None
    runs: list[Run]

    @property
    def seeds(self) -> list[int]:
        return [run.seed for run in self.runs]


@dataclass(frozen=True, eq=False)
class Study:
    """What a report is about. All runs are of the same data and classes.

    Args:
        systems: at least one; the paper's first, in its order.
        left: what is not reported, or not in full.
    """

    systems: list[System]
    left: list[Left] = field(default_factory=list)

    @property
    def runs(self) -> list[Run]:
        return [run for system in self.systems for run in system.runs]

    @property
    def classes(self) -> list[str]:
        """Names of the defect classes."""
        return self.systems[0].runs[0].classes


def collect(folders: Sequence[Path]) -> Study:
    """Find and read all runs in some folders.

    Args:
        folders: of runs, of sweeps, or of anything that holds such, at any depth.

    Raises:
        UserError: where there is nothing to report, naming all that was found instead.
    """
    runs, left = [], []
    seen: set[Path] = set()
    for folder in folders:
        found = list(_find(folder))
        if not found:
            left.append(Left(str(folder), "holds no run" if folder.is_dir() else "is not a folder"))
        for path in found:
            if path.resolve() in seen:
                continue
            seen.add(path.resolve())
            try:
                run, missing = _read(RunFolder(path))
                left += missing
                runs.append(run)
            except UserError as error:
                left.append(Left(str(path), str(error).removeprefix(f"{path} ")))
    runs, copies = _without_copies(runs)
    left += copies
    if not runs:
        lines = "\n".join(f"  {one}" for one in left)
        raise UserError(f"There is nothing to report:\n{lines}\nruns= takes folders of finished runs or of sweeps.")
    runs, foreign = _of_one_data_set(runs)
    return Study(group(runs), left + foreign)


def _find(folder: Path) -> Iterator[Path]:
    """Folders of runs, outermost first; what lies inside of a run (its resumed starts) is not another one."""
    found: list[Path] = []
    for config in sorted(folder.rglob(".hydra/config.yaml"), key=lambda path: (len(path.parts), path)):
        path = config.parent.parent
        if any(outer in path.parents for outer in found):
            continue
        found.append(path)
        yield path


def _read(folder: RunFolder) -> tuple[Run, list[Left]]:
    """Read a run, and name what it lacks.

    Raises:
        UserError: where it cannot be reported at all.
    """
    try:
        cfg = OmegaConf.load(folder.config)
        settings = dict(flat(OmegaConf.to_container(cfg, resolve=True)))
        overrides = list(OmegaConf.load(folder.config.with_name("overrides.yaml")))
    except Exception as error:  # YAML's errors, OmegaConf's, the system's
        raise UserError(f"its configuration cannot be read ({type(error).__name__}: {error})") from error
    if "recipe.epochs" not in settings:
        raise UserError("is no run of steel_defects.train")
    summary = folder.read_summary()
    if summary.get("status") != "finished":
        raise UserError(f"{summary.get('status')}: {summary.get('error')}")
    lacking = [key for key in ("system", "seed", "data", "test", "speed") if key not in summary]
    lacking += [f"data.{key}" for key in ("name", "classes", "size", "data_hash") if key not in summary.get("data", {})]
    if lacking:
        raise UserError(f"summary.json lacks {', '.join(lacking)}: it was written by another version, or by hand")
    left = []

    def table(path: Path, needs: Iterable[str], without: str) -> pd.DataFrame | None:
        try:
            rows = pd.read_csv(path, dtype={"ImageId": str}, keep_default_na=path != folder.predictions)
            absent = [column for column in needs if column not in rows]
            reason = f"lacks the column {', '.join(absent[:3])}" if absent else None
            if path == folder.per_image and not absent and rows["ImageId"].duplicated().any():
                reason = f"has several rows of {rows['ImageId'][rows['ImageId'].duplicated()].iloc[0]}"
        except FileNotFoundError:
            reason = "is missing"
        except (ValueError, OSError) as error:  # pandas' own are ValueErrors
            reason = f"cannot be read ({str(error).splitlines()[0]})"
        if reason is None:
            return rows
        left.append(Left(str(path), f"{reason}; left out of {without}"))
        return None

    classes = summary["data"]["classes"]
    columns = ["ImageId", "iou", "native_iou"]
    counts = [f"{key}_{name}" for key in ("iou", "true", "predicted", "hit") for name in classes]
    columns += counts + [f"native_{count}" for count in counts]
    per_image = table(folder.per_image, columns, "all comparisons image by image")
    predictions = table(
        folder.predictions, ["ImageId", "ClassId", "EncodedPixels", "ResizedPixels"], "the pictures of predictions"
    )
    history = table(folder.history, ["epoch", "val/miou"], "the curves")
    run = Run(
        folder,
        summary,
        settings,
        overrides,
        pd.DataFrame() if history is None else history,
        None if per_image is None else per_image.set_index("ImageId"),
        None if predictions is None else predictions.set_index("ImageId"),
    )
    return run, left


def flat(values: Mapping, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The leaves of nested mappings, by dotted key."""
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _without_copies(runs: list[Run]) -> tuple[list[Run], list[Left]]:
    """A copied run would count as two seeds."""
    kept: dict[str, Run] = {}
    left = []
    for run in runs:
        one = json.dumps([_own(run), run.seed, run.summary["data"], run.summary["test"]], sort_keys=True, default=str)
        if one in kept:
            left.append(Left(str(run.folder.path), f"is the same run as {kept[one].folder.path}: counted once"))
        else:
            kept[one] = run
    return list(kept.values()), left


def _of_one_data_set(runs: list[Run]) -> tuple[list[Run], list[Left]]:
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
            left.append(Left(str(run.folder.path), f"{'; '.join(differs)}: it needs a report of its own"))
    return most, left


def group(runs: Iterable[Run]) -> list[System]:
    """Put runs that differ in nothing but their seed together, and give each such group a name of its own."""
    groups: dict[str, list[Run]] = {}
    for run in runs:
        groups.setdefault(json.dumps(_own(run), sort_keys=True, default=str), []).append(run)
    by_name: dict[str, list[list[Run]]] = {}
    for members in groups.values():
        by_name.setdefault(str(members[0].summary["system"]), []).append(members)
    systems = []
    for name, alike in by_name.items():
        differing = differences([members[0] for members in alike])
        for k, members in enumerate(alike):
            changes = ", ".join(f"{key}={values[k]}" for key, values in _brief(differing).items())
            paper = name if name in PAPER else None
            own_name = f"{name} ({changes})" if changes else name
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
        name = names.get(key.split(".", 1)[0], [])
        return len({str(pair) for pair in zip(name, values, strict=False)}) == len(set(map(str, name)))

    rest = {key: v for key, v in differing.items() if not key.endswith(".name") and not (names and said(key, v))}
    return names | rest


def _own(run: Run) -> dict[str, Any]:
    """The settings that make a run what it is."""
    return {
        key: value
        for key, value in run.settings.items()
        if not any(key == aside or key.startswith(aside + ".") for aside in _ASIDE)
    }
