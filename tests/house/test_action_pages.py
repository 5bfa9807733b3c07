"""Goal: the pages of market making and execution say what the quoter does."""

from __future__ import annotations

import re

import numpy as np
import pytest

from lobgym.agents.baselines import available_baselines, make_baseline
from lobgym.envs.rewards import RewardTerms, default_reward
from lobgym.envs.tasks import SIDES, TaskPlan
from lobgym.sim.actions import EXECUTION_BINS, EXECUTION_NAMES, MAKER_BINS, MAKER_NAMES, NO_QUOTE, ActionSpec
from lobgym.sim.desk_spec import OFFSET_MULTIPLES, DeskSpec, price_unit_ticks
from lobgym.sim.errors import ParamsError
from lobgym.sim.market import Market
from lobgym.sim.pace import PACES
from lobgym.sim.quotes.execution import SLICE_ALL, SLICE_EIGHTHS, TAKE, WITHDRAW
from lobgym.sim.tape import open_tape
from tests.house.pages import table
from tests.project import ROOT


def page(name: str) -> str:
    return (ROOT / "docs" / "environments" / f"{name}.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def market() -> Market:
    return Market.compile(open_tape("synth?seed=3&minutes=1"))


@pytest.mark.parametrize(
    ("name", "names", "bins"),
    [("market-making", MAKER_NAMES, MAKER_BINS), ("execution", EXECUTION_NAMES, EXECUTION_BINS)],
)
def test_the_dimensions(name: str, names: tuple[str, ...], bins: tuple[int, ...]) -> None:
    rows = table(page(name), "dimension", "codes")
    assert [(row[0].strip("`"), int(row[1])) for row in rows] == list(zip(names, bins, strict=True))
    assert f"`Box(-1, 1, ({len(bins)},), float32)`" in page(name)


def test_the_offsets(market: Market) -> None:
    rows = table(page("market-making"), "offset code", "0")
    assert [int(cell) for cell in rows[0][1:]] == list(OFFSET_MULTIPLES)
    assert len(OFFSET_MULTIPLES) == NO_QUOTE == 14
    spec = DeskSpec.for_market(market, "maker")
    unit = price_unit_ticks(spec.offset_ticks[1] * 100_000)
    assert spec.offset_ticks == tuple(unit * multiple for multiple in OFFSET_MULTIPLES)
    assert spec.lean_ticks == 5 * unit  # half a basis point
    middle = ActionSpec.maker().decode(np.zeros((1, 4), np.float32))[0]
    assert middle.tolist() == [7, 7, 2, 4]
    assert OFFSET_MULTIPLES[middle[0]] == 12


def test_the_slices() -> None:
    cells = table(page("execution"), "slice code", "0")[0][1:]
    names = {WITHDRAW: "withdraw", SLICE_ALL: "all"}
    assert cells == [names.get(eighths, f"{eighths / 8:g}") for eighths in SLICE_EIGHTHS]
    assert ActionSpec.execution().decode(np.zeros((1, 2), np.float32)).tolist() == [[5, 3]]


def test_the_prices(market: Market) -> None:
    rows = table(page("execution"), "aggressiveness code", "price")
    assert [int(row[0]) for row in rows] == list(range(EXECUTION_BINS[1]))
    assert [row[2] for row in rows] == ["takes" if code >= TAKE else "rests" for code in range(EXECUTION_BINS[1])]
    spec = DeskSpec.for_market(market, "execution")
    unit = price_unit_ticks(spec.offset_ticks[1] * 100_000)
    stated = [float(x) for row in rows for x in re.findall(r"\(([\d.]+) bps\)", row[1])]
    assert stated == [ticks / unit / 10 for ticks in (*spec.behind_ticks, spec.sweep_ticks)]


def test_the_task(market: Market) -> None:
    rows = table(page("execution"), "key of `task`", "what")
    assert [row[0].strip("`") for row in rows] == ["side", "lots", "notional"]
    assert re.findall(r'`"(\w+)"`', rows[0][1]) == list(SIDES)
    spec = DeskSpec.for_market(market, "execution")
    limit = spec.position_lots_max
    assert TaskPlan.of(None, spec, market) == TaskPlan("random", limit // 4, limit)
    for key in ("lots", "notional"):
        assert TaskPlan.of({key: 10_000 if key == "notional" else 1}, spec, market) is not None
    with pytest.raises(ParamsError, match="side, and lots or notional"):
        TaskPlan.of({"size": 1}, spec, market)
    assert default_reward("execution") == RewardTerms(pnl=0.0, shortfall=1.0, unfilled_bps=10.0)


def test_the_paces(market: Market) -> None:
    rows = table(page("market-making"), '`spec={"pace": ...}`', "a step ends")
    assert [row[0].strip('`"') for row in rows] == list(PACES)
    spec = DeskSpec.for_market(market, "maker")
    assert (spec.pace, spec.interval_ns, spec.pace_min_ns) == ("interval", 500_000_000, 1_000_000)


def test_the_rules_to_beat(market: Market) -> None:
    rows = table(page("execution"), "baseline", "slice")
    named = [row[0].strip("`") for row in rows]
    assert named == [name for name in available_baselines("execution") if name not in ("flat", "random")]
    spec = DeskSpec.for_market(market, "execution")
    row = np.zeros((1, spec.layout.size), np.float32)
    for name, slice_code, aggressiveness in rows:
        codes = spec.action.decode(make_baseline(name.strip("`"), spec, 1.0).act(row))[0].tolist()
        assert codes[1] == int(aggressiveness)
        if slice_code.isdigit():
            assert codes[0] == int(slice_code)
    for name in available_baselines("maker"):
        if name not in ("flat", "random"):
            assert f"`{name}`" in page("market-making")
