"""The images that a Kaggle sample submission lists: which files they are, and what was found in them."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath

from steel_defects.core.errors import UserError
from steel_defects.page.sheet import plural
from steel_defects.predict.journal import SUBMISSION, TABLES, Journal
from steel_defects.predict.submission import read_sample, write_submission

log = logging.getLogger(__name__)

SHOWN = 40  # file names in a message


def only_listed(
    path: Path, paths: Mapping[str, Path], num_classes: int, output: Path
) -> tuple[dict[str, Path], Callable[[Journal], None]]:
    """Leave the images that a sample submission lists.

    Args:
        path: the sample submission.
        paths: name -> file.
        num_classes: defect classes.
        output: folder for `submission.csv`.

    Returns:
        the listed ones of `paths`, in the same order; and what writes the submission once they are in the journal.

    Raises:
        UserError: where the sample cannot be read, or lists images that are not in `paths`, or lists one twice.
    """
    results = [output / name for name in (*TABLES, SUBMISSION)]
    if path.resolve() in [result.resolve() for result in results]:
        raise UserError(f"submission={path} would be written over by the results; give another output")
    sample = read_sample(path, num_classes)
    names = match_sample(sample.images, paths)
    if left := len(paths) - len(names):
        log.info("Of the input, not in %s and left alone: %s", path, plural(left, "image"))
    listed = set(names.values())

    def finish(journal: Journal) -> None:
        unread = [image for image, name in names.items() if (journal.get(name) or {}).get("status") != "ok"]
        if unread:
            log.warning("Not readable, so handed in as clean: %s, %s first", plural(len(unread), "image"), unread[0])
        write_submission(output / SUBMISSION, sample, codes_of(names, journal))

    return {name: file for name, file in paths.items() if name in listed}, finish


def match_sample(images: Sequence[str], paths: Mapping[str, Path]) -> dict[str, str]:
    """Find the images that a list names, by file name.

    Args:
        images: file names.
        paths: name -> file.

    Returns:
        image -> name, in the order of the list.

    Raises:
        UserError: where images are missing, or more than one file has the name.
    """
    by_file = defaultdict(list)
    for name in paths:
        by_file[PurePosixPath(name).name].append(name)
    for kind, wrong in (
        ("are not in the input", [image for image in images if not by_file.get(image)]),
        ("are there more than once", [image for image in images if len(by_file.get(image, ())) > 1]),
    ):
        if wrong:
            more = [f"… and {len(wrong) - SHOWN} more"] if len(wrong) > SHOWN else []
            lines = "\n  ".join([*wrong[:SHOWN], *more])
            raise UserError(f"{len(wrong)} of {len(images)} images of the sample submission {kind}:\n  {lines}")
    return {image: by_file[image][0] for image in images}


def codes_of(
    names: Mapping[str, str], journal: Journal
) -> Iterator[tuple[str, dict[int, str], tuple[int, int] | None]]:
    """What a submission is made of.

    Args:
        names: id in the submission -> image in the journal.
        journal: with a record of each.

    Yields:
        id, run-length code by class, and (height, width); None for an image that could not be read.
    """
    for image, name in names.items():
        record = journal.get(name)
        if record is None or record["status"] != "ok":
            yield image, {}, None
        else:
            yield image, {int(c): code for c, code in record["codes"].items()}, (record["height"], record["width"])
