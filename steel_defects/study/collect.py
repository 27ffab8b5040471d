"""Which runs a report is about: found in folders and read; what cannot be reported is named."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from omegaconf import OmegaConf

from steel_defects.errors import UserError
from steel_defects.runs import RunFolder
from steel_defects.study.grouping import group, of_one_data_set, without_copies
from steel_defects.study.records import Left, Run, Study


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
    runs, copies = without_copies(runs)
    left += copies
    if not runs:
        lines = "\n".join(f"  {one}" for one in left)
        raise UserError(f"There is nothing to report:\n{lines}\nruns= takes folders of finished runs or of sweeps.")
    runs, foreign = of_one_data_set(runs)
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
