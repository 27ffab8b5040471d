"""Which test images a report shows: the worst of every system, and the middle ones of every kind of defect.

One run stands for each system: that of the lowest seed which has both `per_image.csv` and `predictions.csv`. Systems
without such a run are in no picture. All IoU are those at the images' own size.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import pandas as pd

from steel_defects.report.records import Run, Study


@dataclass(frozen=True)
class Typical:
    """Images for the comparison of systems, chosen by a rule.

    Args:
        one: an image for each defect class that some images have alone, by the class.
        several: an image for each set of two or more classes, by the set.
    """

    one: dict[str, str]
    several: dict[tuple[str, ...], str]


def shown_runs(study: Study) -> dict[str, Run]:
    """The run that stands for each system in pictures, by the system's name; systems without one are absent."""
    shown = {}
    for system in study.systems:
        complete = [run for run in system.runs if run.per_image is not None and run.predictions is not None]
        if complete:
            shown[system.name] = min(complete, key=lambda run: run.seed)
    return shown


def worst(shown: Mapping[str, Run], per_group: int) -> list[str]:
    """Images in which systems do badly.

    Of every system and class, those with the lowest IoU of the class among the images that truly have it; and of every
    system, the clean images with the most falsely predicted pixels (images without any are not among them).

    Args:
        shown: the run that stands for each system.
        per_group: most images of each (system, class), and of the clean ones of each system.

    Returns:
        Image ids without repetitions: system by system, class by class, worst first, ties by id.
    """
    groups = [group[:per_group] for run in shown.values() for group in _failures(run)]
    return list(dict.fromkeys(image_id for group in groups for image_id in group))


def _failures(run: Run) -> Iterator[list[str]]:
    """Ids of the images with each class, then those of the clean ones with a false alarm: worst first."""
    rows = run.tested.sort_index()
    for name in run.classes:
        affected = rows[rows[f"native_true_{name}"] > 0]
        yield affected[f"native_iou_{name}"].sort_values(kind="stable").index.tolist()
    clean = rows.drop(run.defective(native=True).index)
    false = clean[[f"native_predicted_{name}" for name in run.classes]].sum(axis=1)
    yield false[false > 0].sort_values(ascending=False, kind="stable").index.tolist()


def typical(shown: Mapping[str, Run], several: int = 3) -> Typical:
    """Images that stand for their kind: those with the median IoU of the images that have the same classes.

    IoU is averaged over the systems; of an even number of images, the lower of the two in the middle is taken; ties
    are ordered by id. Images that not every system was tested on are left aside.

    Args:
        shown: the run that stands for each system.
        several: most sets of two or more classes: the most frequent ones, ties in the order of classes.
    """
    runs = list(shown.values())
    if not runs:
        return Typical({}, {})
    names, true = runs[0].classes, runs[0].true_pixels(native=True) > 0
    # An inner join: images that are in all tables.
    iou = pd.concat([run.tested["native_iou"] for run in runs], axis=1, join="inner").mean(axis=1)
    kinds: dict[tuple[int, ...], list[str]] = {}
    for image_id in iou.sort_index().sort_values(kind="stable").index:
        classes = tuple(true.loc[image_id].to_numpy().nonzero()[0].tolist())
        kinds.setdefault(classes, []).append(image_id)
    middle = {kind: ids[(len(ids) - 1) // 2] for kind, ids in kinds.items()}
    frequent = sorted((kind for kind in kinds if len(kind) > 1), key=lambda kind: (-len(kinds[kind]), kind))
    return Typical(
        {name: middle[(c,)] for c, name in enumerate(names) if (c,) in middle},
        {tuple(names[c] for c in kind): middle[kind] for kind in frequent[:several]},
    )
