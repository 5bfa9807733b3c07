"""Which cases the comparison runs: every queue model, both exchanges, both latencies, recorded and made-up tapes."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from lobgym.sim.instrument import BUILTIN, Instrument
from lobgym.sim.tape import Tape
from tests.oracle.cases import Case, Trader, make_case
from tests.oracle.convert import spread_stamps
from tests.oracle.reference_parts import Settings
from tests.oracle.tapes import thin_tape, wild_tape

__all__ = ["QUEUES", "cases_of"]

QUEUES = ("risk_averse", "power", "power2", "power3", "log", "log2")
_SLICE_NS = 20_000_000_000


def cases_of(queue: str, recorded: list[Tape]) -> Iterator[Case]:
    """Endless random cases of one queue model; half of them on recorded tapes, where there are any, a tenth on thin."""
    seed = 0
    while True:
        rng = np.random.default_rng([QUEUES.index(queue), seed])
        thin = (seed - 2 * QUEUES.index(queue)) % 10 == 0
        wild = thin or not recorded or seed % 2 == 0
        if wild:
            instrument = list(BUILTIN.values())[int(rng.integers(len(BUILTIN)))]
            make_tape = thin_tape if thin else wild_tape
            tape = make_tape(int(rng.integers(1 << 30)), int(rng.integers(3000, 20_000)), instrument)
        else:
            whole = recorded[int(rng.integers(len(recorded)))]
            start = whole.start_ns + int(rng.random() * 0.8 * (whole.end_ns - whole.start_ns))
            tape = whole.slice_time(start, start + _SLICE_NS)
        if rng.random() < 0.4:
            tape = spread_stamps(tape)
        settings = _settings(queue, tape.instrument, rng)
        settings.partial = bool(seed // 2 % 2)
        if seed % 4 == 1 or rng.random() < 0.1:
            settings.latency = _latencies(tape, rng)
        elif rng.random() < 0.8:
            longest = 5_000_000 * 10 ** (-3 * rng.random())
            settings.entry_ns, settings.response_ns = (int(longest * rng.random()) for _ in range(2))
        trader = Trader(
            every_ns=int((100_000 if wild else 2_000_000) * 10 ** rng.random()),
            orders=int(rng.integers(2, 16)),
            max_lots=int(rng.choice([40, 200] if thin else [2, 5, 40, 200])),
            repeats=0.3 if settings.partial and (thin or seed % 8 < 4) else 0.0,
        )
        yield make_case(tape, settings, seed, trader)
        seed += 1


def _settings(queue: str, instrument: Instrument, rng: np.random.Generator) -> Settings:
    return Settings(
        tick_size=float(instrument.tick_size),
        lot_size=float(instrument.lot_size),
        queue=queue,
        power=float(rng.integers(1, 4)),
        inverse=instrument.is_inverse,
        contract_size=float(instrument.contract_size),
        maker_fee=instrument.maker_fee_ppb / 1e9,
        taker_fee=instrument.taker_fee_ppb / 1e9,
    )


def _latencies(tape: Tape, rng: np.random.Generator) -> NDArray[np.int64]:
    """A table of delays of some milliseconds at most; in most tables about one request in seven is lost.

    Of a lost one hftbacktest knows two forms: stamp 0 at the exchange, or a stamp before that of sending.
    """
    span = tape.end_ns - tape.start_ns
    sent = np.unique(rng.integers(tape.start_ns + span // 10, tape.end_ns, int(rng.integers(3, 200))))
    longest = int(4_000_000 * 10 ** (-3 * rng.random()))
    entry = rng.integers(0, longest, len(sent))
    back = rng.integers(0, longest, len(sent))
    lost = rng.random(len(sent)) < 0.15
    form = rng.random()
    if 0.35 <= form < 0.7:
        entry = np.where(lost, -entry, entry)
    exch = np.maximum.accumulate(sent + entry) + np.arange(len(sent))
    seen = exch + back
    if form < 0.35:
        lost[[0, -1]] = False
        exch = np.where(lost, 0, exch)
    return np.c_[sent, exch, seen]
