"""All that is wrong with a command's settings, wherever they come from, told at once and before anything begins."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import yaml
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra._internal.hydra import Hydra
from hydra._internal.utils import create_automatic_config_search_path, get_args_parser
from hydra.core.config_loader import ConfigLoader
from hydra.core.config_search_path import SearchPathQuery
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import MISSING, DictConfig, OmegaConf
from omegaconf.errors import InterpolationToMissingValueError, OmegaConfBaseException
from pydantic import ValidationError

from steel_defects import CONF_DIR
from steel_defects.cli.manual import leaves, own_groups
from steel_defects.core.errors import UserError
from steel_defects.core.settings import SettingFaults, Settings, faults, fields, near, submodel

_MOST_JOBS = 100  # of a sweep that are looked at before it begins; each job is checked again when it starts


def settings_model(command: str) -> type[Settings]:
    """The model of a command's settings: `TrainSettings` in `steel_defects/train/settings.py`."""
    return getattr(import_module(f"steel_defects.{command}.settings"), f"{command.capitalize()}Settings")


def check(command: str, names: Mapping[str, str]) -> None:
    """Compose what was typed, of a --multirun every job, and hold it against the command's model.

    Args:
        command: the one whose settings they are.
        names: key by the word that is typed for it, see `arguments.NAMES`.

    Raises:
        UserError: with all faults.
    """
    model, args = settings_model(command), get_args_parser().parse_args(sys.argv[1:])
    groups = own_groups(command)
    try:
        typed = OverridesParser.create().parse_overrides(args.overrides)
        strangers = [override for override in typed if _is_unknown(model, override, groups)]
        lines = [_unknown(model, override) for override in strangers]
        words = [override.input_line or "" for override in typed if override not in strangers]
        search_path = create_automatic_config_search_path(None, None, CONF_DIR)
        if args.config_dir:  # as Hydra does
            folder = f"file://{_folder(args.config_dir)}"
            search_path.prepend("command-line", folder, SearchPathQuery(provider="schema"))
        GlobalHydra.instance().clear()
        hydra = Hydra.create_main_hydra2(command, search_path)
        try:
            for job in _jobs(hydra.config_loader, words) if args.multirun else [words]:
                lines += _faults(hydra.config_loader, model, command, job)
        finally:
            GlobalHydra.instance().clear()
    except (HydraException, OmegaConfBaseException) as error:
        raise UserError(str(error).strip()) from None
    except yaml.YAMLError as error:
        raise UserError(_broken(error)) from None
    if lines:
        raise SettingFaults("\n".join(_as_named(line, names) for line in dict.fromkeys(lines)))


def _folder(config_dir: str) -> Path:
    folder = Path(config_dir).absolute()
    if not folder.is_dir():
        raise UserError(f"--config-dir {config_dir}: no such folder")
    names = [path.relative_to(folder) for path in sorted(folder.rglob("*.yaml"))]
    if hidden := [str(name) for name in names if (Path(CONF_DIR) / name).is_file()]:
        raise UserError(  # Hydra would take the project's, and not say so
            f"--config-dir {config_dir}: {', '.join(hidden)}: conf/ has a file of that name, which would be read "
            "instead; take another name"
        )
    return folder


def _is_unknown(model: type[Settings], override: Override, groups: Sequence[str]) -> bool:
    key = override.key_or_group
    if key in groups or key.split(".")[0].split("/")[0] == "hydra":
        return False
    known = {path: field for path, field, _ in fields(model)}
    if key in known:
        return False
    parts = key.split(".")
    # Inside of a value that is a mapping of its own, such as numbers by name, any key may stand.
    outer = [".".join(parts[:i]) for i in range(1, len(parts))]
    return not any(o in known and submodel(known[o]) is None and "dict" in str(known[o].annotation) for o in outer)


def _unknown(model: type[Settings], override: Override) -> str:
    sign = (override.input_line or "").partition(override.key_or_group)[0]
    value = override.get_value_string()
    return f"{sign}{override.key_or_group}={value}: there is no such setting{near(model, override.key_or_group)}"


def _as_named(line: str, names: Mapping[str, str]) -> str:
    """A line whose key is called as it is typed."""
    for name, key in names.items():
        if line.startswith((f"{key}=", f"{key}:")):
            return name + line.removeprefix(key)
    return line


def _jobs(loader: ConfigLoader, words: list[str]) -> list[list[str]]:
    """The overrides of each job of a sweep, as Hydra's own sweeper makes them; `glob(*)` asks the loader."""
    overrides = OverridesParser.create(config_loader=loader).parse_overrides(words)
    batches = BasicSweeper.split_arguments(overrides, max_batch_size=None)
    return [list(job) for job in batches[0][:_MOST_JOBS]]


def _faults(loader: ConfigLoader, model: type[Settings], command: str, words: list[str]) -> list[str]:
    cfg = loader.load_configuration(command, words, RunMode.RUN)
    values = _plain(OmegaConf.masked_copy(cfg, [str(key) for key in cfg if key != "hydra"]))
    try:
        model.model_validate(values)
    except ValidationError as error:
        return faults(model, values, error, dict(_sources(loader, command, words)))
    return []


def _plain(cfg: DictConfig) -> dict[str, Any]:
    """Plain values; a key without one (`???`) is left out, for the model to miss it, and what is made of it stays."""
    raw: dict[str, Any] = OmegaConf.to_container(cfg, resolve=False)  # type: ignore[assignment] # of a DictConfig
    return {key: _resolved(cfg, key, value) for key, value in raw.items() if value != MISSING}


def _resolved(cfg: DictConfig, key: str, raw: Any) -> Any:
    if isinstance(raw, dict):
        return {name: _resolved(cfg[key], name, value) for name, value in raw.items() if value != MISSING}
    try:
        value = cfg[key]
    except InterpolationToMissingValueError:
        return raw
    return OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value


def _sources(loader: ConfigLoader, command: str, words: list[str]) -> Iterator[tuple[str, str]]:
    """Dotted key and file of all that the user's own files set."""
    typed = {override.key_or_group for override in OverridesParser.create().parse_overrides(words)}
    folders = [Path(source.path) for source in loader.get_sources() if source.scheme() == "file"]
    for default in loader.compute_defaults_list(command, words, RunMode.RUN).defaults:
        if not default.config_path or (default.package or "").startswith("hydra"):
            continue
        path = next((p for folder in folders if (p := folder / f"{default.config_path}.yaml").is_file()), None)
        if path is None or Path(CONF_DIR) in path.parents:
            continue
        prefix = f"{default.package}." if default.package and default.package != "_global_" else ""
        content = OmegaConf.load(path)
        for key, _ in leaves(content, leave_out=("defaults",)) if isinstance(content, DictConfig) else ():
            parts = f"{prefix}{key}".split(".")
            for i in range(1, len(parts) + 1):
                if ".".join(parts[:i]) not in typed:
                    yield ".".join(parts[:i]), str(path)


def _broken(error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    place = f"{mark.name}, line {mark.line + 1}" if mark else "a YAML file"
    return f"{place}: cannot be read as YAML: {getattr(error, 'problem', None) or error}"
