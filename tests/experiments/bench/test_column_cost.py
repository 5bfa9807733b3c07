"""The bench of observation columns measures every part of the encoder, and says what one more column costs."""

from __future__ import annotations

from lobgym.experiments.bench.column_cost import column_cost
from lobgym.sim.market import Market
from lobgym.sim.observation import COLUMN_NUMBERS, COLUMNS, DEFAULT_COLUMNS, ObservationLayout
from lobgym.sim.tape import Tape


def test_it_tells_what_each_part_adds(small_tape: Tape) -> None:
    row = column_cost(Market.compile(small_tape), steps=3, runs=1)
    assert (row.bench, row.case, row.unit) == ("env", "column_cost", "ns/lane-step")
    assert row.extra["layouts"].keys() == DEFAULT_COLUMNS.keys()
    measured = [*DEFAULT_COLUMNS["maker"], *row.extra["one_more"]]
    parts = {part for spec in ObservationLayout(tuple(measured)).specs for part in spec.parts}
    assert parts == {part for column in COLUMNS for part in column.parts}
    assert row.extra["one_more"].keys() <= COLUMN_NUMBERS.keys()
    assert row.extra["nothing"] > 0
