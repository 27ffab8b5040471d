"""What a benchmark measures: its settings, checked all at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from steel_defects.benchmark.engines import ENGINES, default_engines
from steel_defects.benchmark.systems import known_systems
from steel_defects.core.errors import UserError
from steel_defects.core.machine import available_cores
from steel_defects.data.synthetic.strip import MIN_SIDE

FASTEST = "fastest"


@dataclass(frozen=True)
class Plan:
    """What is measured, and how long.

    Args:
        systems: names.
        sizes: (height, width) in pixels.
        engines: names.
        end_to_end: names of engines, `fastest` for that of each system and size; none where no files are looked at.
        rounds: each measures every engine once.
        seconds: of one measurement.
        warmup: seconds, before the first.
        file_rounds: rounds of what is measured from file to file.
        images: files that are drawn, or taken of the user's.
        input: the user's own files; None draws some.
        threads: of the CPU.
        batch_size: of training.
        steps: of training; 0 for none.
        train_size: (height, width) in pixels.
    """

    systems: tuple[str, ...]
    sizes: tuple[tuple[int, int], ...]
    engines: tuple[str, ...]
    end_to_end: tuple[str, ...]
    rounds: int
    seconds: float
    warmup: float
    file_rounds: int
    images: int
    input: str | None
    threads: int
    batch_size: int
    steps: int
    train_size: tuple[int, int]


def make_plan(settings: Mapping) -> Plan:
    """Check conf/benchmark.yaml, composed, as plain values.

    Raises:
        UserError: naming everything that is wrong.
    """
    train = settings["train"]
    counts = {"rounds": 1, "file_rounds": 1, "images": 1}
    faults = [_count(key, settings[key], least) for key, least in counts.items()]
    faults += [_count("train.batch_size", train["batch_size"], 2), _count("train.steps", train["steps"], 0)]
    faults += [_count("threads", settings["threads"], 1)] if settings["threads"] is not None else []
    faults += [_seconds(key, settings[key]) for key in ("seconds", "warmup")]
    systems, engines = _listed(settings["systems"]), _listed(settings["engines"])
    engines = default_engines() if engines == ["auto"] else engines
    files = _listed(settings["end_to_end"])
    faults += _names("systems", systems, known_systems()) + _names("engines", engines, ENGINES)
    faults += [_unknown("end_to_end", name, [FASTEST, *engines]) for name in files if name not in {FASTEST, *engines}]
    sizes = settings["sizes"]
    least = MIN_SIDE if files and not settings["input"] else 16
    if not isinstance(sizes, list) or not sizes:
        faults.append(f"sizes={sizes}: at least one [height,width], as in sizes=[[256,256],[256,1600]]")
        sizes = []
    faults += [_size("sizes", size, least) for size in sizes] + [_size("train.size", train["size"], 16)]
    if settings["input"] is not None and not isinstance(settings["input"], str):
        faults.append(f"input={settings['input']}: a folder, a file or a glob")
    if faults := [fault for fault in faults if fault]:
        raise UserError("\n".join(faults))
    return Plan(
        systems=tuple(dict.fromkeys(systems)),
        sizes=tuple(dict.fromkeys(tuple(size) for size in sizes)),
        engines=tuple(dict.fromkeys(engines)),
        end_to_end=tuple(dict.fromkeys(files)),
        rounds=settings["rounds"],
        seconds=float(settings["seconds"]),
        warmup=float(settings["warmup"]),
        file_rounds=settings["file_rounds"],
        images=settings["images"],
        input=settings["input"],
        threads=settings["threads"] or available_cores(),
        batch_size=train["batch_size"],
        steps=train["steps"],
        train_size=tuple(train["size"]),
    )


def _listed(value: object) -> list[str]:
    return [str(item) for item in value] if isinstance(value, list) else [] if value is None else [str(value)]


def _names(key: str, names: Sequence[str], known: Mapping) -> list[str]:
    if not names:
        return [f"{key}=[]: at least one of {', '.join(known)}"]
    return [_unknown(key, name, list(known)) for name in names if name not in known]


def _unknown(key: str, name: str, known: Sequence[str]) -> str:
    return f"{key}={name}: one or more of {', '.join(known)}"


def _count(key: str, value: object, least: int) -> str:
    fits = type(value) is int and value >= least
    return "" if fits else f"{key}={value}: a whole number, {least} or more"


def _seconds(key: str, value: object) -> str:
    fits = type(value) in (int, float) and 0 < value < float("inf")
    return "" if fits else f"{key}={value}: seconds, more than 0"


def _size(key: str, value: object, least: int) -> str:
    fits = isinstance(value, list) and len(value) == 2
    fits = fits and all(type(side) is int and side >= least and side % 16 == 0 for side in value)
    return "" if fits else f"{key}: {value} is no [height,width] in pixels, multiples of 16, {least} or more"
