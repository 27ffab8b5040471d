"""Settings of `download`: conf/download.yaml."""

from __future__ import annotations

from typing import Annotated

import annotated_types as limits
from pydantic import Field, field_validator, model_validator

from steel_defects.core.settings import Count, Flag, Number, Settings, Text, Words, Wrong, as_typed
from steel_defects.data.settings import DataSettings

Gigabytes = Annotated[Number, limits.Ge(0)]


class ExpectSettings(Settings):
    """What must be there in the end; None: counted, but not checked."""

    train_images: Count | None = None
    defective: Count | None = None
    regions: Count | None = None
    regions_by_class: Annotated[tuple[Count, ...] | None, Words("a list of whole numbers, one a class, or null")] = None
    test_images: Annotated[
        Count | dict[str, Count | None] | None, Words("a whole number, some by name, any of which will do, or null")
    ] = None
    sample_submission: Annotated[Text | None, Words("the name of a file, or null")] = None


class SpaceSettings(Settings):
    """What it takes on the disk, in GB."""

    zip: Gigabytes
    unzipped: Gigabytes


class DownloadSettings(Settings):
    """All of conf/download.yaml."""

    competition: Annotated[
        Text, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$"), Words("its name as in the address kaggle.com/c/<name>")
    ]
    force: Flag
    keep_zip: Flag
    expect: ExpectSettings | None
    space: SpaceSettings
    data: DataSettings

    @field_validator("data")
    @classmethod
    def _is_kaggles(cls, data: DataSettings) -> DataSettings:
        if data.name != "severstal":
            raise Wrong(f"data={data.name}: this command fetches data=severstal; data=synthetic needs no download")
        return data

    @model_validator(mode="after")
    def _fit_together(self) -> DownloadSettings:
        numbers, count = self.expect.regions_by_class if self.expect else None, len(self.data.classes)
        if numbers is not None and len(numbers) != count:
            raise Wrong(
                f"expect.regions_by_class={as_typed(numbers)}: a list of {count} whole numbers, one a class, or null"
            )
        return self
