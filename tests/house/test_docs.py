"""Goal: tables in the documentation say what the code says, and its links and examples work.

Method: each table is read from its page and compared with the objects that it describes.
"""

from __future__ import annotations

import ast
import re
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lobgym.agents.sb3.callbacks import EPISODE_FIGURES
from lobgym.agents.sb3.config import TrainConfig
from lobgym.agents.sb3.settings import ALGOS, DqnSettings, LstmSettings, PpoSettings, QrDqnSettings, SacSettings
from lobgym.envs import LobEnv, LobVectorEnv, RewardTerms
from lobgym.experiments.evaluation.evaluate import SeedMetrics
from lobgym.sim import records as rec
from lobgym.sim.actions import GRID_BINS, GRID_NAMES
from lobgym.sim.columns.catalog import PARTS
from lobgym.sim.desk_spec import SPACING_MULTIPLES, DeskSpec
from lobgym.sim.instrument import BUILTIN, load_instrument
from lobgym.sim.market import Market
from lobgym.sim.measures import CATALOG
from lobgym.sim.observation import COLUMNS, DEFAULT_COLUMNS, GROUPS
from lobgym.sim.scenarios import SCENARIOS
from lobgym.sim.tape import Tape
from tests.house.pages import blocks, links, table
from tests.project import ROOT, project_files

PAGES = [path for path in project_files() if path.suffix == ".md"]


def page(name: str) -> str:
    return (ROOT / "docs" / name).read_text(encoding="utf-8")


def bare(cell: str) -> str:
    return cell.strip("`")


@pytest.mark.parametrize("path", PAGES, ids=str)
def test_links_lead_somewhere(path: Path) -> None:
    for target in links((ROOT / path).read_text(encoding="utf-8")):
        assert target.startswith("https://") or (ROOT / path.parent / target).exists(), target


@pytest.mark.parametrize("path", [path for path in PAGES if path.parts[0] == "docs"], ids=str)
def test_python_in_the_pages_runs(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From top to bottom, a block goes on where the one before it ended; files go to the working directory."""
    page_blocks = blocks((ROOT / path).read_text(encoding="utf-8"), "python")
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"__name__": "page"}
    for block in page_blocks:
        exec(compile(block, str(path), "exec"), names)


@pytest.mark.parametrize("path", [path for path in PAGES if path.parts[0] == "docs"], ids=str)
def test_files_that_a_page_names_exist(path: Path) -> None:
    text = (ROOT / path).read_text(encoding="utf-8")
    for name in re.findall(r"`((?:sim|envs|agents|runtime|governance|experiments|tests|lobgym)/[\w./]*\w)`", text):
        assert (ROOT / name).exists(), name


# -- observations.md ---------------------------------------------------------------------------------------------------


def test_the_observation_columns() -> None:
    rows = table(page("observations.md"), "column", "unit")
    assert rows == [
        [
            f"`{column.name}`",
            column.unit,
            f"{column.scale:g}" if column.scale else "ratio",
            " ".join(column.parts),
            {-1: "unbounded", 0: ""}.get(column.lookback_s, f"{column.lookback_s} s"),
            " ".join(kind for kind, names in DEFAULT_COLUMNS.items() if column.name in names),
            column.about,
        ]
        for column in COLUMNS
    ]


def test_the_parts_and_groups_of_columns() -> None:
    parts = [bare(name) for row in table(page("observations.md"), "part", "what") for name in row[0].split(", ")]
    assert tuple(parts) == PARTS
    shown = {bare(row[0]): tuple(bare(name) for name in row[1].split(", ")) for row in _groups()}
    assert shown == {name: columns for name, columns in GROUPS.items() if not name.startswith("book_")}


def _groups() -> list[list[str]]:
    return table(page("observations.md"), "group", "columns")


# -- environments.md ---------------------------------------------------------------------------------------------------


def test_the_actions(small_tape: Tape) -> None:
    rows = table(page("environments/grid.md"), "dimension", "codes")
    assert [(bare(row[0]), int(row[1])) for row in rows] == list(zip(GRID_NAMES, GRID_BINS, strict=True))
    spec = DeskSpec.for_market(Market.compile(small_tape), "target")
    shown = table(page("environments/target-position.md"), "choice", "0")
    assert [float(cell) for cell in shown[0][1:]] == list(spec.targets)
    assert (SPACING_MULTIPLES[0], SPACING_MULTIPLES[-1]) == (1, 192)  # tenths of a bp, as the page says


def test_the_info_keys(small_tape: Tape) -> None:
    rows = table(page("environments.md"), "when", "keys")
    documented = [{bare(key) for key in row[1].split(", ")} for row in rows]
    env = LobEnv(tape=small_tape, horizon=2)
    _, at_reset = env.reset(seed=0)
    env.step(env.action_space.sample())
    *_, at_end = env.step(env.action_space.sample())
    assert [set(at_reset), set(at_end) - {"summary"}, set(at_end["summary"])] == documented
    assert env.reset()[1].keys() == documented[0]


def test_the_reward_terms_and_autoreset_modes() -> None:
    shown = {bare(row[0]): float(row[1]) for row in table(page("environments.md"), "`RewardTerms`", "default")}
    assert shown == asdict(RewardTerms())
    modes = [re.findall(r"`(\w+)`", row[0])[0] for row in table(page("environments.md"), "`autoreset_mode`", "when")]
    made = [LobVectorEnv(tape="synth?minutes=1", horizon=2, embargo_ns=0, autoreset_mode=_mode(name)) for name in modes]
    assert [env.autoreset_mode.name for env in made] == modes


def _mode(name: str) -> Any:
    from gymnasium.vector import AutoresetMode

    return AutoresetMode[name]


# -- training.md and leaderboard.md ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("place", "column", "settings"),
    [
        (0, 1, PpoSettings()),
        (0, 2, LstmSettings()),
        (1, 1, DqnSettings()),
        (1, 2, QrDqnSettings()),
        (1, 3, SacSettings()),
    ],
    ids=["ppo", "ppo_lstm", "dqn", "qrdqn", "sac"],
)
def test_the_settings_of_the_algorithms(place: int, column: int, settings: Any) -> None:
    rows = table(page("training.md"), "setting", "default", place)
    assert {bare(row[0]): ast.literal_eval(row[column]) for row in rows if row[column]} == asdict(settings)


def test_the_training_config() -> None:
    rows = table(page("training.md"), "field", "default")
    names = [bare(name) for row in rows for name in row[0].split(", ")]
    assert names == [field.name for field in fields(TrainConfig)]
    config = TrainConfig()
    shown = {bare(row[0]): row[1] for row in rows}
    for name in set(names) - {"reward", *ALGOS, "router"}:
        assert ast.literal_eval(shown[name]) == getattr(config, name), name
    assert shown["reward"] == f"scale {config.reward.scale:g}"


def test_the_logged_figures() -> None:
    shown = {bare(row[0]) for row in table(page("training.md"), "tag", "unit")}
    assert shown == {*EPISODE_FIGURES.values(), "trading/fill_rate"}


def test_the_leaderboard_figures() -> None:
    shown = [bare(row[0]) for row in table(page("leaderboard.md"), "figure", "formula")]
    assert set(shown) == {field.name for field in fields(SeedMetrics)} - {"seed", "pnl_units"}


# -- compare.md --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["scalar", "distribution", "curve"])
def test_the_measures(kind: str) -> None:
    shown = table(page("compare.md"), kind, "over" if kind == "curve" else "unit")
    left_out = {f"{side}_depth_{k}" for side in ("bid", "ask") for k in range(1, 11)} - {"bid_depth_1", "ask_depth_10"}
    assert shown == [
        [f"`{name}`", *([one.x] if kind == "curve" else []), one.unit, one.grid, one.about]
        for name, one in CATALOG.items()
        if one.kind == kind and name not in left_out
    ]


# -- tapes.md ----------------------------------------------------------------------------------------------------------


def test_the_columns_of_a_tape() -> None:
    rows = table(page("tapes.md"), "column", "type")
    assert [(bare(row[0]), np.dtype(row[1])) for row in rows] == [
        (name, rec.EVENT_DTYPE[name]) for name in rec.EVENT_DTYPE.names or ()
    ]


def test_the_kinds_of_rows() -> None:
    rows = table(page("tapes.md"), "kind", "number")
    assert [int(row[1]) for row in rows] == list(range(1, 11))
    assert all(getattr(rec, bare(row[0])) == int(row[1]) for row in rows)


def test_the_instrument_file_is_one(tmp_path: Path) -> None:
    (example,) = blocks(page("tapes.md"), "json")
    path = tmp_path / "instrument.json"
    path.write_text(example, encoding="utf-8")
    assert load_instrument(path).symbol == "SOLUSDT"
    assert all(symbol in page("tapes.md") and venue in page("tapes.md") for venue, symbol in BUILTIN)


def test_scenarios() -> None:
    """Names, descriptions and parameters of the table are the catalog's, and each has its picture."""
    rows = table(page("scenarios.md"), "name", "what happens")
    assert [bare(row[0]) for row in rows] == [f"synth:{name}" for name in SCENARIOS]
    for row, one in zip(rows, SCENARIOS.values(), strict=True):
        own = "; ".join(f"`{p.name}`={p.default:g} {p.about}" for p in one.extra)
        assert row[1:3] == [one.about, own or "-"]
        assert f"(img/scenarios/{one.name}.svg)" in row[3]
