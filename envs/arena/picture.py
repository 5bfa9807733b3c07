"""Pictures of an arena's agents: what each sees of the book, its orders and their true places in the queue."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lobgym.envs.arena.core import ArenaCore
from lobgym.envs.rendering import Renderer
from lobgym.envs.rendering.source import Episode, OwnOrder, own_orders
from lobgym.sim.desk_spec import DeskSpec
from lobgym.sim.exchange.board import LADDER_DEPTH
from lobgym.sim.instrument import Instrument
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

    def take_fills(self) -> NDArray[np.void]:
        """See `Source`."""
        return self._exchange.drain_fills()

    def codes(self, actions: ArrayLike) -> Sequence[NDArray[np.int32] | None]:
        """What the desks heard at the last step, whatever `actions` says."""
        sizes = [spec.action.size for spec in self._core.specs]
        return [row[:size].copy() for row, size in zip(self._core.run.codes, sizes, strict=True)]

    def line(self, i: int) -> str:
        """See `Source`."""
        return self._core.line()
