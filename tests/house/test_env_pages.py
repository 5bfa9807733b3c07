"""Goal: the pages of the environments, of rendering and of offline data say what the code says."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lobgym.envs.rendering import RENDER_MODES
from lobgym.experiments.pages.env_pictures import PICTURES, main
from lobgym.sim.actions import GRID_BINS, GRID_NAMES
from lobgym.sim.desk_spec import SPACING_MULTIPLES, DeskSpec
from lobgym.sim.market import Market
from lobgym.sim.observation import GRID_COLUMNS, TARGET_COLUMNS
from lobgym.sim.tape import Tape
from tests.house.pages import table
from tests.project import ROOT

PICTURE_BYTES_MAX = 80_000


def page(name: str) -> str:
    return (ROOT / "docs" / name).read_text(encoding="utf-8")


def column_names(name: str) -> tuple[str, ...]:
    lines = page(name).split("| column |\n|---|\n")[1].split("\n\n")[0].splitlines()
    return tuple(line.strip("|` ") for line in lines)


def test_the_grid(small_tape: Tape) -> None:
    rows = table(page("environments/grid.md"), "dimension", "codes")
    assert [(row[0].strip("`"), int(row[1])) for row in rows] == list(zip(GRID_NAMES, GRID_BINS, strict=True))
    assert column_names("environments/grid.md") == GRID_COLUMNS
    assert "0.1, 0.2, 0.3, 0.4, 0.6, ... 19.2 bps" in page("environments/grid.md")
    assert (SPACING_MULTIPLES[:5], SPACING_MULTIPLES[-1]) == ((1, 2, 3, 4, 6), 192)  # tenths of a bp


def test_the_targets(small_tape: Tape) -> None:
    spec = DeskSpec.for_market(Market.compile(small_tape), "target")
    shown = table(page("environments/target-position.md"), "choice", "0")
    assert [float(cell) for cell in shown[0][1:]] == list(spec.targets)
    assert column_names("environments/target-position.md") == TARGET_COLUMNS


def test_the_render_modes() -> None:
    rows = table(page("rendering.md"), "`render_mode`", "`render()`")
    assert {row[0].strip("`") for row in rows} == set(RENDER_MODES)


@pytest.mark.parametrize("name", PICTURES)
def test_every_environment_has_its_picture_on_its_page(name: str) -> None:
    image: Any = pytest.importorskip("PIL.Image")
    path = ROOT / "docs" / "img" / f"env-{name}.png"
    assert path.stat().st_size < PICTURE_BYTES_MAX
    assert f"(../img/env-{name}.png)" in page(f"environments/{name}.md")
    with image.open(path) as opened:
        assert opened.size == (960, 540)


def test_pictures_are_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the command that the page names, here on a short tape; a second time with the same bytes."""
    image: Any = pytest.importorskip("PIL.Image")
    short = {"tape": "synth?seed=4&minutes=3", "horizon": 30}
    one = replace(PICTURES["grid"], steps=40, arguments={**PICTURES["grid"].arguments, **short})
    monkeypatch.setitem(PICTURES, "grid", one)
    bytes_of = []
    for _ in range(2):
        assert main([str(tmp_path), "grid"]) == 0
        bytes_of.append((tmp_path / "env-grid.png").read_bytes())
    assert bytes_of[0] == bytes_of[1]
    assert [file.name for file in tmp_path.iterdir()] == ["env-grid.png"]
    with image.open(tmp_path / "env-grid.png") as opened:
        assert len(np.unique(np.asarray(opened))) > 30
    assert main([]) == 2
