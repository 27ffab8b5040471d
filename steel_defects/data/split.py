"""The split into train, val and test: seeded, stratified by the classes in an image, twins undivided."""

from __future__ import annotations

import csv
import hashlib
import math
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from steel_defects.core.errors import DataFaults, Fault, UserError
from steel_defects.core.files import write_rows

PARTS = ("train", "val", "test")

_EPSILON = 1e-9  # shares such as 0.1 * 30 are not exact


def make_split(
    class_sets: Sequence[tuple[int, ...]],
    groups: Sequence[int],
    fractions: tuple[float, float, float] = (0.8, 0.1, 0.1),
    seed: int = 0,
) -> list[str]:
    """Divide images among train, val and test.

    Strata (`stratify`) are dealt out one after the other, rarest first, each group to the part that lacks most so far:
    within its stratum, a part gets its share up to one group; which part gets the odd one is decided by what all
    strata so far have left it short of, in images and in images of each class. So strata too small to be divided do
    not all fall to train.

    Args:
        class_sets: the classes in each image, empty for a clean one.
        groups: group number of each image; a group is never divided.
        fractions: shares of train, val and test in the number of images; they sum to 1, the first is above 0.
        seed: deals groups of one stratum and size in another order.

    Returns:
        One of `PARTS` for each image. With at least as many groups as parts of a share above 0 none of these is
        empty, and a class in at least three groups is in train.

    Raises:
        ValueError: where `class_sets` and `groups` differ in length.
    """
    sizes = Counter(groups)
    strata = stratify(class_sets, groups, seed)
    part_of: dict[int, int] = {}
    lacking = [0.0] * len(PARTS)
    class_lacking: dict[int, list[float]] = defaultdict(lambda: [0.0] * len(PARTS))
    images_in = {stratum: sum(sizes[g] for g in members) for stratum, members in strata.items()}
    for stratum in sorted(strata, key=lambda s: (images_in[s], s)):
        tallies = [lacking, *(class_lacking[c] for c in stratum)]
        part_of.update(_deal(strata[stratum], sizes, images_in[stratum], fractions, tallies))
    _fill_empty_parts(part_of, sizes, fractions)
    _bring_classes_to_train(part_of, sizes, strata)
    return [PARTS[part_of[number]] for number in groups]


def stratify(
    class_sets: Sequence[tuple[int, ...]], groups: Sequence[int], seed: int
) -> dict[tuple[int, ...], list[int]]:
    """Sort groups by the classes in them.

    Args:
        class_sets: the classes in each image, empty for a clean one.
        groups: group number of each image.
        seed: draws the order of groups of one size.

    Returns:
        Sorted union of the classes of a group's images -> numbers of the groups with just these, those with most
        images first.

    Raises:
        ValueError: where `class_sets` and `groups` differ in length.

    Example:
        >>> stratify([(1,), (2,), (), (), ()], [7, 7, 3, 9, 9], seed=0)
        {(): [9, 3], (1, 2): [7]}
    """
    sizes = Counter(groups)
    union: dict[int, set[int]] = defaultdict(set)
    for number, classes in zip(groups, class_sets, strict=True):
        union[number].update(classes)
    strata: dict[tuple[int, ...], list[int]] = defaultdict(list)
    numbers = list(union)
    for k in np.random.default_rng(seed).permutation(len(numbers)):
        strata[tuple(sorted(union[numbers[k]]))].append(numbers[k])
    return {stratum: sorted(members, key=lambda g: -sizes[g]) for stratum, members in strata.items()}


def _deal(
    members: list[int], sizes: Counter[int], images: int, fractions: Sequence[float], tallies: list[list[float]]
) -> dict[int, int]:
    """Deal the groups of one stratum. `tallies` say how many images each part lacks, and are kept up to date."""
    wanted = [fraction * images for fraction in fractions]
    for tally in tallies:
        for p, images_wanted in enumerate(wanted):
            tally[p] += images_wanted
    # The least that each part must get, as far as groups allow.
    owed: list[float] = [math.floor(images_wanted + _EPSILON) for images_wanted in wanted]
    undealt = images
    dealt = {}
    for number in members:
        size = sizes[number]
        undealt -= size
        open_parts = [p for p, images_wanted in enumerate(wanted) if images_wanted > _EPSILON]
        if sum(o for o in owed if o > 0) > undealt:  # whoever got one beyond its share now leaves another short
            open_parts = [p for p in open_parts if owed[p] > 0] or open_parts
        # The whole counts as much as the classes together: rare classes would else be level and the total not.
        score = [tallies[0][p] + sum(t[p] for t in tallies[1:]) / max(1, len(tallies) - 1) for p in range(len(PARTS))]
        part = max(open_parts, key=lambda p: score[p])
        dealt[number] = part
        for account in (wanted, owed, *tallies):
            account[part] -= size
    return dealt


def _fill_empty_parts(part_of: dict[int, int], sizes: Counter[int], fractions: Sequence[float]) -> None:
    for part, fraction in enumerate(fractions):
        counts = Counter(part_of.values())
        if fraction > 0 and not counts[part] and counts and max(counts.values()) > 1:
            _move_smallest(part_of, part_of, sizes, part)


def _bring_classes_to_train(
    part_of: dict[int, int], sizes: Counter[int], strata: Mapping[tuple[int, ...], list[int]]
) -> None:
    """Where train lacks a class of three groups or more, one moves there, from the part with most: none is emptied."""
    classes_of = {number: stratum for stratum, members in strata.items() for number in members}
    for c in sorted(set().union(*strata)):
        holders = [g for g in part_of if c in classes_of[g]]
        if len(holders) >= 3 and all(part_of[g] != 0 for g in holders):
            _move_smallest(part_of, holders, sizes, 0)


def _move_smallest(part_of: dict[int, int], candidates: Collection[int], sizes: Counter[int], part: int) -> None:
    """Move the smallest of some groups to a part, from the part with most of them."""
    giver = Counter(part_of[g] for g in candidates).most_common(1)[0][0]
    part_of[min((g for g in candidates if part_of[g] == giver), key=lambda g: sizes[g])] = part


def write_split(
    path: Path,
    image_ids: Sequence[str],
    parts: Sequence[str],
    class_sets: Sequence[tuple[int, ...]],
    groups: Sequence[int],
) -> None:
    """Write which image went where: CSV with `ImageId`, `part`, `classes` ("1 3", empty for a clean image) and `group`.

    The file appears whole or not at all; the folder is made where it is missing.

    Raises:
        UserError: where it cannot be written.
    """
    columns = zip(image_ids, parts, class_sets, groups, strict=True)
    rows = ([name, part, " ".join(map(str, sorted(classes))), int(group)] for name, part, classes, group in columns)
    write_rows(Path(path), ["ImageId", "part", "classes", "group"], rows)


def read_split(path: Path, image_ids: Sequence[str], dropped: Collection[str] = ()) -> list[str]:
    """Read a split back. Only the columns `ImageId` and `part` are needed.

    Args:
        path: a file as `write_split` writes it; a byte order mark and CRLF line ends are fine.
        image_ids: the images of the data set.
        dropped: images that are left out of it, and may be in the file all the same.

    Returns:
        One of `PARTS` for each of `image_ids`, in their order.

    Raises:
        UserError: where the file cannot be read.
        DataFaults: all faults at once: missing columns, unknown parts, images listed twice, images that only the file
            or only the data set has, no image for train.
    """
    try:
        with Path(path).open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, skipinitialspace=True)
            columns = [name.strip() for name in reader.fieldnames or []]
            reader.fieldnames = columns
            rows = [(reader.line_num, row) for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"The split {path} cannot be read: {reason}. data.split.file names it.") from error
    way_out = "Mend the file, or set data.split.file to null to draw a new split."
    missing = [name for name in ("ImageId", "part") if name not in columns]
    if missing:
        faults = [Fault(str(path), f"column {name} is missing; there are: {', '.join(columns)}", 1) for name in missing]
        raise DataFaults(faults, way_out)

    faults = []
    part_of: dict[str, str] = {}
    row_of: dict[str, int] = {}
    for line, row in rows:
        name, part = ((row[column] or "").strip() for column in ("ImageId", "part"))
        if not name:
            faults.append(Fault(str(path), "no ImageId", line))
        elif name in row_of:
            faults.append(Fault(str(path), f"{name} is listed already in row {row_of[name]}", line))
        if part not in PARTS:
            faults.append(Fault(str(path), f"unknown part {part!r}: it takes {', '.join(PARTS)}", line))
        row_of.setdefault(name, line)
        part_of.setdefault(name, part)
    known = {*image_ids, *dropped}
    for names, message in (
        ([name for name in image_ids if name not in part_of], "of the data set not in the split"),
        ([name for name in part_of if name and name not in known], "of the split not in the data set"),
    ):
        if names:
            faults.append(Fault(str(path), f"{_count(names)} {message}: {_some(names)}"))
    if not faults and "train" not in part_of.values():
        faults.append(Fault(str(path), "no image is in train"))
    if faults:
        raise DataFaults(faults, way_out)
    return [part_of[name] for name in image_ids]


def split_hash(image_ids: Iterable[str], parts: Iterable[str]) -> str:
    """12 hexadecimal digits that tell one split from another; the order of the images does not matter."""
    lines = sorted(f"{name}\0{part}\n" for name, part in zip(image_ids, parts, strict=True))
    return hashlib.sha256("".join(lines).encode()).hexdigest()[:12]


def _count(names: Sequence[str]) -> str:
    return f"{len(names)} image{'s' if len(names) > 1 else ''}"


def _some(names: Sequence[str]) -> str:
    rest = len(names) - 10
    return ", ".join(names[:10]) + (f" and {rest} more" if rest > 0 else "")
