"""The same observations, orders and accounts, bit for bit, whether the kernels are compiled or not."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from lobgym.sim.tape import open_tape

RUN = """
import hashlib, sys
import numpy as np
from lobgym.sim.desk import Desk
from lobgym.sim.desk_spec import DeskSpec
from lobgym.sim.market import Market
from lobgym.sim.observation import COLUMN_NUMBERS, ObservationLayout
from lobgym.sim.tape import Tape

everything = ObservationLayout(tuple(COLUMN_NUMBERS))
seen = hashlib.sha256()
with np.errstate(over="ignore"):
    market = Market.compile(Tape.load(sys.argv[1]))
    for kind, pace in (("grid", "interval"), ("target", "book"), ("maker", "fill"), ("execution", "interval")):
        spec = DeskSpec.for_market(market, kind, interval_ns=200_000_000, pace=pace, layout=everything)
        desk = Desk(spec, market, 2)
        desk.reset(market.start_ns + np.arange(2) * 2_000_000_000, seed=3)
        if kind == "execution":
            desk.assign([1, -1], spec.position_lots_max, desk.t_ns + 4_000_000_000)
        rng = np.random.default_rng(0)
        for _ in range(20):
            codes = np.stack([rng.integers(0, bins, 2) for bins in desk.action.bins], -1).astype(np.int32)
            codes[:, 0] //= 4 if kind in ("grid", "maker") else 1  # close to the touch, so that quotes are filled
            codes[:, -1] *= kind in ("target", "execution")
            observations, result = desk.step(codes)
            seen.update(observations.tobytes())
            for field in result:
                seen.update(field.tobytes())
        assert desk.session.state.lane["fills"].sum() > 5
        seen.update(desk.session.run_digest().encode())
print(seen.hexdigest())
"""


def test_compiled_and_plain_runs_agree(tmp_path: Path):
    tape = open_tape("synth?seed=2&minutes=1")
    path = tmp_path / "short.parquet"
    tape.slice_time(tape.start_ns, tape.start_ns + 7_000_000_000).save(path)
    digests = set()
    for disabled in ("0", "1"):
        done = subprocess.run(
            [sys.executable, "-c", RUN, str(path)],
            env={**os.environ, "NUMBA_DISABLE_JIT": disabled},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        digests.add(done.stdout)
    assert len(digests) == 1
