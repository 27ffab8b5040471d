"""Import what an installation with few packages must be able to import: python .ci/imports.py [none|runtime|pages].

Run it outside of the checkout, in an environment that has the wheel with that extra (or none) and nothing more. Each
module of the rooms below is imported; the exit status is 1 where one cannot be.
"""

from __future__ import annotations

import importlib
import pkgutil
import sys

# Rooms and modules that must work with each extra; `none` is part of the others.
NEEDED = {
    "none": (
        *("core.errors", "core.files", "core.machine", "core.packages", "core.paper"),
        *("cli.arguments", "cli.console", "cli.manual", "cli.scripts", "download", "predict"),
    ),
    "runtime": ("inference.exported",),
    "pages": ("page", "explore", "report"),
}


def modules(extra: str) -> list[str]:
    """Names of the modules that an installation with an extra must be able to import."""
    import steel_defects

    rooms = tuple(f"steel_defects.{room}" for room in dict.fromkeys((*NEEDED["none"], *NEEDED[extra])))
    # A package that cannot be imported is among the names all the same, and is asked for again.
    found = pkgutil.walk_packages(steel_defects.__path__, "steel_defects.", onerror=lambda name: None)
    names = [module.name for module in found]
    return [name for name in names if any(name == room or name.startswith(f"{room}.") for room in rooms)]


def main(extra: str) -> int:
    """Import them, say which could not be, and return how many."""
    names, faults = modules(extra), 0
    for name in names:
        try:
            importlib.import_module(name)
        except (Exception, SystemExit) as error:  # a command that lacks its packages stops
            faults += 1
            print(f"{name}: {type(error).__name__}: {error}")
    print(f"{extra}: {len(names) - faults} of {len(names)} modules imported")
    return faults or not names


if __name__ == "__main__":
    sys.exit(bool(main(sys.argv[1] if len(sys.argv) > 1 else "none")))
