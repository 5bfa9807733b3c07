"""What a planted signal is worth, computed: a dynamic programme over (signal, position), and the value of any table.

The law is that of `lobgym.sim.flow.dealer`: the signal is a Markov chain in continuous time, the best sizes show it,
the value drifts with it. A trader decides every `interval_ns` by what it sees then: the signal of `feed_ns` ago and
its own position p in {-1, 0, 1}. Its order trades `entry_ns` later, so the position decided at t is held in
[t + entry, t + entry + interval]. All of that is known in closed form:

    expected drift of one unit held then, seeing s:  s * mu * tau * (exp(-d/tau) - exp(-(d + interval)/tau)),
    d = feed + entry, because E[signal u later | s] = s * exp(-u/tau);
    cost of changing by k units:  |k| * (half spread + taker fee at the first price).

What is left out is far below a tick: that fees follow the price, which is a martingale for the time between signals.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from lobgym.sim.flow.dealer import START_TICK, DealerFlow

__all__ = ["AlphaProgramme", "Table"]

Table = tuple[tuple[int, ...], ...]
STATES: Final = 3  # of the signal, and of the position: -1, 0, 1
_PPB: Final = 1e9
_SWEEPS_MAX: Final = 100_000
_SETTLED: Final = 1e-10  # ticks


@dataclass(frozen=True)
class AlphaProgramme:
    """The decision problem; money in ticks per unit of position.

    Attributes:
        chain: float64[3, 3]: chance of each signal one interval after each.
        drift: float64[3]: expected gain of one unit long over the interval that a decision rules, by signal seen.
        cost: of changing the position by one unit.
    """

    chain: NDArray[np.float64]
    drift: NDArray[np.float64]
    cost: float

    @classmethod
    def of(
        cls, flow: DealerFlow, interval_ns: int, entry_ns: int, feed_ns: int, taker_fee_ppb: int
    ) -> AlphaProgramme:  # fmt: skip
        """The problem that a trader with these latencies and this fee has in a planted market."""
        leave, come = 1.0 / flow.stay_ns, 1.0 / flow.rest_ns
        fade = math.exp(-(leave + come) * interval_ns)
        to_quiet = leave / (leave + come) * (1.0 - fade)  # a signal seen, none an interval later
        from_quiet = come / (leave + come) * (1.0 - fade) / 2.0  # none seen, then this one
        kept = math.exp(-leave * interval_ns)
        same, other = (1.0 - to_quiet + kept) / 2.0, (1.0 - to_quiet - kept) / 2.0
        chain = np.array(
            [
                [same, to_quiet, other],
                [from_quiet, 1.0 - 2.0 * from_quiet, from_quiet],
                [other, to_quiet, same],
            ]
        )
        late = float(feed_ns + entry_ns)
        caught = math.exp(-leave * late) - math.exp(-leave * (late + interval_ns))
        gain = flow.drift_ticks_per_s * flow.stay_ns / 1e9 * caught
        cost = flow.half_spread_ticks + START_TICK * taker_fee_ppb / _PPB
        return cls(chain, np.array([-gain, 0.0, gain]), cost)

    def _rewards(self) -> NDArray[np.float64]:
        """float64[signal, position, decision]: expected ticks of one decision."""
        units = np.arange(STATES) - 1
        costs = self.cost * np.abs(units[None, :] - units[:, None])
        rewards: NDArray[np.float64] = self.drift[:, None, None] * units[None, None, :] - costs[None, :, :]
        return rewards

    def _ahead(self, value: NDArray[np.float64]) -> NDArray[np.float64]:
        """float64[signal, position]: expected value one interval later, summed in one order on every machine."""
        ahead: NDArray[np.float64] = (
            self.chain[:, 0, None] * value[0] + self.chain[:, 1, None] * value[1] + self.chain[:, 2, None] * value[2]
        )
        return ahead

    def optimal_table(self) -> Table:
        """The stationary policy of the greatest average gain: relative value iteration; of equals the smaller trade.

        Raises:
            ArithmeticError: it did not settle.
        """
        rewards = self._rewards()
        value = np.zeros((STATES, STATES))
        for _ in range(_SWEEPS_MAX):
            worth = rewards + self._ahead(value)[:, None, :]
            swept = worth.max(axis=2)
            swept -= swept[1, 1]
            if np.abs(swept - value).max() < _SETTLED:
                break
            value = swept
        else:
            raise ArithmeticError(f"the programme did not settle within {_SWEEPS_MAX} sweeps")
        stay = np.abs(np.arange(STATES)[:, None] - np.arange(STATES)[None, :]) * 1e-6
        best = (worth - stay[None, :, :]).argmax(axis=2) - 1
        return tuple(tuple(int(unit) for unit in row) for row in best)

    def expected(self, table: Table, decisions: int) -> float:
        """Expected ticks of a table over so many decisions, from no signal and no position, marked at the mid."""
        chosen = np.array(table, np.int64) + 1
        rewards = self._rewards()
        mass = np.zeros((STATES, STATES))
        mass[1, 1] = 1.0
        total = 0.0
        for _ in range(decisions):
            moved = np.zeros((STATES, STATES))
            for signal in range(STATES):
                for position in range(STATES):
                    decision = int(chosen[signal, position])
                    total += float(mass[signal, position] * rewards[signal, position, decision])
                    moved[signal, decision] += mass[signal, position]
            mass = self.chain[0][:, None] * moved[0] + self.chain[1][:, None] * moved[1]
            mass += self.chain[2][:, None] * moved[2]
        return total

    def optimum(self, decisions: int) -> float:
        """Greatest expected ticks over so many decisions of any policy that sees signal and position, from nothing."""
        rewards = self._rewards()
        value = np.zeros((STATES, STATES))
        for _ in range(decisions):
            value = (rewards + self._ahead(value)[:, None, :]).max(axis=2)
        return float(value[1, 1])
