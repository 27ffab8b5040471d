"""What a data owner reads first: what came out of an exploration, in sentences."""

from __future__ import annotations

from collections.abc import Sequence

from steel_defects.explore import numbers
from steel_defects.explore.collect import Exploration
from steel_defects.explore.sheets import percent, size_text
from steel_defects.page.sheet import plural

SOME = 0.01  # share of the images with a black margin from which on it is worth a word


def findings(explored: Exploration) -> list[str]:
    """What came out, in sentences."""
    total = numbers.totals(explored.images)
    regions = plural(total.regions, "defect region")
    if explored.counts.clean_known:
        lines = [f"{plural(total.images, 'image')}, {total.defective:,} with a defect; {regions}."]
    else:
        lines = [f"{plural(total.defective, 'image')} with a defect; {regions}. Clean images are not listed."]
    lines += [
        _faults(explored),
        *_classes(explored),
        *_several(explored),
        *_pieces(explored),
        *_resized(explored),
        *_margins(explored),
        *_pairs(explored),
    ]
    return lines


def _faults(explored: Exploration) -> str:
    count = len(explored.faults)
    if not count:
        return "No fault in labels and images." if explored.counts.read else "No fault in the labels."
    mended = "they are mended" if count > 1 else "it is mended"
    text = f"{plural(count, 'fault')}: training would refuse this data until {mended}."
    skippable = sum(fault.image is not None for fault in explored.survey.faults)
    if skippable and explored.counts.read:
        are = "is of an image" if skippable == 1 else "are of images"
        text += f" {skippable:,} of them {are} that data.on_bad=skip would leave out."
    return text


def _classes(explored: Exploration) -> list[str]:
    table = numbers.class_table(explored.regions, explored.classes)
    there, lacking = table[table["images"] > 0], table.index[table["images"] == 0]
    lines = []
    if len(there) > 1:
        most, least = there["images"].idxmax(), there["area_share"].idxmin()
        if there["images"].nunique() == 1:
            largest = there["area_share"].idxmax()
            lines.append(
                f"Each class has {plural(int(there['images'].iloc[0]), 'region')}; {largest} has "
                f"{percent(there.loc[largest, 'area_share'])} of the defect area, {least} "
                f"{percent(there.loc[least, 'area_share'])}."
            )
        else:
            lines.append(
                f"{most} has {percent(there.loc[most, 'share'])} of the regions; {least} "
                f"{percent(there.loc[least, 'area_share'])} of the defect area."
            )
    if len(lacking) and len(there):
        lines.append(f"No image shows {' or '.join(lacking)}.")
    return lines


def _several(explored: Exploration) -> list[str]:
    count = int((explored.images["regions"] > 1).sum())
    return [f"{plural(count, 'image')} {'show' if count > 1 else 'shows'} more than one class."] if count else []


def _pieces(explored: Exploration) -> list[str]:
    shares = numbers.fragmented(explored.regions, explored.classes)[5].dropna()
    if not shares.gt(0).any():
        return []
    name = shares.idxmax()
    return [f"{name} falls into more than 5 segments in {percent(shares.max())} of its regions."]


def _resized(explored: Exploration) -> list[str]:
    if not len(explored.segments):
        return []
    table, size = (
        numbers.survival(explored.regions, explored.segments, explored.classes, explored.size),
        size_text(explored.size),
    )
    gone = table[table["vanished_segments"] > 0]
    if not len(gone):
        return [f"Every segment keeps a pixel at {size}."]
    segments = [f"{plural(int(count), 'segment')} of {name}" for name, count in gone["vanished_segments"].items()]
    regions = int(gone["vanished_regions"].sum())
    whole = (
        f", and of {plural(regions, 'region')} nothing is left" if regions else "; something is left of every region"
    )
    return [f"{_listed(segments)} {'vanish' if gone['vanished_segments'].sum() > 1 else 'vanishes'} at {size}{whole}."]


def _margins(explored: Exploration) -> list[str]:
    share = numbers.margin_share(explored.images)
    return [f"{percent(share)} of the images have a black margin."] if share >= SOME else []


def _pairs(explored: Exploration) -> list[str]:
    if not explored.looked_for_twins:
        return []
    count, differ = len(explored.twins), int((explored.twins["labels"] == "differ").sum())
    if not count:
        return ["No twins: no picture occurs twice."]
    if count == 1:
        return [f"1 pair of twins; its labels {'disagree' if differ else 'agree'}."]
    return [f"{count:,} pairs of twins; {f'{differ:,}' if differ else 'none'} of them with labels that disagree."]


def _listed(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
