"""All that is asked of W&B and given to it, through its own library; nothing else of the dashboard needs a network."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import wandb
import wandb_workspaces.reports.v2 as wr
import wandb_workspaces.workspaces as ws

from steel_defects.core.errors import UserError
from steel_defects.dashboard.panels import HEAT_MAP, HEAT_MAP_SPEC, HEAT_MAP_TITLE
from steel_defects.dashboard.settings import Address, DashboardSettings
from steel_defects.dashboard.view import query

NO_ACCOUNT = "dry_run=true shows what would be saved, without an account"


class Account:
    """Somebody's account at W&B.

    Raises:
        UserError: where there is no API key, W&B rejects it, or W&B cannot be reached.
    """

    def __init__(self) -> None:
        with _asking("W&B"):
            if not wandb.login(prompt=False, verify=False):
                raise UserError(
                    f"There is no W&B API key: log in with `wandb login`, or set WANDB_API_KEY. {NO_ACCOUNT}."
                )
            self._api = wandb.Api()

    def entity(self) -> str:
        """The one that projects belong to where none is named."""
        with _asking("W&B"):
            entity = self._api.settings["entity"] or self._api.default_entity
        if not entity:
            raise UserError("The W&B account has no default entity: name a user or a team with entity=")
        return entity

    def count_runs(self, entity: str, settings: DashboardSettings) -> int:
        """How many runs a dashboard shows.

        Raises:
            UserError: where there is no such project, or the account may not see it.
        """
        project = f"{entity}/{settings.project}"
        with _asking(f"W&B project {project}"):
            return len(self._api.runs(project, filters=query(settings), per_page=1))

    def create_heat_map(self, entity: str) -> str:
        """Add the heat map of scores by class to an entity; returns the id that panels name it by."""
        with _asking(f"W&B chart {entity}/{HEAT_MAP}", "heat_map=null does without it; heat_map=<id> takes one"):
            return self._api.create_custom_chart(
                entity=entity,
                name=HEAT_MAP,
                display_name=HEAT_MAP_TITLE,
                spec_type="vega2",
                access="private",
                spec=HEAT_MAP_SPEC,
            )

    def save(self, page: ws.Workspace | wr.Report, instead: Address | None) -> str:
        """Save a workspace or report as a new one, or in the place of one; returns its address."""
        kind, parts = "report", ("title", "description", "blocks", "width")
        if isinstance(page, ws.Workspace):
            kind, parts = "workspace", ("name", "sections", "settings", "runset_settings")
        with _asking(f"W&B {kind} of {page.entity}/{page.project}"):
            saved = page
            if instead:
                saved = type(page).from_url(instead.url)
                for part in parts:
                    setattr(saved, part, getattr(page, part))
            saved.save()
            return saved.url


@contextmanager
def _asking(what: str, way_out: str = NO_ACCOUNT) -> Iterator[None]:
    """Turn whatever goes wrong into one message.

    The library raises its own errors, Python's, and what comes of reading an answer that is not there.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        reason = _reason(error)
        raise UserError(f"{what}: {reason}{'' if reason.endswith('?') else '.'} {way_out}.") from error


# What the library and its server say, and what helps; the first that fits.
_HINTS = {
    r"did not respond|timed out|timeout|connection|no such host|dial ": "is the network there?",
    r"\b401\b|invalid credentials|did not recognize|api key|unauthorized": "another key: `wandb login --relogin`",
    r"\b40[34]\b|permission|denied|forbidden|not found|could not find": (
        "check entity= and project=, and that the account may see them"
    ),
}


def _reason(error: Exception) -> str:
    text = str(error)
    if isinstance(error, (TypeError, KeyError, AttributeError, IndexError)):
        # The library takes it for granted that there is something in an answer.
        return f"an answer that cannot be read ({type(error).__name__}: {text}); perhaps the account may not do this"
    first_line = next((line.strip() for line in text.splitlines() if line.strip()), type(error).__name__)
    hint = next((hint for pattern, hint in _HINTS.items() if re.search(pattern, text, re.IGNORECASE)), None)
    return f"{first_line.rstrip('.')}; {hint}" if hint else first_line.rstrip(".")
