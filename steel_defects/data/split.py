"""The split into train, val and test: seeded, stratified by the classes in an image, twins undivided."""

from __future__ import annotations

import csv
import hashlib
import math
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Sequence
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

    A group's stratum is the union of the classes of its images. Strata are dealt out one after the other, rarest
    first, big groups first, each to the part that lacks most so far: within its stratum, a part gets its share up to
    one group; which part gets the odd one is decided by what all strata so far have left it short of, in images and
    in images of each class. So strata too small to be divided do not all fall to train.

    Args:
        class_sets: the classes in each image, empty for a clean one.
        groups: group number of each image; a group is never divided.
        fractions: shares of train, val and test in the number of images; they sum to 1.
        seed: deals groups of one stratum and size in another order.

    Returns:
        One of `PARTS` for each image. With at least as many groups as parts of a share above 0 none of these is
        empty, and a class in at least three groups is in train.

    Raises:
        UserError: where the fractions are invalid.
        ValueError: where `class_sets` and `groups` differ in length.
    """
    check_fractions(fractions)
    if len(class_sets) != len(groups):
        raise ValueError(f"{len(class_sets)} class sets and {len(groups)} group numbers do not fit together")
    sizes = Counter(groups)
    union: dict[int, set[int]] = defaultdict(set)
    for number, classes in zip(groups, class_sets, strict=True):
        union[number].update(classes)
    strata: dict[tuple[int, ...], list[int]] = defaultdict(list)
    names = list(union)
    for k in np.random.default_rng(seed).permutation(len(names)):
        strata[tuple(sorted(union[names[k]]))].append(names[k])

    part_of: dict[int, int] = {}
    lacking = [0.0] * len(PARTS)
    class_lacking: dict[int, list[float]] = defaultdict(lambda: [0.0] * len(PARTS))
    images_in = {stratum: sum(sizes[g] for g in members) for stratum, members in strata.items()}
    for stratum in sorted(strata, key=lambda s: (images_in[s], s)):
        tallies = [lacking, *(class_lacking[c] for c in stratum)]
        members = sorted(strata[stratum], key=lambda g: -sizes[g])
        part_of.update(_deal(members, sizes, images_in[stratum], fractions, tallies))
    _fill_empty_parts(part_of, sizes, fractions)
    _bring_classes_to_train(part_of, sizes, union)
    return [PARTS[part_of[number]] for number in groups]


def check_fractions(fractions: Sequence[float]) -> None:
    """Raise `UserError` unless these are three shares that sum to 1, none negative and the first above 0."""
    shares = fractions if isinstance(fractions, Sequence) else ()
    if len(shares) != len(PARTS) or not all(isinstance(share, int | float) for share in shares):
        raise UserError(f"data.split.fractions = {fractions}: it takes three numbers, for train, val and test")
    message = ""
    if not all(math.isfinite(f) and f >= 0 for f in fractions):
        message = "a share cannot be negative"
    elif not fractions[0] > 0:
        message = "nothing is left to train on"
    elif abs(sum(fractions) - 1) > 1e-6:
        message = f"they sum to {sum(fractions):g}, not to 1"
    if message:
        raise UserError(f"data.split.fractions = {list(fractions)}: {message}")


def _deal(
    members: list[int], sizes: Counter, images: int, fractions: Sequence[float], tallies: list[list[float]]
) -> dict[int, int]:
    """Deal the groups of one stratum. `tallies` say how many images each part lacks, and are kept up to date."""
    for tally in tallies:
        for p, fraction in enumerate(fractions):
            tally[p] += fraction * images
    wanted = [fraction * images for fraction in fractions]
    owed: list[float] = [
        math.floor(w + _EPSILON) for w in wanted
    ]  # the least each part must get, as far as groups allow
    images_left = images
    dealt = {}
    for number in members:
        size = sizes[number]
        open_parts = [p for p, w in enumerate(wanted) if w > _EPSILON]
        # Whoever got one beyond its share now leaves another short.
        if sum(o for o in owed if o > 0) > images_left - size:
            open_parts = [p for p in open_parts if owed[p] > 0] or open_parts
        # The whole counts as much as the classes together: rare classes would else be level and the total not.
        score = [tallies[0][p] + sum(t[p] for t in tallies[1:]) / max(1, len(tallies) - 1) for p in range(len(PARTS))]
        part = max(open_parts, key=lambda p: score[p])
        dealt[number] = part
        images_left -= size
        for account in (wanted, owed, *tallies):
            account[part] -= size
    return dealt


def _fill_empty_parts(part_of: dict[int, int], sizes: Counter, fractions: Sequence[float]) -> None:
    for part, fraction in enumerate(fractions):
        counts = Counter(part_of.values())
        if fraction > 0 and not counts[part] and counts and max(counts.values()) > 1:
            giver = counts.most_common(1)[0][0]
            part_of[min((g for g in part_of if part_of[g] == giver), key=lambda g: sizes[g])] = part


def _bring_classes_to_train(part_of: dict[int, int], sizes: Counter, union: dict[int, set[int]]) -> None:
    """Where train lacks a class of three groups or more, one moves there, from the part with most: none is emptied."""
    for c in sorted(set().union(*union.values())):
        holders = [g for g in part_of if c in union[g]]
        counts = Counter(part_of[g] for g in holders)
        if len(holders) >= 3 and not counts[0]:
            giver = counts.most_common(1)[0][0]
            part_of[min((g for g in holders if part_of[g] == giver), key=lambda g: sizes[g])] = 0


def write_split(
    path: Path,
    image_ids: Sequence[str],
    parts: Sequence[str],
    class_sets: Sequence[tuple[int, ...]],
    groups: Sequence[int],
) -> None:
    """Write which image went where: CSV with `ImageId`, `part`, `classes` ("1 3", empty for a clean image) and `group`.

    The file appears whole or not at all; the folder is made where it is missing.
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
        (
            [name for name in part_of if name and name not in known],
            "of the split not in the data set",
        ),
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
