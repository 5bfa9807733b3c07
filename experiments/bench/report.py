"""What every benchmark shares: the row it prints, where recordings are, and the table of benches."""

from __future__ import annotations

import importlib
import os
import statistics
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from lobgym.experiments.source import commit_of_source
from lobgym.sim.errors import LobgymError
from lobgym.sim.importers.binance import import_binance
from lobgym.sim.tape import Tape

__all__ = ["BENCHES", "BenchRow", "find_recording", "row_of", "run_bench"]

BENCHES: Final = {"replay": "lobgym.experiments.bench.replay", "step": "lobgym.experiments.bench.step"}
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
    skipped: str | None = None
    extra: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Plain data without the fields that do not apply; `extra` is merged in."""
        data = {name: getattr(self, name) for name in self.__dataclass_fields__ if name != "extra"}
        return {name: value for name, value in data.items() if value is not None} | self.extra


def row_of(
    bench: str,
    case: str,
    values: list[float],
    unit: str,
    *,
    peer: str | None = None,
    peer_values: list[float] | None = None,
    skipped: str | None = None,
    extra: dict[str, Any] | None = None,
) -> BenchRow:
    """Summarise runs; the ratio is the median of the ratios of paired runs."""
    if skipped is not None:
        return BenchRow(bench, case, unit, skipped=skipped, commit=commit_of_source())
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
        commit=commit_of_source(),
        extra=extra or {},
    )


def find_recording(name: str) -> tuple[Tape | None, str]:
    """The imported recording `name`, or None and why not. Looks in $LOBGYM_RECORDINGS, else ../shared/data."""
    folder = Path(os.environ.get("LOBGYM_RECORDINGS", _ROOT.parent / "shared" / "data"))
    path = folder / name
    if not path.is_file():
        return None, f"recording {name} not found; set LOBGYM_RECORDINGS to the folder that holds it"
    return import_binance([path]), ""


def run_bench(name: str, cases: list[str] | None = None) -> Iterator[BenchRow]:
    """Run a bench, all cases or some, yielding each row when it is known. Raises LobgymError for an unknown name."""
    if name not in BENCHES:
        raise LobgymError(f"unknown bench {name!r}; known: {', '.join(sorted(BENCHES))}")
    module = importlib.import_module(BENCHES[name])
    unknown = sorted(set(cases or []) - set(module.CASES))
    if unknown:
        raise LobgymError(f"bench {name} has no case {unknown[0]!r}; known: {', '.join(module.CASES)}")
    yield from module.run(list(cases or module.CASES))
