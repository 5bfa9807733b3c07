"""One small market, a desk of each kind on it, and bundles: shared by the tests of runtime and governance."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from lobgym.runtime.bundle import write_bundle
from lobgym.sim.desk_spec import DeskSpec
from lobgym.sim.market import Market
from lobgym.sim.tape import Tape, open_tape
from tests.runtime.models import mlp

TAPE = "synth?seed=5&minutes=2"
KINDS = ("grid", "target", "maker")  # that a runtime serves
BUNDLED = (*KINDS, "execution")

MakeBundle = Callable[..., Path]


def observations(size: int, rows: int = 8, seed: int = 1) -> NDArray[np.float32]:
    """float32[rows, size] in [-1, 1]."""
    rng = np.random.Generator(np.random.Philox(seed))
    return rng.uniform(-1.0, 1.0, (rows, size)).astype(np.float32)


def meta(tape: Tape, **changes: Any) -> dict[str, Any]:
    """The meta data of a bundle trained on `tape`."""
    fields = {
        "instrument": tape.instrument.to_json(),
        "tape_digests": [tape.digest],
        "seed": 7,
        "algo": "made by hand",
        "training_steps": 0,
    }
    return fields | changes


@pytest.fixture(scope="session")
def tape() -> Tape:
    """Two synthetic minutes."""
    return open_tape(TAPE)


@pytest.fixture(scope="session")
def tape_file(tape: Tape, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same, as a file."""
    path = tmp_path_factory.mktemp("tape") / "tape.parquet"
    tape.save(path)
    return path


@pytest.fixture(scope="session")
def market(tape: Tape) -> Market:
    """The tape, compiled."""
    return Market.compile(tape)


@pytest.fixture(scope="session")
def specs(market: Market) -> dict[str, DeskSpec]:
    """A desk of each kind that decides ten times a second."""
    return {kind: DeskSpec.for_market(market, kind, interval_ns=100_000_000) for kind in BUNDLED}


@pytest.fixture
def make_bundle(tmp_path: Path, tape: Tape, specs: dict[str, DeskSpec]) -> MakeBundle:
    """Write a bundle: kind, name, network (default: a small one of seed 0), desk (default: the fixture's)."""

    def make(
        kind: str = "grid",
        name: str = "policy",
        network: bytes | None = None,
        spec: DeskSpec | None = None,
        **changes: Any,
    ) -> Path:
        desk = spec or specs[kind]
        outputs = desk.action.size if desk.action.continuous else desk.action.bins[0]
        data = network or mlp(desk.layout.size, outputs)
        return write_bundle(tmp_path / name, data, desk, meta(tape, **changes), observations(desk.layout.size))

    return make
