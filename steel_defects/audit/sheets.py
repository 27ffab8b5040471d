"""Tables of the findings, for the page and the console, and what an audit prints at its end."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from steel_defects.audit.finding import KINDS, Finding, by_image
from steel_defects.cli.console import print_report
from steel_defects.page.content import Report
from steel_defects.page.sheet import Sheet

log = logging.getLogger(__name__)

HIGH = 0.5  # score
_PRINTED = 10  # findings
_COLUMNS = ("rank", "image", "kind", "marked -> suggested", "score")  # the console has no room for more


def kind_sheet(findings: Sequence[Finding], classes: Sequence[str]) -> Sheet:
    """A row a kind: how many there are, in how many images, and of which class."""

    def row(words: str, chosen: Sequence[Finding]) -> list[str]:
        high = sum(f.score >= HIGH for f in chosen)
        by_class = [sum((f.class_id or f.suggested_id) == c for f in chosen) for c in range(1, len(classes) + 1)]
        return [words, *(f"{count:,}" for count in (len(chosen), high, count_images(chosen), *by_class))]

    lines = [row(words, [f for f in findings if f.kind == kind]) for kind, words in KINDS.items()]
    title = "Findings by kind and class: the one marked, or the one suggested where nothing is marked"
    headings = ["kind", "findings", f"score {HIGH} or more", "images", *classes]
    return Sheet(title, headings, [*lines, row("all", findings)])


def finding_sheet(findings: Sequence[Finding], classes: Sequence[str], most: int) -> Sheet:
    """A row a finding, the first `most` of them; ranks are of images, as in audit.csv."""
    lines = [
        [
            f"{rank:,}",
            image_id,
            KINDS[f.kind],
            _change(f, classes),
            f"{f.score:.2f}",
            f"{f.confidence:.2f}",
            f"{f.marked_px:,} -> {f.suggested_px:,}",
            f.reason,
        ]
        for rank, image_id, of_image in by_image(findings[:most])
        for f in of_image
    ]
    title = f"The first {most} of {len(findings):,} findings" if len(findings) > most else "All findings"
    headings = ["rank", "image", "kind", "marked -> suggested", "score", "confidence", "pixels", "reason"]
    return Sheet(title, headings, lines, left=(1, 2, 3, 7))


def _change(finding: Finding, classes: Sequence[str]) -> str:
    marked = class_name(finding.class_id, classes, "nothing")
    suggested = class_name(finding.suggested_id, classes, "no defect")
    return marked if finding.class_id == finding.suggested_id else f"{marked} -> {suggested}"


def class_name(class_id: int, classes: Sequence[str], nothing: str) -> str:
    """Name of a class; `nothing` for class 0."""
    return classes[class_id - 1] if class_id else nothing


def count_images(findings: Sequence[Finding]) -> int:
    """How many images they are of."""
    return len({finding.image_id for finding in findings})


def show(report: Report, findings: Sequence[Finding], classes: Sequence[str], folder: Path, size: int) -> None:
    """Print kinds, the first findings, what came out in sentences, what is left out, and where the files are.

    Args:
        report: the audit's page.
        findings: the ones that `ranked` returns.
        classes: names of the defect classes.
        folder: the one that holds the files.
        size: bytes of the page.
    """
    sheets = []
    if findings:
        sheet = _brief(finding_sheet(findings, classes, _PRINTED))
        kept = [sheet.headings.index(name) for name in _COLUMNS]
        lines = [[line[i] for i in kept] for line in sheet.lines]
        sheets = [_brief(kind_sheet(findings, classes)), Sheet(sheet.title, _COLUMNS, lines, left=(1, 2, 3))]
    print_report(report, *sheets)
    log.info("%s: %.1f MB, opens in any browser", folder / "audit.html", size / 1e6)
    if findings:
        log.info("%s: all findings, with a column for your verdict", folder / "audit.csv")
        log.info("%s: labels and suggestions as COCO instances, for annotation programs", folder / "audit.coco.json")


def _brief(sheet: Sheet) -> Sheet:
    """Kinds as audit.csv calls them, as the page's words have no room; those that do not occur are left out."""
    at = sheet.headings.index("kind")
    short = {words: kind for kind, words in KINDS.items()}
    lines = [[*line[:at], short.get(line[at], line[at]), *line[at + 1 :]] for line in sheet.lines]
    return replace(sheet, lines=[line for line in lines if any(cell != "0" for cell in line[at + 1 :])])
