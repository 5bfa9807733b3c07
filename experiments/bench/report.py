"""What every benchmark shares: the row it prints, where recordings are, and the table of benches."""

from __future__ import annotations

import importlib
import os
import platform
import statistics
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Final

from lobgym.experiments.source import commit_of_source
from lobgym.sim.errors import LobgymError
from lobgym.sim.importers.binance import import_binance
from lobgym.sim.tape import Tape

__all__ = ["BENCHES", "BenchRow", "find_recording", "machine", "row_of", "run_bench", "skipped"]

BENCHES: Final = {
    "compile": "lobgym.experiments.bench.compile",
    "earnhft": "lobgym.experiments.bench.earnhft",
    "env": "lobgym.experiments.bench.env",
    "exchange": "lobgym.experiments.bench.exchange",
    "film": "lobgym.experiments.bench.film",
    "ladder": "lobgym.experiments.bench.ladder",
    "log": "lobgym.experiments.bench.log",
    "replay": "lobgym.experiments.bench.replay",
    "scaling": "lobgym.experiments.bench.scaling",
    "seek": "lobgym.experiments.bench.seek",
    "step": "lobgym.experiments.bench.step",
}
_ROOT: Final = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class BenchRow:
    """One figure: the median of its runs with its range, and, where there is one, a peer measured beside it."""

    bench: str
    case: str
    unit: str
    value: float | None = None
    runs: int = 0
    min: float | None = None
    max: float | None = None
    peer: str | None = None
    peer_value: float | None = None
    ratio: float | None = None
    seed: int = 0
    commit: str = ""
    machine: str = ""
    load: float | None = None
    skipped: str | None = None
    extra: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Plain data without the fields that do not apply; `extra` is merged in."""
        data = {name: getattr(self, name) for name in self.__dataclass_fields__ if name != "extra"}
        return {name: value for name, value in data.items() if value is not None} | self.extra


@cache
def machine() -> str:
    """Processor, how many of its cores, system and interpreter: what a figure depends on beside the source."""
    model = platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    return f"{model}, {os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}"


def skipped(bench: str, cases: list[str], unit: str, reason: str) -> Iterator[BenchRow]:
    """A row for each case that cannot be measured."""
    for case in cases:
        yield row_of(bench, case, [], unit, skipped=reason)


def row_of(
    bench: str,
    case: str,
    values: list[float],
    unit: str,
    *,
    peer: str | None = None,
    peer_values: list[float] | None = None,
    skipped: str | None = None,
    seed: int = 0,
    extra: dict[str, Any] | None = None,
) -> BenchRow:
    """Summarise runs; the ratio is the median of the ratios of paired runs.

    `load` is the mean number of processes that wanted a core during the last minute, this one included.
    """
    if skipped is not None:
        return BenchRow(bench, case, unit, skipped=skipped, commit=commit_of_source(), machine=machine())
    ratio = None
    if peer_values:
        ratio = statistics.median(mine / other for mine, other in zip(values, peer_values, strict=True))
    return BenchRow(
        bench,
        case,
        unit,
        value=statistics.median(values),
        runs=len(values),
        min=min(values),
        max=max(values),
        peer=peer,
        peer_value=statistics.median(peer_values) if peer_values else None,
        ratio=ratio,
        seed=seed,
        commit=commit_of_source(),
        machine=machine(),
        load=round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        extra=extra or {},
    )


def find_recording(name: str) -> tuple[Tape | None, str]:
    """The imported recording `name`, or None and why not. Looks in $LOBGYM_RECORDINGS, else ../shared/data."""
    folder = Path(os.environ.get("LOBGYM_RECORDINGS", _ROOT.parent / "shared" / "data"))
    path = folder / name
    if not path.is_file():
        return None, f"recording {name} not found; set LOBGYM_RECORDINGS to the folder that holds it"
    return import_binance([path]), ""


def run_bench(name: str, cases: list[str] | None = None, everything: bool = False) -> Iterator[BenchRow]:
    """Run cases of a bench, yielding each row when it is known. Raises LobgymError for an unknown name.

    Without `cases`: those that take minutes or gigabytes are left out (`module.LARGE`), unless `everything`.
    """
    if name not in BENCHES:
        raise LobgymError(f"unknown bench {name!r}; known: {', '.join(sorted(BENCHES))}")
    module = importlib.import_module(BENCHES[name])
    unknown = sorted(set(cases or []) - set(module.CASES))
    if unknown:
        raise LobgymError(f"bench {name} has no case {unknown[0]!r}; known: {', '.join(module.CASES)}")
    large = () if everything else getattr(module, "LARGE", ())
    yield from module.run(list(cases or [case for case in module.CASES if case not in large]))
