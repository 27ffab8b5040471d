"""Imported first by commands that train or need a checkpoint: names the extra, where its packages are missing."""

from steel_defects.cli.console import require

require("train")
