"""The page: one HTML file with everything in it, that opens from disk and asks nothing of the network."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from steel_defects import __version__
from steel_defects.files import write_whole
from steel_defects.overlay import class_colour
from steel_defects.study import charts
from steel_defects.study.content import Chart, Picture, Report


def write_page(report: Report, path: Path) -> int:
    """Write a report as one HTML file: style, script, charts and pictures are inside.

    Returns:
        Its size in bytes.

    Raises:
        UserError: where it cannot be written.
        ValueError: where an IoU is not a finite number.
    """
    # File names need not be text; where one is not, a question mark stands for what cannot be written.
    data = _render(report).encode("utf-8", errors="replace")
    write_whole(path, data)
    return len(data)


def _render(report: Report) -> str:
    environment = Environment(
        loader=PackageLoader("steel_defects.study"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.policies["json.dumps_kwargs"] = {"allow_nan": False}  # NaN is no JSON: the page could not read it
    environment.filters |= {"chart_uri": _chart_uri, "wide": _wide}
    script = _source(environment, "report.js")
    return environment.get_template("report.html.j2").render(
        report=report,
        css=Markup(_source(environment, "report.css")),
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
    return environment.loader.get_source(environment, name)[0].replace("\r\n", "\n")


def _chart_uri(chart: Chart) -> str:
    return f"data:image/svg+xml;base64,{base64.b64encode(charts.svg(chart.figure)).decode()}"


def _wide(pictures: Sequence[Picture]) -> bool:
    """Whether any is a strip that needs the width of the page."""
    return any(width >= 2 * height for height, width in (picture.size for picture in pictures))


def _gallery(report: Report) -> dict:
    """What the script makes the cards of; systems and classes are numbered in the report's order."""
    pictures = []
    for picture in report.gallery:
        height, width = picture.size
        shown = [
            {
                "system": k,
                "overlay": picture.shown[system].overlay,
                "iou": picture.shown[system].iou,
                "classIou": [picture.shown[system].class_iou.get(name) for name in report.classes],
            }
            for k, system in enumerate(report.systems)
            if system in picture.shown
        ]
        pictures.append(
            {
                "id": picture.image_id,
                "width": width,
                "height": height,
                "image": picture.image,
                "truth": picture.truth,
                "classes": [report.classes.index(name) for name in picture.classes],
                "shown": shown,
            }
        )
    colours = [class_colour(c) for c in range(1, len(report.classes) + 1)]
    return {
        "systems": list(report.systems),
        "classes": list(report.classes),
        "colours": colours,
        "pictures": pictures,
    }
