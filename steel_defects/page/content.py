"""What a page consists of, before it is one: sections of text, tables and charts, and pictures of labelled images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from matplotlib.figure import Figure

from steel_defects.page.sheet import Sheet


@dataclass(frozen=True)
class Omission:
    """Something that is not reported, or not in full.

    Args:
        what: a folder, a file, a system, or a pair of systems ("A / B").
        reason: why, and what is missing of it for that.
    """

    what: str
    reason: str

    def __str__(self) -> str:
        return f"{self.what}: {self.reason}"


@dataclass(frozen=True, eq=False)
class Chart:
    """A drawing.

    Args:
        name: name of its file, without the ending.
        title: caption.
        alt: what it shows, in words, for those who do not see it.
        figure: the drawing.
    """

    name: str
    title: str
    alt: str
    figure: Figure


@dataclass(frozen=True)
class Shown:
    """Something that is laid over a picture, and judged: what a system predicts, or what somebody finds there.

    Args:
        group: one of the report's groups: a system, a kind of finding. A picture may have several of one group.
        overlay: data URI of a PNG, transparent where nothing is shown, of the picture's size.
        score: number from 0 to 1 to sort and choose by; None where there is none.
        class_scores: scores by class, for when a class is chosen; classes for which it is undefined are absent.
        note: a sentence for the card in the gallery.
        verdict: a few words beside the image's name. None stands for those on an IoU, where `score` is the IoU of the
            image, undefined where neither truth nor prediction has a defect.
    """

    group: str
    overlay: str
    score: float | None
    class_scores: Mapping[str, float]
    note: str = ""
    verdict: str | None = None


@dataclass(frozen=True)
class Picture:
    """An image with its true defects and what is shown over it, each a layer of its own.

    Args:
        image_id: the file's name.
        size: (height, width) in pixels, as shown.
        image: data URI of the grey JPEG.
        truth: data URI of a PNG, as in `Shown`.
        classes: names of the classes that it truly has.
        shown: what is laid over it: a card of a gallery each. A comparison of pictures without any is one of labels.
        caption: a few words after the names of the classes.
    """

    image_id: str
    size: tuple[int, int]
    image: str
    truth: str
    classes: Sequence[str]
    shown: Sequence[Shown] = ()
    caption: str = ""


@dataclass(frozen=True)
class Comparison:
    """Some images, each with all that is shown over it side by side (paper, figures 5 to 7), or labelled images.

    Args:
        name: name fit for the id of an element.
        title: heading.
        note: what it shows, and how the images were chosen.
        pictures: the images, in their order.
    """

    name: str
    title: str
    note: str
    pictures: Sequence[Picture]


@dataclass(frozen=True, eq=False)
class Section:
    """A part of the page.

    Args:
        name: name fit for the id of an element.
        title: heading.
        notes: paragraphs, before the tables.
        sheets: tables.
        charts: drawings, after the tables.
        comparisons: pictures of images, after the charts.
        details: tables that are folded away at first.
    """

    name: str
    title: str
    notes: Sequence[str] = ()
    sheets: Sequence[Sheet] = ()
    charts: Sequence[Chart] = ()
    comparisons: Sequence[Comparison] = ()
    details: Sequence[Sheet] = ()


@dataclass(frozen=True)
class Words:
    """Words that differ from page to page; those of a comparison of systems, where nothing else is said.

    Args:
        facts: heading of the facts.
        gallery: heading of the gallery.
        gallery_note: paragraph below it; none where empty.
        pictures: what the gallery shows, as the subject of a sentence in the Markdown file.
        group: what a group is, in the gallery's filter.
        score: what a score is, in the gallery's filter and in the verdict on an IoU.
        worst, best, by_name: choices of the gallery's order, the first at first.
        low_is_worst: whether `worst` begins with the lowest score; otherwise with the highest.
        clean: choice of images without true defects, in the filter by class; not offered where empty.
        truth_layer, overlay_layer: labels of the switches of the layers.
        truth: caption of the panel with the true defects.
        classes: before the names of the true classes, on a card.
        alt: words for a card's picture, for those who do not see it; {id} and {group} stand for its own.
    """

    facts: str = "What is compared"
    gallery: str = "Gallery"
    gallery_note: str = (
        "Every test image chosen for this page, through every system. IoU is at the image's own size: the mean over "
        "the classes that the image has or that are predicted in it. Where a class is chosen, order and range go by "
        "the IoU of that class. A clean image with a false alarm has IoU 0; one that is predicted clean has none: it "
        "comes last, and a range narrower than 0 to 1 leaves it out."
    )
    pictures: str = "Test images with their true and their predicted defects"
    group: str = "System"
    score: str = "IoU"
    worst: str = "worst first"
    best: str = "best first"
    by_name: str = "by name"
    low_is_worst: bool = True
    clean: str = "clean images (false alarms)"
    truth_layer: str = "Truth (dashed outline)"
    overlay_layer: str = "Prediction (tinted)"
    truth: str = "Truth"
    classes: str = "Truth: "
    alt: str = "{id}, with the true defects and those predicted by {group}"


@dataclass(frozen=True, eq=False)
class Report:
    """All of it.

    Args:
        title: title of the page.
        findings: sentences at its head: what came out.
        facts: what it is about, on which data, where: label -> text.
        sections: parts of the page, in their order.
        gallery: pictures to sort and filter; all that is shown over one of them is a card.
        groups: names of the groups, in their order.
        classes: names of the defect classes, in their order: the colours are theirs.
        omissions: what is not reported, or not in full.
        words: words that are this page's own.
    """

    title: str
    findings: Sequence[str]
    facts: Mapping[str, str]
    sections: Sequence[Section]
    gallery: Sequence[Picture]
    groups: Sequence[str]
    classes: Sequence[str]
    omissions: Sequence[Omission] = field(default_factory=list)
    words: Words = field(default_factory=Words)
