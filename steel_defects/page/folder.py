"""A report as files: the page, the same as Markdown, and its charts."""

from __future__ import annotations

from pathlib import Path

from steel_defects.core.files import write_whole
from steel_defects.page.content import Report
from steel_defects.page.drawing import png
from steel_defects.page.html import write_page
from steel_defects.page.markdown import markdown


def write_report(report: Report, folder: Path, name: str) -> int:
    """Write `<name>.html`, `<name>.md` and `figures/*.png`.

    Returns:
        Size of the page in bytes.

    Raises:
        UserError: where they cannot be written.
    """
    for chart in (chart for section in report.sections for chart in section.charts):
        write_whole(folder / "figures" / f"{chart.name}.png", png(chart.figure))
    size = write_page(report, folder / f"{name}.html")
    write_whole(folder / f"{name}.md", markdown(report, "figures", f"{name}.html").encode("utf-8", "replace"))
    return size
