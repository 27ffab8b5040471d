"""Settings of `dashboard`, conf/dashboard.yaml, and the addresses of what is saved already."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal
from urllib.parse import parse_qs, urlsplit

from pydantic import AfterValidator, BeforeValidator, PlainSerializer, model_validator

from steel_defects.core.settings import Flag, Role, Settings, Text, Words, Wrong
from steel_defects.data.settings import DataSettings

Kind = Literal["workspace", "report"]


@dataclass(frozen=True)
class Address:
    """Where a workspace or a report is.

    Args:
        kind: `workspace` or `report`.
        entity: user or team it belongs to.
        project: whose runs it shows.
        url: address in the form that W&B's library reads.
    """

    kind: Kind
    entity: str
    project: str
    url: str


def read_address(url: object) -> Address:
    """Read what a browser's address bar shows.

    Raises:
        Wrong: where it is no saved workspace and no report.
    """
    parts = urlsplit(str(url))
    path = parts.path.strip("/").split("/")
    view = parse_qs(parts.query).get("nw", [""])[0]
    if parts.scheme in ("http", "https") and len(path) >= 2 and all(path):
        entity, project = path[:2]
        home = f"{parts.scheme}://{parts.netloc}/{entity}/{project}"
        if len(path) == 4 and path[2] == "reports" and "--" in path[3]:
            return Address("report", entity, project, f"{home}/reports/{path[3]}")
        if view.startswith("nwuser"):
            raise Wrong(f"{url} is your own unsaved view of the project; save it under a name in W&B first")
        if view and (len(path) == 2 or path[2:] in (["workspace"], ["table"])):
            return Address("workspace", entity, project, f"{home}?nw={view}")
    raise Wrong(
        f"{url} is not the address of a saved workspace, https://.../<entity>/<project>?nw=<view>, or of a report, "
        "https://.../<entity>/<project>/reports/<title>--<id>"
    )


def _without_slash(name: str) -> str:
    if "/" in name:
        raise Wrong("without a slash; entity= and project= are given apart")
    return name


def _short(name: str) -> str:
    if len(name) > 128:
        raise Wrong("W&B takes 128 characters at most")
    return name


def _chart(name: str) -> str:
    if name != "create" and name.count("/") != 1:
        raise Wrong("create, or a chart that is there, <entity>/<name>")
    return name


def _each_once(names: tuple) -> tuple:
    if len(set(names)) < len(names):
        raise Wrong("each once")
    return names


Name = Annotated[Text, Words("a name"), Role.PATH]
Owner = Annotated[Name, AfterValidator(_without_slash)]
_LIST = Words("a list of texts, each in quotes where it looks like a number")
Names = Annotated[tuple[Name, ...], AfterValidator(_each_once), _LIST, Role.PATHS]
_Saved = Annotated[Address, BeforeValidator(read_address), PlainSerializer(lambda address: address.url)]
Addresses = Annotated[tuple[_Saved, ...], AfterValidator(_each_once), _LIST, Role.PATHS]


class DashboardSettings(Settings):
    """All of conf/dashboard.yaml."""

    project: Owner
    entity: Owner | None
    kind: Literal["workspace", "report", "both"]
    name: Annotated[Name, AfterValidator(_short)]
    group: Name | None
    tags: Names
    systems: Names
    spread: Literal["stddev", "minmax", "stderr"]
    heat_map: Annotated[Name, AfterValidator(_chart)] | None
    update: Addresses
    dry_run: Flag
    data: DataSettings

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """What is to be built."""
        return ("workspace", "report") if self.kind == "both" else (self.kind,)

    @model_validator(mode="after")
    def _fit_together(self) -> DashboardSettings:
        faults = []
        for i, address in enumerate(self.update):
            told, before = f"update={address.url}", self.update[:i]
            for key in ("project", "entity"):
                there, asked = getattr(address, key), getattr(self, key)
                if asked not in (None, there):
                    faults.append(f"{told}: is in {key} {there}, but {key}={asked}")
                if any(getattr(other, key) != there for other in before):
                    faults.append(f"{told}: is in another {key} than the address before")
            if address.kind not in self.kinds:
                faults.append(f"{told}: is a {address.kind}, but kind={self.kind}")
            if any(other.kind == address.kind for other in before):
                faults.append(f"{told}: a second {address.kind}")
        if faults:
            raise Wrong("\n".join(faults))
        return self
