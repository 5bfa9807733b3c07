"""The replay bench: its tape, and that both sides trade the same on it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from lobgym.experiments.bench import replay
from lobgym.sim.records import LAST
from lobgym.sim.tape import Tape
from tests.oracle.cases import engine_python


@pytest.fixture(scope="module")
def tape(small_tape: Tape) -> Tape:
    return replay.replay_tape(small_tape, 60_000)


def test_the_tape_is_the_recording_over_and_over(tape: Tape, small_tape: Tape) -> None:
    events = tape.events
    assert len(events) == 60_000
    assert (events["local_ns"] - events["exch_ns"] == replay.FEED_NS).all()
    kept = small_tape.events[small_tape.events["kind"] <= 4]
    assert len(kept) < 60_000  # so that it is repeated
    again = events[len(kept) : 2 * len(kept)]
    for name in ("price_ticks", "qty_lots", "kind", "side"):
        assert (again[name] == events[name][: len(again)]).all()
    assert events["flags"][-1] == LAST


@pytest.fixture(scope="module")
def peer(tape: Tape) -> Iterator[replay.Peer]:
    python = engine_python()
    if python is None:
        pytest.skip("no .venv-oracle: run `make oracle`")
    with replay.Peer(tape, python) as running:
        yield running


@pytest.mark.parametrize("case", replay.CASES)
def test_the_peer_trades_the_same(tape: Tape, peer: replay.Peer, case: str) -> None:
    row = replay.measure(tape, case, peer, 1)
    assert row.extra["fills"] > 50
    assert row.extra["same_as_peer"]
    assert row.ratio is not None


def test_ours_alone(tape: Tape) -> None:
    row = replay.measure(tape, "cancel_all", None, 1)
    assert row.ratio is None
    assert row.extra["submits"] > 1000
    assert "make oracle" in row.extra["peer_missing"]
