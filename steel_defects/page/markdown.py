"""The page as Markdown: what of it can be read on GitHub, or in an editor."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from urllib.parse import quote

from steel_defects.page.content import Report, Section
from steel_defects.page.sheet import Sheet


def markdown(report: Report, figures: str, page: str = "report.html") -> str:
    """Write a report as Markdown.

    Args:
        report: a report; of its pictures of images it says that they are on the page.
        figures: folder of the charts' PNG files, relative to the Markdown file.
        page: file name of the page.
    """
    return "\n\n".join(block.strip("\n") for block in _blocks(report, figures, page)) + "\n"


def _blocks(report: Report, figures: str, page: str) -> Iterator[str]:
    yield f"# {_text(report.title)}"
    if report.findings:
        yield "\n".join(f"- {_paragraph(finding)}" for finding in report.findings)
    if report.omissions:
        yield "## Not reported, or not in full"
        yield "\n".join(f"- {_paragraph(str(omission))}" for omission in report.omissions)
    if report.facts:
        yield f"## {_text(report.words.facts)}"
        yield "\n".join(f"- {_paragraph(label)}: {_text(text)}" for label, text in report.facts.items())
    for section in report.sections:
        yield from _section(section, figures, page)
    if report.gallery:
        yield f"## {_text(report.words.gallery)}"
        yield f"{_paragraph(report.words.pictures)}, to sort and filter, are in `{page}`."


def _section(section: Section, figures: str, page: str) -> Iterator[str]:
    yield f"## {_text(section.title)}"
    yield from map(_paragraph, section.notes)
    yield from map(_table, section.sheets)
    for chart in section.charts:
        yield f"![{_text(chart.alt)}]({quote(f'{figures}/{chart.name}.png')})"
        yield _paragraph(chart.title)
    if section.comparisons:
        titles = "; ".join(_text(comparison.title) for comparison in section.comparisons)
        yield f"The pictures are in `{page}`: {titles}."
    if section.details:
        yield "<details>\n<summary>Details</summary>"
        yield from map(_table, section.details)
        yield "</details>"


def _table(sheet: Sheet) -> str:
    return replace(
        sheet,
        title=_text(sheet.title),
        headings=[_text(heading).replace("|", "\\|") for heading in sheet.headings],
        lines=[[_text(text) for text in line] for line in sheet.lines],  # their bars are escaped by the sheet
    ).markdown()


def _paragraph(text: str) -> str:
    """As `_text`, where it begins a line that could be a heading, a list or a rule."""
    text = re.sub(r"^(?=[-+])", r"\\", _text(text))
    return re.sub(r"^(\d+)(?=[.)](\s|$))", r"\1\\", text)


def _text(text: str) -> str:
    """What shows as this text, in one line: nothing in it is markup."""
    text = " ".join(text.split())
    text = re.sub(r"[\\`*#\[\]~]", r"\\\g<0>", text)
    text = re.sub(r"(?<![^\W_])_|_(?![^\W_])", r"\\_", text)  # within a word it stands for itself
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
