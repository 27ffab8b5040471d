"""Settings of `report`: conf/report.yaml."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from steel_defects.core.settings import Count, PathName, Role, Settings, Text, Words


class ImageSettings(Settings):
    """Where the images lie by now."""

    root: PathName | None


class ReportSettings(Settings):
    """All of conf/report.yaml."""

    runs: Annotated[
        PathName | Annotated[tuple[PathName, ...], Field(min_length=1)],
        Words("folders of runs or of sweeps, at least one: runs=<folder>[,<folder>]"),
        Role.PATHS,
    ]
    title: Annotated[Text, Role.PATH]
    data: ImageSettings
    gallery: Count

    @property
    def folders(self) -> tuple[str, ...]:
        """The folders to look for runs in."""
        return (self.runs,) if isinstance(self.runs, str) else self.runs
