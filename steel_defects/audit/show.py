"""What audit prints: what was found, the first findings, and where the rest is."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from steel_defects.audit.assemble import finding_sheet, kind_sheet
from steel_defects.audit.finding import KINDS, Finding
from steel_defects.cli.console import wide_console
from steel_defects.page.content import Report
from steel_defects.page.sheet import Sheet

log = logging.getLogger(__name__)

_FIRST = 10
_SHOWN = ("rank", "image", "kind", "marked -> suggested", "score")  # there is no room for more


def show(report: Report, findings: Sequence[Finding], classes: Sequence[str], folder: Path, size: int) -> None:
    """Print kinds, the first findings, what came out in sentences, what is left out, and where the files are.

    Args:
        report: of the audit's page.
        findings: as `ranked` returns them.
        classes: names of the defect classes.
        folder: that holds the files.
        size: of the page in bytes.
    """
    console = wide_console()
    if findings:
        console.print(_brief(kind_sheet(findings, classes)).rich())
        sheet = _brief(finding_sheet(findings, classes, _FIRST))
        kept = [sheet.headings.index(name) for name in _SHOWN]
        lines = [[line[i] for i in kept] for line in sheet.lines]
        console.print(Sheet(sheet.title, _SHOWN, lines, left=(1, 2, 3)).rich())
    for line in report.findings:
        console.print(line, markup=False, highlight=False)
    for one in report.omissions:
        log.warning("Not reported, or not in full: %s", one)
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
