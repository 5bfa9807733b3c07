"""Goal: the market's public names are stable, and the package stays light until one of them is used."""

from __future__ import annotations

import subprocess
import sys

import lobgym.sim as sim

NAMES = [
    "ActionSpec",
    "Desk",
    "DeskSpec",
    "Instrument",
    "Market",
    "MultiSession",
    "ObservationLayout",
    "RiskLimits",
    "Session",
    "SimParams",
    "Tape",
    "check_causal",
    "find_instrument",
    "inspect",
    "load_instrument",
    "open_tape",
    "register_column",
]


def test_the_public_names_are_these() -> None:
    assert sim.__all__ == NAMES
    for name in NAMES:
        assert getattr(sim, name).__name__ == name


def test_an_unknown_name_is_an_attribute_error() -> None:
    assert not hasattr(sim, "NoSuchName")


def test_errors_and_constants_load_no_compiler() -> None:
    code = (
        "import sys, lobgym.sim.errors, lobgym.sim.records;"
        "print([name for name in ('numba', 'pyarrow', 'gymnasium', 'torch') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
