"""Pictures of an arena's agents: what each sees of the book, its orders and their true places in the queue."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from lobgym.envs.arena.core import ArenaCore
from lobgym.envs.arena.encode import best_shown, shown_place
from lobgym.envs.arena.kernel import Handle, board_of, handle_of
from lobgym.envs.rendering import Renderer
from lobgym.envs.rendering.look import ASK, BID, CODES, EQUITY, look_at_account
from lobgym.envs.rendering.source import Episode, OwnOrder, own_orders
from lobgym.sim.desk_spec import DeskSpec
from lobgym.sim.exchange.board import LADDER_DEPTH, world_of
from lobgym.sim.instrument import Instrument
from lobgym.sim.jit import njit_lean
from lobgym.sim.records import BUY, LIVE, SELL

__all__ = ["ArenaSource", "film", "with_log"]

_LOG: Final = {"log": "fills", "log_rows": 1 << 14}  # fills of all agents in one step
_WHOLE_BOOK: Final = 1 << 30


def with_log(arguments: Mapping[str, Any], mode: str | None) -> dict[str, Any]:
    """An arena's arguments, with the log that a picture's fills are read from where there will be pictures."""
    if mode not in ("human", "rgb_array"):
        return dict(arguments)
    return {**arguments, "exchange": {**_LOG, **arguments.get("exchange", {})}}


def film(core: ArenaCore, mode: str | None, shown: int = 0) -> Renderer | None:
    """A renderer of agent number `shown`, to be told of every reset and step; None where there will be no pictures."""
    return Renderer(ArenaSource(core), mode, shown=shown) if mode in ("human", "rgb_array") else None


class ArenaSource:
    """The agents of a core, whose exchange keeps a log of fills (`with_log`)."""

    depth = LADDER_DEPTH

    def __init__(self, core: ArenaCore) -> None:
        self._core = core
        self._exchange = core.exchange
        self._handle = handle_of(core.exchange.board)

    @property
    def traders(self) -> int:
        """Number of agents."""
        return len(self._core.agents)

    @property
    def instrument(self) -> Instrument:
        """What the exchange trades."""
        return self._exchange.instrument

    def title(self, i: int) -> str:
        """The agent's name."""
        return f"{self._core.agents[i]}  ·  {self.instrument.symbol}"

    def spec(self, i: int) -> DeskSpec:
        """That of its role."""
        return self._core.specs[i]

    def episode(self, i: int) -> Episode:
        """See `Source`."""
        core = self._core
        return Episode(core.episode, core.seed, core.steps, core.max_cycles, None)

    def t_ns(self, i: int) -> int:
        """The exchange's clock, which is every agent's."""
        return self._core.now_ns

    def bests(self, i: int) -> tuple[int | None, int | None]:
        """The first prices of its feed."""
        bid, ask = (next(iter(self.ladder(i, side, 1)), None) for side in (BUY, SELL))
        return bid, ask

    def ladder(self, i: int, side: int, depth: int) -> dict[int, int]:
        """What its feed shows."""
        return dict(self._exchange.ladder(side, depth, member=i).tolist())

    def displayed(self, i: int, side: int, tick: int) -> int:
        """What stands in the book behind the levels of its feed."""
        levels: dict[int, int] = dict(self._exchange.ladder(side, _WHOLE_BOOK).tolist())
        return levels.get(tick, 0)

    def orders(self, i: int) -> list[OwnOrder]:
        """See `Source`; places in the queue are the true ones."""
        rows = self._exchange.orders(i)
        ahead = np.zeros(len(rows))
        for k, row in enumerate(rows):
            if row["state"] == LIVE:
                ahead[k] = self._exchange.queue_ahead(i, int(row["id"]))
        return own_orders(rows, ahead)

    def account(self, i: int) -> tuple[int, int, int]:
        """See `Source`."""
        account = self._exchange.account(i)
        return account.position_lots, int(self._core.run.totals[i, 0]), account.fees

    def task(self, i: int) -> Any:
        """See `Source`."""
        return self._core.run.tasks[i]

    def look(self, mask: NDArray[np.bool_], out: NDArray[np.int64]) -> None:
        """See `Source`."""
        run = self._core.run
        _look_at_members(self._handle, mask, out)
        out[:, EQUITY] = run.totals[:, 0]
        out[:, CODES:] = run.codes

    def take_log(self) -> NDArray[np.void]:
        """See `Source`."""
        return self._exchange.drain_log()

    def line(self, i: int) -> str:
        """See `Source`."""
        return self._core.line()


@njit_lean
def _look_at_members(h: Handle, mask: NDArray[np.bool_], out: NDArray[np.int64]) -> None:
    """Write the looks at the agents of `mask` [N] into `out` [N, columns], equities and codes left out."""
    x = board_of(h)
    w = world_of(x)
    for i in range(mask.shape[0]):
        if mask[i]:
            look_at_account(w, i, out)
            place = shown_place(x, w, i)
            out[i, BID] = best_shown(x, place, BUY)
            out[i, ASK] = best_shown(x, place, SELL)
