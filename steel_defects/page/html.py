"""A report as files: the page, one HTML file that opens from disk and asks nothing of the network, and its Markdown."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from steel_defects import __version__
from steel_defects.core.files import write_whole
from steel_defects.page import drawing
from steel_defects.page.content import Chart, Picture, Report, Shown
from steel_defects.page.markdown import markdown
from steel_defects.page.overlay import class_colour


def write_report(report: Report, folder: Path, name: str) -> int:
    """Write `<name>.html`, `<name>.md` and the charts as `figures/*.png`; returns the size of the page in bytes.

    Raises:
        UserError: where they cannot be written.
    """
    for chart in (chart for section in report.sections for chart in section.charts):
        write_whole(folder / "figures" / f"{chart.name}.png", drawing.png(chart.figure))
    size = write_page(report, folder / f"{name}.html")
    write_whole(folder / f"{name}.md", markdown(report, "figures", f"{name}.html").encode("utf-8", "replace"))
    return size


def write_page(report: Report, path: Path) -> int:
    """Write a report as one HTML file, with style, script, charts and pictures in it; returns its size in bytes.

    Raises:
        UserError: where it cannot be written.
        ValueError: where a score is not finite, or a card belongs to a group or class that the report does not have.
    """
    # File names need not be text; where one is not, a question mark stands for what cannot be written.
    data = _render(report).encode("utf-8", errors="replace")
    write_whole(path, data)
    return len(data)


def _render(report: Report) -> str:
    environment = Environment(
        loader=PackageLoader("steel_defects.page"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.policies["json.dumps_kwargs"] = {"allow_nan": False}  # NaN is no JSON: the page could not read it
    environment.filters |= {"chart_uri": _chart_uri, "wide": _wide, "labels_alone": _labels_alone}
    environment.globals["verdict"] = lambda picture, shown: _verdict(picture, shown, report.words.score)
    script = _source(environment, "page.js")
    return environment.get_template("page.html.j2").render(
        report=report,
        words=report.words,
        css=Markup(_source(environment, "page.css")),
        script=Markup(script),
        # The policy allows this script alone: should markup ever slip in by a name, nothing in it would run.
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        colours={name: class_colour(c) for c, name in enumerate(report.classes, start=1)},
        gallery=_gallery(report),
        version=__version__,
    )


def _source(environment: Environment, name: str) -> str:
    """A file that is put into the page as it is."""
    # Browsers read line ends of Windows as plain ones before they compare a script with its hash.
    assert environment.loader is not None  # it is made with one
    return environment.loader.get_source(environment, name)[0].replace("\r\n", "\n")


def _chart_uri(chart: Chart) -> str:
    return f"data:image/svg+xml;base64,{base64.b64encode(drawing.svg(chart.figure)).decode()}"


def _wide(pictures: Sequence[Picture]) -> bool:
    """Whether any is a strip that needs the width of the page."""
    return any(width >= 2 * height for height, width in (picture.size for picture in pictures))


def _labels_alone(pictures: Sequence[Picture]) -> bool:
    """Whether nothing is shown over any: there is nothing to compare the labels with."""
    return not any(picture.shown for picture in pictures)


def _verdict(picture: Picture, shown: Shown, score: str) -> str:
    if shown.verdict is not None:
        return shown.verdict
    if shown.score is None:
        return "clean, as it should be"
    return f"{'' if picture.classes else 'false alarm, '}{score} {shown.score:.3f}"


def _gallery(report: Report) -> dict:
    """What the script makes the cards of; groups and classes are numbered in the report's order."""
    words = report.words
    return {
        "groups": list(report.groups),
        "classes": list(report.classes),
        "colours": [class_colour(c) for c in range(1, len(report.classes) + 1)],
        "words": {"classes": words.classes, "alt": words.alt, "lowIsWorst": words.low_is_worst},
        "pictures": [_in_gallery(picture, report) for picture in report.gallery],
    }


def _in_gallery(picture: Picture, report: Report) -> dict:
    height, width = picture.size
    return {
        "id": picture.image_id,
        "width": width,
        "height": height,
        "image": picture.image,
        "truth": picture.truth,
        "classes": [report.classes.index(name) for name in picture.classes],
        "caption": picture.caption,
        "shown": [
            {
                "group": report.groups.index(shown.group),
                "overlay": shown.overlay,
                "score": shown.score,
                # [class, score, text], in the report's order; written here, so that every score is rounded alike.
                "classScores": sorted(
                    [report.classes.index(name), score, f"{score:.3f}"] for name, score in shown.class_scores.items()
                ),
                "note": shown.note,
                "verdict": _verdict(picture, shown, report.words.score),
            }
            for shown in picture.shown
        ],
    }
