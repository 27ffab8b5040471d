"""The second half of an audit: a reviewer's verdicts become corrected labels."""

from __future__ import annotations

import logging
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from steel_defects import CONF_DIR
from steel_defects.audit.relabel import corrected_labels, write_corrected
from steel_defects.audit.review import read_review
from steel_defects.cli.console import wide_console
from steel_defects.core.errors import UserError
from steel_defects.data.catalog import list_images, load_catalog
from steel_defects.data.settings import DataSettings
from steel_defects.inference.loading import open_engine
from steel_defects.inference.run_data import data_settings
from steel_defects.page.sheet import Sheet, plural

log = logging.getLogger(__name__)

_MEANING = {
    "accept": "the suggestion replaces the label",
    "keep": "the label stays",
    "exclude": "the image is left out by data.exclude",
    "": "not looked at, the label stays",
}


def correct(settings: dict, folder: Path, chosen: DataSettings | None = None, changes: Mapping | None = None) -> Path:
    """Write a label file in which what was accepted is corrected.

    Args:
        settings: conf/audit.yaml, composed and checked, as plain values; its `data` is not looked at.
        folder: where to write.
        chosen, changes: what was said of the data, see `load_run_data`.

    Returns:
        The label file.

    Raises:
        UserError: for what the user can mend; then nothing is written.
    """
    data = _data(settings, chosen, changes)
    root, source = Path(data["root"]).expanduser(), Path(data["csv"])
    # Without data.exclude: a corrected file keeps the rows of all images.
    catalog = load_catalog(
        root,
        csv=data["csv"],
        image_dir=data["image_dir"],
        num_classes=len(data["classes"]),
        image_size=tuple(data["image_size"]) if data["image_size"] else None,
        on_bad=data["on_bad"],
    )
    sizes = {sample.image_id: (sample.height, sample.width) for sample in catalog.samples}
    labels = {sample.image_id: sample.rles for sample in catalog.samples}
    review = read_review(Path(settings["reviewed"]), list_images(root / data["image_dir"]), sizes, data["classes"])
    if not review.accepted and not review.excluded:
        raise UserError(
            f"{review.path} has no row with the verdict accept or exclude: there is nothing to correct. Fill in its "
            "column verdict"
        )
    changed = corrected_labels(review, labels, sizes, data["classes"], root / source)
    target = folder / source.name
    write_corrected(root / source, target, changed, review.excluded, len(data["classes"]))

    lines = [[verdict or "(none)", f"{count:,}", _MEANING[verdict]] for verdict, count in review.verdicts.items()]
    sheet = Sheet("Verdicts", ["verdict", "findings", "meaning"], sorted(lines), left=(0, 2))
    wide_console().print(sheet.rich())
    log.info("%s with other labels now: %s", plural(len(changed), "image"), target)
    kept = ("root", "image_dir", "classes", "image_size")
    choice = [f"data={data['name']}"] if (Path(CONF_DIR) / "data" / f"{data['name']}.yaml").is_file() else []
    use = [*choice, *(f"data.{key}={_typed(data[key])}" for key in kept), f"data.csv={target.absolute()}"]
    use += [f"data.exclude={review.path.absolute()}"] if review.excluded else []
    log.info("To use it: python -m steel_defects.train %s", " ".join(shlex.quote(word) for word in use))
    return target


def _data(settings: Mapping, chosen: DataSettings | None, changes: Mapping | None) -> dict:
    """Settings of the data: as chosen, or those of the checkpoint's run."""
    if settings["checkpoint"]:
        checkpoint = Path(str(settings["checkpoint"])).expanduser()
        chosen = data_settings([checkpoint], open_engine(checkpoint).card, chosen, changes)
    if chosen is None:
        raise UserError(
            "reviewed=<audit.csv> needs to know which labels: data=<choice of conf/data> (with data.root=<folder> "
            "where it lies elsewhere), or checkpoint=<that of the audit>"
        )
    return chosen.model_dump(mode="json")


def _typed(value: object) -> str:
    """As Hydra reads it."""
    if isinstance(value, Sequence) and not isinstance(value, str):
        return f"[{','.join(map(str, value))}]"
    return "null" if value is None else str(value)
