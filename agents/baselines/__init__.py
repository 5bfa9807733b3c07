"""Policies written by hand: what a trained one has to beat (docs/baselines.md).

`make_baseline` gives one by name, `available_baselines` the names; `make_suite` gives all that fit a market, each with
its desk, fitted on the market's training part, `open_baseline` one of those. Most are functions of the observation and
leave as ONNX graphs (`lobgym.agents.onnx.mirrors`).
"""

from __future__ import annotations

from lobgym.agents.baselines.facts import MarketFacts
from lobgym.agents.baselines.fixed import AlwaysLong, Flat, RandomCodes
from lobgym.agents.baselines.grids import AdaptiveGrid, NatrGrid, RegimeGrid, StaticGrid
from lobgym.agents.baselines.registry import BASELINES, available_baselines, baseline_spec, make_baseline
from lobgym.agents.baselines.suite import Suite, SuiteEntry, make_suite, open_baseline

__all__ = [
    "BASELINES",
    "AdaptiveGrid",
    "AlwaysLong",
    "Flat",
    "MarketFacts",
    "NatrGrid",
    "RandomCodes",
    "RegimeGrid",
    "StaticGrid",
    "Suite",
    "SuiteEntry",
    "available_baselines",
    "baseline_spec",
    "make_baseline",
    "make_suite",
    "open_baseline",
]
