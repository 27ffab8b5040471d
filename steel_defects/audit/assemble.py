"""From findings to the page of an audit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from steel_defects.audit import charts
from steel_defects.audit.finding import KINDS, Finding
from steel_defects.audit.gallery import class_name, gallery
from steel_defects.audit.measure import NO_FINDING, Measured
from steel_defects.audit.spoil import SHIFT
from steel_defects.data.catalog import Sample
from steel_defects.page.content import Omission, Report, Section, Words
from steel_defects.page.sheet import Sheet, plural

LISTED = 50  # findings in the page's table; audit.csv has all
_HIGH = 0.5  # score
_WAYS = {
    "removed": "label removed",
    "swapped": "label given to another class",
    "shifted": f"label moved by {SHIFT} px",
}
WORDS = Words(
    facts="What was judged, and by what",
    gallery="Findings",
    gallery_note=(
        "A card a finding. Dashed outlines are all labels of the image, each in the colour of its class. What the "
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
    omissions: Sequence[Omission] = (),
) -> Report:
    """Compute all of the page.

    Args:
        findings: as `ranked` returns them.
        samples: with the labels that were judged, by image id; of the images with findings at least.
        classes: names of the defect classes.
        facts: what was judged, and by what: label -> text.
        title: of the page.
        shown: findings with a picture at most, the first ones.
        judged: number of images.
        measured: how many labels spoiled on purpose were found; None where none were spoiled.
        omissions: what was not judged, say.
    """
    pictures, unread = gallery(findings[:shown], samples, classes)
    drawn = {one.group for picture in pictures for one in picture.shown}
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
        omissions=[*omissions, *unread],
        words=replace(WORDS, gallery_note=note),
    )


def _sentences(findings: Sequence[Finding], judged: int, measured: Measured | None) -> list[str]:
    """What came out."""
    images, high = _images(findings), _images([one for one in findings if one.score >= _HIGH])
    found = f"{images:,} {'has' if images == 1 else 'have'} a finding" if images else "none has a finding"
    some = f", {high:,} of them with a score of {_HIGH} or more" if images else ""
    lines = [f"{plural(judged, 'image')} judged; {found}{some}."]
    if images:
        counts = {kind: _images([one for one in findings if one.kind == kind]) for kind in KINDS}
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
        return Section("review", title, [note, "audit.csv holds the header alone."])
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
            _WAYS[way],
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
    scores = {words: [one.score for one in findings if one.kind == kind] for kind, words in KINDS.items()}
    return Section(
        "kinds",
        "Kinds of finding",
        sheets=[kind_sheet(findings, classes)],
        charts=[charts.scores(scores)],
        details=[finding_sheet(findings, classes, LISTED)],
    )


def kind_sheet(findings: Sequence[Finding], classes: Sequence[str]) -> Sheet:
    """A row a kind: how many there are, in how many images, and of which class."""

    def row(words: str, own: Sequence[Finding]) -> list[str]:
        high = [one for one in own if one.score >= _HIGH]
        by_class = [sum((one.class_id or one.suggested_id) == c for one in own) for c in range(1, len(classes) + 1)]
        return [words, *(f"{count:,}" for count in (len(own), len(high), _images(own), *by_class))]

    lines = [row(words, [one for one in findings if one.kind == kind]) for kind, words in KINDS.items()]
    title = "Findings by kind and class: the one marked, or the one suggested where nothing is marked"
    headings = ["kind", "findings", f"score {_HIGH} or more", "images", *classes]
    return Sheet(title, headings, [*lines, row("all", findings)])


def finding_sheet(findings: Sequence[Finding], classes: Sequence[str], most: int) -> Sheet:
    """A row a finding, the first `most` of them; ranks are of images, as in audit.csv."""
    ranks = _ranks(findings)
    lines = [
        [
            f"{ranks[one.image_id]:,}",
            one.image_id,
            KINDS[one.kind],
            _change(one, classes),
            f"{one.score:.2f}",
            f"{one.confidence:.2f}",
            f"{one.marked_px:,} -> {one.suggested_px:,}",
            one.reason,
        ]
        for one in findings[:most]
    ]
    title = f"The first {most} of {len(findings):,} findings" if len(findings) > most else "All findings"
    headings = ["rank", "image", "kind", "marked -> suggested", "score", "confidence", "pixels", "reason"]
    return Sheet(title, headings, lines, left=(1, 2, 3, 7))


def _change(finding: Finding, classes: Sequence[str]) -> str:
    own, other = (
        class_name(finding.class_id, classes, "nothing"),
        class_name(finding.suggested_id, classes, "no defect"),
    )
    return own if own == other else f"{own} -> {other}"


def _ranks(findings: Sequence[Finding]) -> dict[str, int]:
    ranks: dict[str, int] = {}
    for finding in findings:
        ranks.setdefault(finding.image_id, len(ranks) + 1)
    return ranks


def _images(findings: Sequence[Finding]) -> int:
    return len({finding.image_id for finding in findings})
