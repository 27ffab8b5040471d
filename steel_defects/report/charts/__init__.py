"""Charts of a study. Systems are drawn in the style of their place in the mapping that is given."""

from steel_defects.report.charts.bars import class_scores, miou_bars
from steel_defects.report.charts.lines import curves, iou_by_size
from steel_defects.report.charts.panels import confusions, iou_distributions
from steel_defects.report.charts.speed import speed_against_miou
from steel_defects.report.charts.style import style

__all__ = [
    "class_scores",
    "confusions",
    "curves",
    "iou_by_size",
    "iou_distributions",
    "miou_bars",
    "speed_against_miou",
    "style",
]
