"""What a report consists of, before it is a page: sections of text, tables and charts, and pictures of test images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from matplotlib.figure import Figure

from steel_defects.sheet import Sheet
from steel_defects.study.records import Omission


@dataclass(frozen=True, eq=False)
class Chart:
    """A drawing.

    Args:
        name: of its file, without the ending.
        title: its caption.
        alt: what it shows, in words, for those who do not see it.
        figure: the drawing.
    """

    name: str
    title: str
    alt: str
    figure: Figure


@dataclass(frozen=True)
class Shown:
    """What a system predicts in a picture.

    Args:
        overlay: data URI of a PNG, transparent where nothing is predicted, of the picture's size.
        iou: of the image at its own size; None where neither truth nor prediction has a defect.
        class_iou: likewise by class; classes for which it is undefined are absent.
    """

    overlay: str
    iou: float | None
    class_iou: Mapping[str, float]


@dataclass(frozen=True)
class Picture:
    """A test image with its true and its predicted defects, each a layer of its own.

    Args:
        image_id: the file's name.
        size: (height, width) in pixels, as shown.
        image: data URI of the grey JPEG.
        truth: data URI of a PNG, as in `Shown`.
        classes: names of the classes that it truly has.
        shown: what is predicted, by the name of the system.
    """

    image_id: str
    size: tuple[int, int]
    image: str
    truth: str
    classes: Sequence[str]
    shown: Mapping[str, Shown]


@dataclass(frozen=True)
class Comparison:
    """The same test images through all systems (paper, figures 5 to 7).

    Args:
        name: of the comparison, fit for the id of an element.
        title: above it.
        note: what it shows, and how the images were chosen.
        pictures: in their order.
    """

    name: str
    title: str
    note: str
    pictures: Sequence[Picture]


@dataclass(frozen=True, eq=False)
class Section:
    """A part of the page.

    Args:
        name: fit for the id of an element.
        title: its heading.
        notes: paragraphs, before the tables.
        sheets: tables.
        charts: after the tables.
        comparisons: after the charts.
        details: tables that are folded away at first.
    """

    name: str
    title: str
    notes: Sequence[str] = ()
    sheets: Sequence[Sheet] = ()
    charts: Sequence[Chart] = ()
    comparisons: Sequence[Comparison] = ()
    details: Sequence[Sheet] = ()


@dataclass(frozen=True, eq=False)
class Report:
    """All of it.

    Args:
        title: of the page.
        findings: sentences at its head: what came out.
        facts: what is compared, on which data, where: label -> text.
        sections: in their order.
        gallery: pictures to sort and filter; every (picture, system) of it is a card.
        systems: names, in their order.
        classes: names of the defect classes, in their order: the colours are theirs.
        omissions: what is not reported, or not in full.
    """

    title: str
    findings: Sequence[str]
    facts: Mapping[str, str]
    sections: Sequence[Section]
    gallery: Sequence[Picture]
    systems: Sequence[str]
    classes: Sequence[str]
    omissions: Sequence[Omission] = field(default_factory=list)
