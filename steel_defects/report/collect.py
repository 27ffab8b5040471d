"""Which runs a report is about: found in folders and read; what cannot be reported is named."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from steel_defects.core.errors import UserError
from steel_defects.core.runs import RunFolder
from steel_defects.page.content import Omission
from steel_defects.report.grouping import group, of_one_data_set, repeated_seeds, without_copies
from steel_defects.report.reading import is_training, read_run
from steel_defects.report.records import Study


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
            left.append(Omission(str(folder), "holds no run" if folder.is_dir() else "is not a folder"))
        for path in found:
            if path.resolve() in seen:
                continue
            seen.add(path.resolve())
            try:
                run, missing = read_run(RunFolder(path))
                left += missing
                runs.append(run)
            except UserError as error:
                left.append(Omission(str(path), str(error).removeprefix(f"{path} ")))
    runs, copies = without_copies(runs)
    left += copies
    if not runs:
        lines = "\n".join(f"  {one}" for one in left)
        raise UserError(f"There is nothing to report:\n{lines}\nruns= takes folders of finished runs or of sweeps.")
    runs, foreign = of_one_data_set(runs)
    systems = group(runs)
    return Study(systems, left + foreign + repeated_seeds(systems))


def _find(folder: Path) -> Iterator[Path]:
    """Folders of runs, outermost first; what lies inside of a run (its resumed starts) is not another one."""
    found: list[Path] = []
    for config in sorted(folder.rglob(".hydra/config.yaml"), key=lambda path: (len(path.parts), path)):
        path = config.parent.parent
        if not any(outer in path.parents for outer in found) and is_training(config):
            found.append(path)
            yield path
