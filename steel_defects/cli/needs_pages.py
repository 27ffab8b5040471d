"""Imported first by commands that draw pages but use no net: names the extra, where its packages are missing."""

from steel_defects.cli.console import require

require("pages")
