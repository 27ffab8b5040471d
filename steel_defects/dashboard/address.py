"""Addresses of saved workspaces and reports."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import parse_qs, urlsplit

from steel_defects.core.errors import UserError


@dataclass(frozen=True)
class Address:
    """Where a workspace or a report is.

    Args:
        kind: `workspace` or `report`.
        entity: user or team it belongs to.
        project: whose runs it shows.
        url: in the form that W&B's library reads.
    """

    kind: str
    entity: str
    project: str
    url: str


def read_address(url: str) -> Address:
    """Read what a browser's address bar shows.

    Raises:
        UserError: where it is no saved workspace and no report.
    """
    parts = urlsplit(url)
    path = parts.path.strip("/").split("/")
    view = parse_qs(parts.query).get("nw", [""])[0]
    if parts.scheme in ("http", "https") and len(path) >= 2 and all(path):
        entity, project = path[:2]
        home = f"{parts.scheme}://{parts.netloc}/{entity}/{project}"
        if len(path) == 4 and path[2] == "reports" and "--" in path[3]:
            return Address("report", entity, project, f"{home}/reports/{path[3]}")
        if view.startswith("nwuser"):
            raise UserError(f"update={url}: is your own unsaved view of the project; save it under a name in W&B first")
        if view and (len(path) == 2 or path[2:] in (["workspace"], ["table"])):
            return Address("workspace", entity, project, f"{home}?nw={view}")
    raise UserError(
        f"update={url}: the address of a saved workspace, https://.../<entity>/<project>?nw=<view>, or of a report, "
        "https://.../<entity>/<project>/reports/<title>--<id>"
    )
