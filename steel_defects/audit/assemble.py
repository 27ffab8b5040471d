"""From findings to the page of an audit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from tqdm import tqdm

from steel_defects.audit import charts
from steel_defects.audit.finding import KINDS, Finding, by_image
from steel_defects.audit.sheets import HIGH, class_name, count_images, finding_sheet, kind_sheet
from steel_defects.audit.spoil import NO_FINDING, WAYS, Measured
from steel_defects.data.catalog import Sample
from steel_defects.data.images import ImageError, read_grey
from steel_defects.data.rle import decode
from steel_defects.page.content import Omission, Picture, Report, Section, Shown, Words
from steel_defects.page.pictures import changed_overlay, labelled_picture
from steel_defects.page.sheet import Sheet, plural

LISTED = 50  # findings in the page's table; audit.csv has all
_NAMED = 5  # images that cannot be shown
WORDS = Words(
    facts="What was judged, and by what",
    gallery="Findings",
    gallery_note=(
        "One card per finding. Dashed outlines are all labels of the image, each in the colour of its class. What the "
        "finding suggests is tinted, in the colour of the class suggested; a mark that it would take away is hatched. "
        "Where a class is chosen, findings about it come first, then others on images that are labelled with it."
    ),
    pictures="Images with their labels and what is suggested instead",
    group="Kind",
    score="Score",
    worst="worst first",
    best="mildest first",
    low_is_worst=False,
    clean="images labelled clean",
    truth_layer="Labels (dashed outline)",
    overlay_layer="Suggestion (tinted; hatched: taken away)",
    truth="Labels",
    classes="Labelled: ",
    alt="{id}, with its labels and a suggestion: {group}",
)


def assemble(
    findings: Sequence[Finding],
    samples: Mapping[str, Sample],
    classes: Sequence[str],
    facts: Mapping[str, str],
    title: str,
    shown: int,
    judged: int,
    measured: Measured | None = None,
) -> Report:
    """Compute all of the page.

    Args:
        findings: the ones that `ranked` returns.
        samples: images with the labels that were judged, by id; those with findings at least.
        classes: names of the defect classes.
        facts: what was judged, and by what: label -> text.
        title: the page's.
        shown: the most findings that get a picture; the first ones do.
        judged: number of images.
        measured: counts of the labels spoiled on purpose that were found; None where none were spoiled.
    """
    pictures, unread = _gallery(findings[:shown], samples, classes)
    drawn = {shown.group for picture in pictures for shown in picture.shown}
    note = WORDS.gallery_note
    if len(findings) > shown:
        note += f" The first {shown:,} of {len(findings):,} findings have pictures; audit.csv has all."
    sections = [
        _how_to_review(findings),
        _trust(measured) if measured else None,
        _kinds(findings, classes) if findings else None,
    ]
    return Report(
        title=title,
        findings=_sentences(findings, judged, measured),
        facts=facts,
        sections=[section for section in sections if section],
        gallery=pictures,
        groups=[words for words in KINDS.values() if words in drawn],
        classes=classes,
        omissions=unread,
        words=replace(WORDS, gallery_note=note),
    )


def _sentences(findings: Sequence[Finding], judged: int, measured: Measured | None) -> list[str]:
    """What came out."""
    images, high = count_images(findings), count_images([f for f in findings if f.score >= HIGH])
    lines = [f"{plural(judged, 'image')} judged; none has a finding."]
    if images:
        lines = [
            f"{plural(judged, 'image')} judged; {images:,} {'has' if images == 1 else 'have'} a finding, "
            f"{high:,} of them with a score of {HIGH} or more."
        ]
        counts = {kind: count_images([f for f in findings if f.kind == kind]) for kind in KINDS}
        kind = max(counts, key=counts.__getitem__)
        lines.append(f"Most frequent: {KINDS[kind]} ({plural(counts[kind], 'image')}).")
    if measured:
        auroc = "" if measured.auroc is None else f", AUROC {measured.auroc:.3f}"
        lines.append(
            f"Of {plural(measured.spoiled, 'label')} spoiled on purpose, {measured.found:,} "
            f"{'is' if measured.found == 1 else 'are'} among the first {measured.spoiled:,} ranked "
            f"(precision {measured.precision:.2f}{auroc})."
        )
    return lines


def _how_to_review(findings: Sequence[Finding]) -> Section:
    title = "How to review"
    if not findings:
        note = (
            "There is nothing to review: nowhere do the labels and what the nets see differ by more than outlines do."
        )
        return Section("review", title, [note, "audit.csv holds only the header."])
    notes = [
        "A finding is a reason to look, not a fault: nets are wrong, too. Its score, 0 to 1, ranks findings and is no "
        "probability. It is how much of a class in an image, marked or seen, is in dispute, weighed by how sure the "
        "net is. Outlines that differ by a little do not count, specks count for little, and a mark that would fit "
        "better elsewhere counts for more. An image is ranked by its worst finding.",
        "1. Open audit.csv, where each row is a finding, and fill in the column verdict: keep (the label stays as it "
        "is), accept (the suggestion replaces it) or exclude (the image is left out). Rows without a verdict change "
        "nothing.",
        "2. python -m steel_defects.audit reviewed=audit.csv data=... writes the labels with what was accepted; "
        "data.exclude=audit.csv leaves the excluded images out, in a training as in any other command.",
        "To redraw labels rather than to accept suggestions, open audit.coco.json in an annotation program that reads "
        "COCO's masks, such as CVAT or FiftyOne.",
    ]
    return Section("review", title, notes)


def _trust(measured: Measured) -> Section:
    """How many of the labels spoiled on purpose were found, and as what."""
    called = [kind for kind in [*KINDS, NO_FINDING] if measured.called[kind].any()]
    headings = ["spoiled", "labels", f"among the first {measured.spoiled:,}"]
    lines = [
        [
            WAYS[way],
            *(f"{count:,}" for count in measured.ways.loc[way, ["spoiled", "found"]]),
            *(f"{count:,}" for count in measured.called.loc[way, called]),
        ]
        for way in measured.called.index
    ]
    names = [KINDS.get(kind, "no finding") for kind in called]
    table = Sheet("Spoiled labels, and the worst finding on their image", [*headings, *names], lines)
    note = (
        "Some labels were spoiled on purpose, and then judged like all others. Labels that had been wrong before count "
        "here as mistakes of the audit: where the data has such, the audit is better than these numbers."
    )
    return Section("trust", "How far it can be trusted", [note], [table], [charts.precision(measured)])


def _kinds(findings: Sequence[Finding], classes: Sequence[str]) -> Section:
    scores = {words: [f.score for f in findings if f.kind == kind] for kind, words in KINDS.items()}
    return Section(
        "kinds",
        "Kinds of finding",
        sheets=[kind_sheet(findings, classes)],
        charts=[charts.scores(scores)],
        details=[finding_sheet(findings, classes, LISTED)],
    )


def _gallery(
    findings: Sequence[Finding], samples: Mapping[str, Sample], classes: Sequence[str]
) -> tuple[list[Picture], list[Omission]]:
    """A picture for each image, one in memory at a time; and images that cannot be shown any more."""
    pictures, omissions = [], []
    images = list(by_image(findings))
    for rank, image_id, of_image in tqdm(images, "Drawing findings", unit="image", disable=None):
        try:
            pictures.append(_picture(of_image, samples[image_id], classes, rank))
        except ImageError as error:
            omissions.append(Omission(image_id, f"{error}; not shown"))
    if unnamed := omissions[_NAMED:]:
        omissions[_NAMED:] = [Omission("Pictures", f"{plural(len(unnamed), 'more image')} cannot be shown")]
    return pictures, omissions


def _picture(findings: Sequence[Finding], sample: Sample, classes: Sequence[str], rank: int) -> Picture:
    """An image with its labels and its findings.

    Raises:
        ImageError: where it cannot be read, or is not what was judged.
    """
    image, size = read_grey(sample.path), (sample.height, sample.width)
    if image.shape != size:
        raise ImageError(f"has {image.shape[0]}x{image.shape[1]} pixels now, and had {size[0]}x{size[1]}")
    cards = [_shown(finding, classes) for finding in findings]
    return labelled_picture(sample.image_id, image, sample.mask(), classes, cards, caption=f"rank {rank:,}")


def _shown(finding: Finding, classes: Sequence[str]) -> Shown:
    marked, suggested = (
        (decode(code, *finding.size) > 0).astype(np.uint8) * np.uint8(c)
        for code, c in ((finding.marked, finding.class_id), (finding.suggested, finding.suggested_id))
    )
    score = float(finding.score)
    return Shown(
        group=KINDS[finding.kind],
        overlay=changed_overlay(marked, suggested),
        score=score,
        class_scores={classes[c - 1]: score for c in (finding.class_id, finding.suggested_id) if c},
        note=f"{_what(finding, classes)}: {finding.reason}",
        verdict=f"score {score:.2f}",
    )


def _what(finding: Finding, classes: Sequence[str]) -> str:
    """Class marked and class suggested, in words."""
    suggested = class_name(finding.suggested_id, classes, "no defect")
    if not finding.class_id:
        return f"{suggested} suggested"
    marked = classes[finding.class_id - 1]
    if finding.class_id == finding.suggested_id:
        return f"{marked} redrawn"
    return f"{marked} marked, {suggested} suggested"
