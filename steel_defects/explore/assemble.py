"""From an exploration to its page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from steel_defects.core.paper import class_shares_of
from steel_defects.data.catalog import data_hash
from steel_defects.explore import charts, findings, numbers, sheets
from steel_defects.explore.collect import Exploration
from steel_defects.explore.contact import contact_sheets, twin_sheets
from steel_defects.page.content import Comparison, Omission, Report, Section, Words
from steel_defects.page.sheet import Sheet

_OPEN = 40  # lines of a table that is not folded away
_SIDES = ("left", "right", "top", "bottom")
WORDS = Words(facts="What was looked at", truth_layer="Labels (dashed outline)", truth="Labels", classes="Labelled: ")


def assemble(explored: Exploration, title: str, facts: Mapping[str, str], sheet: int = 12) -> Report:
    """Compute all of the page.

    Args:
        explored: the tables of the data set.
        title: heading of the page.
        facts: label -> text: where the data lies and the like; what can be counted is added.
        sheet: number of images on the contact sheet of a class, and of pairs of twins that are shown; 0 shows none.
    """
    compared, unread = contact_sheets(explored, sheet)
    pairs, torn = twin_sheets(explored, sheet)
    sections = [
        classes(explored),
        images(explored),
        segments(explored),
        places(explored),
        resized(explored),
        twins(explored, pairs),
        faults(explored),
        contact(compared),
    ]
    name = facts.get("Data", "Data")
    return Report(
        title=title,
        findings=findings.findings(explored),
        facts={**facts, **counted(explored)},
        sections=[section for section in sections if section],
        gallery=[],
        groups=[],
        classes=explored.classes,
        omissions=[Omission(name, text) for text in explored.omissions] + unread + torn,
        words=WORDS,
    )


def counted(explored: Exploration) -> dict[str, str]:
    """Facts that the exploration itself holds."""
    sizes = numbers.image_sizes(explored.images)
    texts = [sheets.size_text((row.height, row.width)) for row in sizes[:3].itertuples()]
    if len(sizes) > 3:
        texts.append(f"{len(sizes) - 3:,} more")
    facts = {"Classes": ", ".join(explored.classes)}
    if texts:
        facts["Size of the images" if explored.counts.read else "Size of the images, as set"] = ", ".join(texts)
    facts["Training size"] = sheets.size_text(explored.size)
    if explored.counts.read and not len(explored.faults):  # of other data than a training would take it says nothing
        samples = explored.survey.samples()
        digests = [explored.survey.looks[sample.image_id].digest for sample in samples]
        facts["Data hash"] = data_hash(samples, digests)
    return facts


def classes(explored: Exploration) -> Section:
    """How much of each class there is, and which come together."""
    table = numbers.class_table(explored.regions, explored.classes)
    drawn = []
    if len(explored.regions):
        counts, areas = ({str(name): int(n) for name, n in table[key].items()} for key in ("images", "area_px"))
        drawn.append(charts.class_shares(counts, areas, class_shares_of(explored.classes)))
    if explored.counts.clean_known or (explored.images["regions"] > 1).any():
        drawn.append(charts.classes_per_image(numbers.classes_per_image(explored.images)))
    note = "A region is all that one image has of one class; defect pixels are those of the images' own size."
    tables = [sheets.class_sheet(explored), sheets.together_sheet(explored)]
    return Section("classes", "Classes", [note], [table for table in tables if table], drawn)


def images(explored: Exploration) -> Section | None:
    """Sizes, light and margins."""
    tables = [table for table in (sheets.size_sheet(explored), sheets.light_sheet(explored)) if table]
    drawn = []
    known = explored.images[explored.images["brightness"].notna()]
    if len(known):
        drawn.append(charts.brightness(known["brightness"].to_numpy()))
        margins = {side: known[f"margin_{side}"].to_numpy(np.int64) for side in _SIDES}
        if numbers.margin_share(explored.images) >= findings.SOME:
            drawn.append(charts.margins(margins))
    section = Section("images", "Images", charts=drawn)
    for table in tables:
        section = _with_list(section, table)
    return section if tables else None


def segments(explored: Exploration) -> Section | None:
    """Into how many pieces regions fall, and how large those are."""
    if not len(explored.segments):
        return None
    bins = numbers.segment_bins(explored.regions, explored.classes)
    sums = bins.sum(axis=1)
    shares = bins.div(sums.where(sums > 0), axis=0)
    drawn = [
        charts.segments_per_region({name: row.to_dict() for name, row in shares.iterrows()}),
        charts.segment_sizes(_by_class(explored, "area_px")),
    ]
    note = "Pixels that touch at a side or at a corner are one segment."
    return Section("segments", "Segments", [note], [sheets.segment_sheet(explored)], drawn)


def places(explored: Exploration) -> Section | None:
    """Where on the image the classes lie."""
    if not explored.heat.any():
        return None
    sizes = numbers.image_sizes(explored.images)
    size = (int(sizes.height[0]), int(sizes.width[0])) if len(sizes) else explored.size
    note = "Images are laid over each other, whatever their size; each class has a scale of its own."
    grids = dict(zip(explored.classes, explored.heat, strict=True))
    return Section("places", "Where they lie", [note], charts=[charts.heat_maps(grids, size)])


def resized(explored: Exploration) -> Section | None:
    """What is left at the size that nets are trained at."""
    if not len(explored.segments):
        return None
    size = sheets.size_text(explored.size)
    notes = [
        f"Training sees the images at {size} (data.size); masks are resized by nearest neighbour, so that small or "
        "thin segments can be left without a pixel. A segment that vanishes cannot be learnt, nor found."
    ]
    drawn = []
    if (explored.segments["resized_px"] == 0).any():
        drawn.append(charts.survival(_by_class(explored, "area_px"), _by_class(explored, "resized_px"), explored.size))
    else:
        notes.append("Here every segment keeps a pixel.")
    section = Section("resize", "After the resize", notes, [sheets.resize_sheet(explored)], drawn)
    return _with_list(section, sheets.vanished_sheet(explored))


def twins(explored: Exploration, pairs: Sequence[Comparison]) -> Section | None:
    """Pictures that are there twice, worst disagreement first."""
    if not explored.looked_for_twins:
        return None
    notes = [
        "The same picture twice, also mirrored, turned or re-encoded. Training keeps twins on one side of the split; "
        "labels that disagree show how reliable labels are, or that one of the two is wrong."
    ]
    differ = int((explored.twins["labels"] == "differ").sum())
    if differ > len(pairs) > 0:
        notes.append(
            f"Shown are {len(pairs)} of the {differ:,} pairs whose labels disagree; twins.csv has all of them."
        )
    table = sheets.twin_sheet(explored)
    if table is None:
        notes = ["No picture occurs twice, be it mirrored, turned or re-encoded."]
    return _with_list(Section("twins", "Twins", notes, comparisons=pairs), table)


def faults(explored: Exploration) -> Section:
    """All that training would refuse."""
    table = sheets.fault_sheet(explored)
    if table is None:
        return Section("faults", "Faults", ["None: labels and files are sound, as far as could be seen."])
    note = "Everything that training would stop at; the same list is in faults.csv."
    return _with_list(Section("faults", "Faults", [note]), table)


def contact(compared: Sequence[Comparison]) -> Section | None:
    """Contact sheets of the classes."""
    return Section("contact", "Contact sheets", comparisons=compared) if compared else None


def _with_list(section: Section, table: Sheet | None) -> Section:
    """A section with a table more, folded away where it is long."""
    if table is None:
        return section
    if len(table.lines) > _OPEN:
        return replace(section, details=[*section.details, table])
    return replace(section, sheets=[*section.sheets, table])


def _by_class(explored: Exploration, column: str) -> dict[str, np.ndarray]:
    tables = numbers.by_class(explored.segments, explored.classes)
    return {name: table[column].to_numpy(np.int64) for name, table in tables.items()}
