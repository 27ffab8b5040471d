"""Settings of `explore`: conf/explore.yaml."""

from __future__ import annotations

from typing import Annotated

from steel_defects.core.settings import Count, Flag, Role, Settings, Text
from steel_defects.data.settings import DataSettings


class ExploreSettings(Settings):
    """All of conf/explore.yaml."""

    title: Annotated[Text, Role.PATH]
    sheet: Count
    twins: Flag
    data: DataSettings
