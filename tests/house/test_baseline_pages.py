"""Goal: the pages of the baselines and of the smart grid's specifications say what the code says."""

from __future__ import annotations

import inspect

import pytest

from lobgym.agents.baselines import BASELINES, AdaptiveGrid, RegimeGrid, make_suite
from lobgym.agents.baselines.makers import CalibratedMaker
from lobgym.agents.baselines.regimes import AXES, BUCKETS
from lobgym.agents.baselines.routing import PROFILES
from lobgym.agents.baselines.rule import ObservationRule
from lobgym.agents.baselines.toxicity import TOXICITY_COLUMNS, ToxicityLimits
from lobgym.sim.actions import KINDS
from lobgym.sim.market import Market
from lobgym.sim.observation import COLUMN_NUMBERS
from lobgym.sim.tape import open_tape
from tests.house.pages import table
from tests.project import ROOT

PAGE = (ROOT / "docs" / "baselines.md").read_text(encoding="utf-8")


def bare(cell: str) -> str:
    return cell.strip("`")


def test_every_baseline_is_in_the_table_with_what_it_needs() -> None:
    rows = {bare(row[0]): row for row in table(PAGE, "name", "kind")}
    assert list(rows) == list(BASELINES)
    for name, one in BASELINES.items():
        kinds = "each" if one.kinds == KINDS else " ".join(one.kinds)
        assert rows[name][1] == kinds, name
        assert rows[name][3:5] == ["yes" if one.core else "", "yes" if one.fitted else ""], name


def test_the_table_says_what_leaves_as_onnx() -> None:
    rows = {bare(row[0]): row[5] == "yes" for row in table(PAGE, "name", "kind")}
    market = Market.compile(open_tape("synth:volatile?seed=3&minutes=2"))
    suite = make_suite(market, market.start_ns, market.end_ns)
    assert not suite.skipped
    for entry in suite.entries:
        assert rows[entry.name] == isinstance(entry.policy, ObservationRule), entry.name


def test_the_profiles() -> None:
    rows = table(PAGE, "profile", "makes")
    assert [bare(row[0]) for row in rows] == [one.name for one in PROFILES]
    for row, one in zip(rows, PROFILES, strict=True):
        assert row[1] == ("yes" if one.making else "no")
        assert row[2:5] == [str(one.direction), f"{one.size_low} to {one.size_high}", f"{one.aggressiveness:g}"]


def test_the_axes_and_the_signals() -> None:
    rows = table(PAGE, "quantity", "column")
    assert [row[0] for row in rows] == list(AXES)
    assert [tuple(row[2].split(", ")) for row in rows] == list(BUCKETS)
    signals = table(PAGE, "signal", "column")
    assert [bare(row[1].split(",")[0]) for row in signals] == list(TOXICITY_COLUMNS)
    shown = {bare(row[0]): tuple(float(x) for x in row[2].split(", ")) for row in signals}
    assert shown == ToxicityLimits().pairs


def test_the_makers_defaults() -> None:
    defaults = inspect.signature(CalibratedMaker).parameters
    assert f"gamma is {defaults['gamma_over_k'].default:g} k and T {defaults['horizon_s'].default:g} s" in PAGE


# -- smart grid --------------------------------------------------------------------------------------------------------


def spec_page(version: str) -> str:
    return (ROOT / "docs" / "smart-grid" / f"{version}.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("version", ["v1.0", "v1.1", "v1.2"])
def test_each_specification_is_complete(version: str) -> None:
    """Its own inputs, rule, ladder, risk and determinism; no other version is needed to read it."""
    text = spec_page(version)
    assert text.startswith(f"# Adaptive smart grid, specification {version}\n")
    for part in ("## Ladder", "## Orders, risk, costs", "## Determinism", "There is no rule that closes everything"):
        assert part in text
    for other in {"v1.0", "v1.1", "v1.2"} - {version}:
        assert other not in text
    columns = [bare(name) for row in table(text, "column", "unit") for name in row[0].split(", ")]
    assert set(columns) <= set(COLUMN_NUMBERS)
    assert {"v1.0": "spread", "v1.1": "atr_14", "v1.2": "natr_14"}[version] in columns


def test_the_parameters_of_v1_2() -> None:
    rows = table(spec_page("v1.2"), "parameter", "default")
    defaults = {
        name: one.default
        for name, one in inspect.signature(AdaptiveGrid).parameters.items()
        if one.default is not inspect.Parameter.empty
    }
    assert {bare(row[0]): float(row[1]) for row in rows} == defaults


def test_the_regimes_of_v1_0() -> None:
    rows = {row[0]: row for row in table(spec_page("v1.0"), "regime", "when")}
    defaults = inspect.signature(RegimeGrid).parameters
    assert f">= {defaults['stress_bps'].default:g} bps" in rows["stress"][1]
    assert f">= {defaults['trend_bps'].default:g} bps" in rows["trend"][1]
    assert rows["quiet"][2] == f"{defaults['spacing_bps'].default:g} bps"
    assert rows["trend"][2] == f"{2 * defaults['spacing_bps'].default:g} bps"
