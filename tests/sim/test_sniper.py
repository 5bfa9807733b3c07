"""Goal: no order fills at a quote that an earlier print has already passed.

Method: a sniper that takes exactly such quotes, on recordings and on the synthetic market, with and without
`print_implied_depth`. Without the switch it must earn, else it proves nothing; with it, it must find almost nothing.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from lobgym.experiments.sniper import SniperResult, find_attempts, main, snipe
from lobgym.sim.importers.binance import import_binance
from lobgym.sim.market import Market
from lobgym.sim.synthetic import synthetic_tape
from lobgym.sim.tape import Tape
from tests.recordings import BINANCE


def both(tape: Tape) -> tuple[SniperResult, SniperResult]:
    shown, effective = (Market.compile(tape, implied) for implied in (False, True))
    attempts = find_attempts(shown)
    return snipe(shown, effective, attempts), snipe(effective, effective, attempts)


def require_no_leak(without: SniperResult, with_: SniperResult, edge_bps: float) -> None:
    assert without.fills > 0.8 * without.attempts
    assert without.edge_bps - 3 * without.stderr_bps > edge_bps
    assert with_.fills < 0.03 * with_.attempts
    assert with_.total_bps < 0.03 * without.total_bps


# The spot recording's best quotes have no stamps of their own: here the importer's guesses are tested as well.
@pytest.mark.parametrize("name", ["usdm-btc-0718", "spot-btc-0808"])
def test_stale_quotes_of_a_recording_cannot_be_taken(recordings_dir: Path, name: str) -> None:
    without, with_ = both(import_binance(BINANCE[name].paths(recordings_dir)))
    assert without.attempts > 500
    require_no_leak(without, with_, 0.5)


def test_stale_quotes_of_the_synthetic_market_cannot_be_taken() -> None:
    without, with_ = both(synthetic_tape(seed=0, minutes=5))
    require_no_leak(without, with_, 0.2)


def test_the_table_of_the_documentation(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["synth?seed=1&minutes=1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    assert len({line.count("|") for line in lines}) == 1
    assert main(["--each-print", "synth?seed=1&minutes=1"]) == 0
    attempts = [
        int(out.splitlines()[-1].split("|")[2].replace(",", "")) for out in ("\n".join(lines), capsys.readouterr().out)
    ]
    assert attempts[0] < attempts[1]
    assert main(["nowhere.parquet"]) == 1
    assert capsys.readouterr().err.startswith("sniper: ")
