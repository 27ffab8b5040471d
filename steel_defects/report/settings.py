"""Settings of `report`: conf/report.yaml."""

from __future__ import annotations

from typing import Annotated

from steel_defects.core.settings import Count, Path_, Role, Settings, Text, Words


class ImageSettings(Settings):
    """Where the images lie by now."""

    root: Path_ | None


class ReportSettings(Settings):
    """All of conf/report.yaml."""

    runs: Annotated[
        Path_ | tuple[Path_, ...] | None, Words("folders of runs or of sweeps: <folder>[,<folder>]"), Role.PATHS
    ]
    title: Annotated[Text, Role.PATH]
    data: ImageSettings
    gallery: Count
