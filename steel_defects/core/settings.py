"""What the settings of all commands and groups have in common: frozen, all keys known, and faults told in words.

A model (`Settings`) stands in the room of what it sets; conf/ has the values, which a model repeats only where runs of
earlier versions lack a key. What a key means beyond its value is a `Role` beside it.
"""

from __future__ import annotations

import difflib
import enum
import functools
import os
import types
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal, TypeVar, Union, cast, get_args, get_origin

import annotated_types as limits
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Strict, ValidationError, model_validator
from pydantic.fields import FieldInfo

from steel_defects.core.errors import UserError

Model = TypeVar("Model", bound="Settings")


class Role(enum.Flag):
    """What a key means beyond its value; that of a group holds for all keys in it."""

    RESUMABLE = enum.auto()  # may be another when a run goes on
    ASIDE = enum.auto()  # makes no other system of a run: where data lies, on what it ran
    UNTAGGED = enum.auto()  # is no tag of a run in W&B
    PATH = enum.auto()  # typed as it is, whatever characters it has; Tab completes files
    PATHS = enum.auto()  # likewise several, with commas between
    WORDS = enum.auto()  # a list that may be typed without brackets


class Words(str):
    """What is allowed, for messages, where the type does not say it well."""


class FormerName(str):
    """A name that a key had in an earlier version; it still works, wherever it is written."""


class Settings(BaseModel):
    """Base of all settings."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, arbitrary_types_allowed=True)

    @model_validator(mode="before")
    @classmethod
    def _by_present_names(cls, values: Any) -> Any:
        if not isinstance(values, Mapping):
            return values
        former = {old: new for old, new in former_names(cls).items() if old in values}
        # Whoever writes the former name means it: what is there by the present one is conf/'s.
        return {k: v for k, v in values.items() if k not in former} | {former[k]: values[k] for k in former}

    def changed(self: Model, changes: Mapping[str, Any]) -> Model:
        """A copy with other values.

        Args:
            changes: values by dotted key, such as `data.split.file`.

        Raises:
            SettingFaults: where they do not go with the others.
        """
        values = self.plain()
        for key, value in changes.items():
            *groups, name = key.split(".")
            place = values
            for group in groups:
                place = place.setdefault(group, {})
            place[name] = value
        return read(type(self), values)

    def plain(self) -> dict[str, Any]:
        """What was set, as it stands in YAML and JSON: nested dicts, lists, numbers and texts."""
        return self.model_dump(mode="json", exclude_unset=True)


def _as_text(value: object) -> object:
    # Hydra reads 2026 as a number, and a name may look like one.
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


def _as_path(value: object) -> object:
    return os.fspath(value) if isinstance(value, os.PathLike) else value


def _not_blank(text: str) -> str:
    if not text.strip():
        raise ValueError("empty")
    return text


Flag = Annotated[bool, Strict(), Words("true or false")]
Whole = Annotated[int, Strict()]
Count = Annotated[int, Strict(), limits.Ge(0)]
Positive = Annotated[int, Strict(), limits.Ge(1)]
Number = Annotated[float, Strict()]
Share = Annotated[float, Strict(), limits.Ge(0), limits.Le(1)]
Text = Annotated[str, BeforeValidator(_as_text), AfterValidator(_not_blank), Words("a text")]
PathName = Annotated[str, BeforeValidator(_as_path), AfterValidator(_not_blank), Words("a path"), Role.PATH]
Pixels = Annotated[tuple[Positive, Positive], Words("[height, width] in pixels")]


def _multiples(size: tuple[int, int]) -> tuple[int, int]:
    if any(side % 16 for side in size):
        raise ValueError("not multiples of 16")
    return size


NetSize = Annotated[
    tuple[Positive, Positive],
    AfterValidator(_multiples),
    Words("[height, width] in pixels, multiples of 16 (the net's output stride)"),
]


def _listed(value: object) -> object:
    return () if value is None else value if isinstance(value, list | tuple) else (value,)


# Before a tuple: a single value is a list of one, null is an empty list.
Listed = BeforeValidator(_listed)


class SettingFaults(UserError):
    """Everything found wrong with the settings of a command, all at once."""


class Wrong(ValueError):
    """Raised by a validator that has better words than what is allowed; they follow `key=value: `."""


def plain(cfg: DictConfig) -> dict[str, Any]:
    """A composed configuration as plain values.

    Raises:
        UserError: where a setting has no value, such as the name of `encoder=any`.
    """
    try:
        return cast(dict[str, Any], OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True))
    except OmegaConfBaseException as error:
        missing = str(error).splitlines()[0]
        hint = ". encoder=any takes one of any library: encoder.name=tu-resnet50d" if "encoder.name" in missing else ""
        raise UserError(f"A setting has no value: {missing}{hint}") from error


def read(model: type[Model], values: Mapping[str, Any] | DictConfig) -> Model:
    """Make settings of plain values, or of a composed configuration.

    Args:
        model: the settings to make.
        values: nested mappings, as they are composed from conf/ and the command line.

    Raises:
        SettingFaults: with a line for each key that is unknown, missing, of the wrong type or out of bounds.
    """
    values = plain(values) if isinstance(values, DictConfig) else values
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise SettingFaults("\n".join(faults(model, values, error, {}))) from None


def faults(
    model: type[Settings], values: Mapping[str, Any], error: ValidationError, sources: Mapping[str, str]
) -> list[str]:
    """What is wrong, a line each; a key that is wrong in several ways is told once.

    Args:
        model, values: the same as for `read`.
        error: what the model says of them.
        sources: file by dotted key, of values that come from a file other than the project's own.
    """
    lines: dict[str, str] = {}
    for problem in error.errors(include_url=False):
        path, field = _locate(model, problem["loc"])
        key, whole = ".".join(path), len(path) == len(problem["loc"])
        reason = problem.get("ctx", {}).get("error")
        if problem["type"] == "extra_forbidden":
            line = f"{key}: there is no such setting{near(model, key)}"
        elif problem["type"] == "missing" and whole:
            line = f"{key}: has no value; it takes {allowed_by(field)}" if field else f"{key}: is missing"
        elif isinstance(reason, Wrong) and (field is None or submodel(field)):
            line = str(reason)  # of a group whose keys do not fit together
        else:
            rule = str(reason) if isinstance(reason, Wrong) or field is None else allowed_by(field)
            line = f"{key}={as_typed(_find(values, path))}: {rule}"
        lines.setdefault(key, line + (f"  ({sources[key]})" if key in sources else ""))
    return list(lines.values())


def _find(values: Any, path: Sequence[str]) -> Any:
    for part in path:
        values = values[part]
    return values


def _locate(model: type[Settings], place: Sequence[str | int]) -> tuple[list[str], FieldInfo | None]:
    """The dotted path of the key that a place inside a value belongs to, and its field; None of an unknown key."""
    path: list[str] = []
    inside: type[Settings] | None = model
    field = None
    for part in place:
        if inside is None:
            break
        path.append(str(part))
        field = inside.model_fields.get(str(part))
        inside = submodel(field) if field else None
    return path, field


def submodel(field: FieldInfo) -> type[Settings] | None:
    """The model of a field that is a group of keys; None of a single value."""
    for kind in _alternatives(field.annotation):
        if isinstance(kind, type) and issubclass(kind, Settings):
            return kind
    return None


def fields(model: type[Settings], prefix: str = "", role: Role | None = None) -> Iterator[tuple[str, FieldInfo, Role]]:
    """Every key of a model and of the groups in it: its dotted path, its field, its roles; a group before its keys."""
    for name, field in model.model_fields.items():
        roles = role or Role(0)
        for part in _metadata(field):
            roles |= part if isinstance(part, Role) else Role(0)
        yield f"{prefix}{name}", field, roles
        if inner := submodel(field):
            yield from fields(inner, f"{prefix}{name}.", roles)


@functools.cache  # asked of each model, each time that settings are read
def former_names(model: type[Settings]) -> Mapping[str, str]:
    """Dotted path of each key by the one that it had in an earlier version."""
    names: dict[str, str] = {}
    for key, field, _ in fields(model):
        group = key[: key.rfind(".") + 1]
        names |= {f"{group}{part}": key for part in _metadata(field) if isinstance(part, FormerName)}
    return names


def keys_with(model: type[Settings], role: Role) -> list[str]:
    """Dotted paths of the keys that have a role; of a group that has it, the group alone."""
    keys: list[str] = []
    for key, _, roles in fields(model):
        if role & roles and not any(key.startswith(f"{group}.") for group in keys):
            keys.append(key)
    return keys


def has_role(model: type[Settings], key: str, role: Role) -> bool:
    """Whether a key, or the group it is in, has a role."""
    return any(f"{key}.".startswith(f"{holder}.") for holder in keys_with(model, role))


def near(model: type[Settings], key: str) -> str:
    """Words on which setting may be meant by one that is not there."""
    known = [path for path, field, _ in fields(model) if submodel(field) is None]
    group, _, name = key.rpartition(".")
    siblings = [path for path in known if path.rpartition(".")[0] == group]
    alike = difflib.get_close_matches(name, [path.rpartition(".")[2] for path in siblings], n=1, cutoff=0.6)
    same_name = [path for path in known if path.rpartition(".")[2] == name]
    close = same_name or [f"{group}.{sibling}" if group else sibling for sibling in alike]
    close = close or ([] if siblings else difflib.get_close_matches(key, known, n=3, cutoff=0.8))
    if close:
        return f"; did you mean {' or '.join(close[:3])}?"
    names = [path.rpartition(".")[2] for path in siblings]
    return f"; {group or 'there'} has {', '.join(names)}" if names and group else ""


def allowed_by(field: FieldInfo) -> str:
    """What a key may be, in words."""
    return allowed(field.annotation, _metadata(field))


def allowed(kind: object, metadata: Sequence[object] = ()) -> str:
    """What a type allows, in words.

    Example:
        >>> allowed(int, [limits.Ge(1)])
        'a whole number, 1 or more'
        >>> allowed(Literal["sgd", "adamw"] | None)
        'sgd or adamw, or null'
    """
    if words := [str(part) for part in metadata if isinstance(part, Words)]:
        text = words[-1]
        return text if "null" in text or type(None) not in _alternatives(kind) else f"{text}, or null"
    if get_origin(kind) is Annotated:
        inner, *more = get_args(kind)
        return allowed(inner, [*more, *metadata])
    if get_origin(kind) in (Union, types.UnionType):
        kinds = [part for part in get_args(kind) if part is not type(None)]
        text = " or ".join(dict.fromkeys(allowed(part, metadata) for part in kinds))
        return text + (", or null" if type(None) in get_args(kind) else "")
    if get_origin(kind) is Literal:
        *first, last = map(str, get_args(kind))
        return f"{', '.join(first)} or {last}" if first else last
    if kind is bool:
        return "true or false"
    if kind in (int, float):
        return _number("a whole number" if kind is int else "a number", metadata)
    if kind is str:
        return "a text"
    if get_origin(kind) in (list, tuple):
        return f"a list, each {allowed(get_args(kind)[0])}" if get_args(kind) else "a list"
    return "settings of its own" if isinstance(kind, type) and issubclass(kind, Settings) else "another value"


def _number(noun: str, metadata: Sequence[object]) -> str:
    least = next((_plain(m.ge) for m in metadata if isinstance(m, limits.Ge)), None)
    above = next((_plain(m.gt) for m in metadata if isinstance(m, limits.Gt)), None)
    most = next((_plain(m.le) for m in metadata if isinstance(m, limits.Le)), None)
    below = next((_plain(m.lt) for m in metadata if isinstance(m, limits.Lt)), None)
    low = f"from {least}" if least is not None else f"above {above}" if above is not None else ""
    high = f"to {most}" if most is not None else f"to below {below}" if below is not None else ""
    if low and high:
        return f"{noun} {low} {high}"
    if least is not None:
        return f"{noun}, {least} or more"
    return f"{noun}, {low or high}" if low or high else noun


def _plain(limit: Any) -> str:
    return str(limit) if isinstance(limit, int) else f"{limit:g}"


def as_typed(value: object) -> str:
    """A value as it would be typed on the command line, without the shell's quotes."""
    if value is None or isinstance(value, bool):
        return "null" if value is None else str(value).lower()
    if isinstance(value, list | tuple):
        return f"[{','.join(map(as_typed, value))}]"
    if isinstance(value, dict):
        return f"{{{','.join(f'{key}:{as_typed(item)}' for key, item in value.items())}}}"
    return str(value)


def _metadata(field: FieldInfo) -> list[object]:
    """What stands beside the type of a field; of an optional one, also what stands inside of `X | None`."""
    metadata: list[object] = list(field.metadata)
    for kind in _arguments(field.annotation):
        if get_origin(kind) is Annotated:
            metadata = [*get_args(kind)[1:], *metadata]
    return metadata


def _arguments(kind: object) -> Sequence[object]:
    return get_args(kind) if get_origin(kind) in (Union, types.UnionType) else [kind]


def _alternatives(kind: object) -> list[object]:
    """The types of a union, without what stands beside them."""
    return [get_args(part)[0] if get_origin(part) is Annotated else part for part in _arguments(kind)]
