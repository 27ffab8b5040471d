"""Measures one system: every engine at every size, then from file to file, its training; and shows progress."""

from __future__ import annotations

import logging
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from steel_defects.benchmark.engines import noise, open_engines
from steel_defects.benchmark.files import Pictures, TypicalAnswers, images_for, time_loading, time_prediction
from steel_defects.benchmark.rows import (
    END_TO_END,
    INT8,
    LATENCY,
    LOAD,
    NET,
    RATIO_TO,
    WITH_OVERLAYS,
    Row,
    fastest,
    size_name,
)
from steel_defects.benchmark.settings import FASTEST, BenchmarkSettings
from steel_defects.benchmark.systems import System
from steel_defects.benchmark.timing import Timing, in_rounds, ratios, reason, time_calls
from steel_defects.benchmark.training import measure_training
from steel_defects.core.machine import cpu_name
from steel_defects.inference.engine import Engine

log = logging.getLogger(__name__)

Size = tuple[int, int]
Tell = Callable[[str], None]


class Progress:
    """A bar on a terminal, nothing elsewhere: how much of a system is measured, and what is being measured now.

    Args:
        name: what is measured.
        settings: say how many measurements there are to be; what cannot be measured makes it end early.
    """

    def __init__(self, name: str, settings: BenchmarkSettings) -> None:
        nets = 1 + len(settings.engines) * (2 + settings.rounds)  # building, opening, warming up, measuring
        files = len(settings.end_to_end) * (1 + 3 * settings.file_rounds)
        steps = settings.train.steps
        total = len(settings.sizes) * (nets + files) + 2 * (1 + steps) * bool(steps)
        form = "{desc} {percentage:3.0f}% |{bar:20}| {elapsed}{postfix}"
        self._bar = tqdm(desc=name, total=total, bar_format=form, leave=False, disable=None)

    def tell(self, text: str) -> None:
        """Say what comes next."""
        self._bar.set_postfix_str(text)
        self._bar.update()

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()


def measure_loading(settings: BenchmarkSettings, pictures: Mapping[Size, Pictures]) -> list[Row]:
    """A row for each size: how fast its files are read and decoded."""
    rows, threads = [], settings.cores
    for size, files in pictures.items():
        time_loading(files, threads, settings.warmup)
        values = [time_loading(files, threads, settings.seconds).rate for _ in range(settings.rounds)]
        rows.append(Row("", size, "", LOAD, values, device=cpu_name(), threads=threads, note=files.about))
    return rows


def measure_system(
    settings: BenchmarkSettings, system: System, pictures: Mapping[Size, Pictures], tell: Tell
) -> list[Row]:
    """All rows of a system.

    Args:
        settings: what to measure.
        system: the net.
        pictures: images of each size, where something is measured from file to file.
        tell: function called with what is being done.
    """
    rows = []
    for size in settings.sizes:
        # Files and engines of one size are gone before the next: all together might not fit into memory.
        with tempfile.TemporaryDirectory(prefix="benchmark-", ignore_cleanup_errors=True) as folder:
            started = time.perf_counter()
            rows += _SizeBench(settings, system, size, Path(folder), tell).measure(pictures.get(size))
            log.info("%s at %s took %.0f s", system.name, size_name(size), time.perf_counter() - started)
    if settings.train.steps:
        started = time.perf_counter()
        rows += measure_training(system, settings.train, settings.cores, tell)
        log.info("%s in training took %.0f s", system.name, time.perf_counter() - started)
    return rows


class _SizeBench:
    """One system at one size."""

    def __init__(self, settings: BenchmarkSettings, system: System, size: Size, folder: Path, tell: Tell) -> None:
        self.settings, self.system, self.size, self.folder = settings, system, size, folder
        self.tell = lambda text: tell(f"{size[0]}x{size[1]} {text}")
        self.engines, self.faults = open_engines(settings.engines, system, size, settings.cores, folder, self.tell)

    def measure(self, pictures: Pictures | None) -> list[Row]:
        rows = self.nets()
        if pictures is None:
            return rows
        best = fastest(row for row in rows if row.measure == NET)
        names = [best.engine if name == FASTEST and best else name for name in self.settings.end_to_end]
        for name in dict.fromkeys(names):
            rows += self.files(name, pictures)
        return rows

    def nets(self) -> list[Row]:
        """Images in memory."""
        settings, images = self.settings, noise(self.size, 8)

        def measures(seconds: float) -> dict[str, Callable[[], Timing]]:
            fit = {name: engine for name, engine in self.engines.items() if name not in self.faults}
            return {name: partial(_time_net, engine, images, seconds) for name, engine in fit.items()}

        self.faults |= in_rounds(measures(settings.warmup), 1, lambda name, _: self.tell(f"{name}, warm-up"))[1]
        values, faults = in_rounds(
            measures(settings.seconds),
            settings.rounds,
            lambda name, i: self.tell(f"{name}, round {i + 1}/{settings.rounds}"),
        )
        self.faults |= faults
        rates = {name: [timing.rate for timing in timings] for name, timings in values.items()}
        rows = []
        for name in settings.engines:
            if name in self.faults:
                rows.append(self.row(name, NET, note=self.faults[name]))
                continue
            note = INT8 if "int8" in name else ""
            rows.append(self.row(name, NET, rates[name], rates.get(RATIO_TO[NET]), note))
            rows.append(self.row(name, LATENCY, [1000 * timing.latency for timing in values[name]], note=note))
        return rows

    def files(self, name: str, pictures: Pictures) -> list[Row]:
        """From file to file with one engine; the net alone once more, on these images and in the same rounds."""
        settings, kinds = self.settings, (END_TO_END, WITH_OVERLAYS)
        if name not in self.engines or name in self.faults:
            note = self.faults.get(name, "no engine could be measured")
            return [self.row(name, kind, note=note) for kind in kinds]
        self.tell(f"{name}, from file to file")
        engine = self.engines[name]
        try:
            answering = TypicalAnswers(engine, pictures.shapes)
            rate = time_calls(engine, pictures.few, engine.parallel, settings.warmup).rate
            count = images_for(rate, settings.seconds, engine.parallel)
            time_prediction(answering, pictures, 2 * engine.parallel, True, self.folder)
        except Exception as error:
            return [self.row(name, kind, note=reason(error)) for kind in kinds]
        measures = {
            NET: lambda: time_calls(engine, pictures.few, engine.parallel, settings.seconds).rate,
            END_TO_END: lambda: time_prediction(answering, pictures, count, False, self.folder),
            WITH_OVERLAYS: lambda: time_prediction(answering, pictures, count, True, self.folder),
        }
        rounds = settings.file_rounds
        values, faults = in_rounds(
            measures, rounds, lambda kind, i: self.tell(f"{name}, {kind}, round {i + 1}/{rounds}")
        )
        return [
            self.row(name, kind, values.get(kind, []), values.get(NET), faults.get(kind, pictures.about))
            for kind in kinds
        ]

    def row(
        self,
        name: str,
        measure: str,
        values: Sequence[float] = (),
        reference: Sequence[float] | None = None,
        note: str = "",
    ) -> Row:
        about: Mapping[str, Any] = self.engines[name].about if name in self.engines else {"device": "", "threads": None}
        shares = ratios(values, reference) if values else []
        return Row(self.system.name, self.size, name, measure, values, shares, about["device"], about["threads"], note)


def _time_net(engine: Engine, images: Sequence[np.ndarray], seconds: float) -> Timing:
    """The rate is that of an engine kept busy; the latency is of one call at a time."""
    busy = time_calls(engine, images, engine.parallel, seconds)
    if engine.parallel == 1:
        return busy
    return Timing(busy.rate, time_calls(engine, images, 1, seconds / 4).latency)
