"""All that is asked of W&B and given to it, through its own library; nothing else of the dashboard needs a network."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import wandb
import wandb_workspaces.reports.v2 as wr
import wandb_workspaces.workspaces as ws

from steel_defects.core.errors import UserError
from steel_defects.dashboard import heat_map
from steel_defects.dashboard.address import Address
from steel_defects.dashboard.view import View

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

    def count_runs(self, entity: str, project: str, view: View) -> int:
        """How many runs a dashboard shows.

        Raises:
            UserError: where there is no such project, or the account may not see it.
        """
        with _asking(f"W&B project {entity}/{project}"):
            return len(self._api.runs(f"{entity}/{project}", filters=view.query(), per_page=1))

    def create_heat_map(self, entity: str) -> str:
        """Add the chart of `heat_map` to an entity; returns the id that panels name it by."""
        with _asking(f"W&B chart {entity}/{heat_map.NAME}", "heat_map=null does without it; heat_map=<id> takes one"):
            return self._api.create_custom_chart(
                entity=entity,
                name=heat_map.NAME,
                display_name=heat_map.TITLE,
                spec_type="vega2",
                access="private",
                spec=heat_map.SPEC,
            )

    def save_workspace(self, built: ws.Workspace, instead: Address | None) -> str:
        """Save a workspace as a new view, or in the place of one; returns its address."""
        with _asking(f"W&B workspace of {built.entity}/{built.project}"):
            saved = built
            if instead:
                saved = ws.Workspace.from_url(instead.url)
                saved.name, saved.sections = built.name, built.sections
                saved.settings, saved.runset_settings = built.settings, built.runset_settings
            saved.save()
            return saved.url

    def save_report(self, built: wr.Report, instead: Address | None) -> str:
        """Save a report, or in the place of one; returns its address."""
        with _asking(f"W&B report of {built.entity}/{built.project}"):
            saved = built
            if instead:
                saved = wr.Report.from_url(instead.url)
                saved.title, saved.description = built.title, built.description
                saved.blocks, saved.width = built.blocks, built.width
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
    said = next((line.strip() for line in text.splitlines() if line.strip()), type(error).__name__)
    hint = next((hint for pattern, hint in _HINTS.items() if re.search(pattern, text, re.IGNORECASE)), None)
    return f"{said.rstrip('.')}; {hint}" if hint else said.rstrip(".")
