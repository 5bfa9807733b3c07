"""`Source`: what a camera asks of a market in which somebody trades; `ReplaySource` is a core's lanes on a tape."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from lobgym.envs.rendering.look import CODES, look_at_lanes
from lobgym.sim.desk_spec import DeskSpec
from lobgym.sim.instrument import Instrument
from lobgym.sim.records import LIVE, SENT
from lobgym.sim.view import level_qty

if TYPE_CHECKING:
    from lobgym.envs.core import EnvCore

__all__ = ["Episode", "OwnOrder", "ReplaySource", "Source", "own_orders"]

_FRONT_UNIT: Final = 1.0 / (1 << 20)
_LOG_ROWS: Final = 4096  # fills of all lanes in one step
_LOG_ROWS_LANE: Final = 256


class OwnOrder(NamedTuple):
    """An order that, as far as its trader knows, may still fill."""

    side: int
    tick: int
    lots: int
    ahead_lots: float | None  # displayed before it; None while it has not reached the venue
    leaving: bool  # its cancellation is on its way


class Episode(NamedTuple):
    """Where a trader is in its episode."""

    number: int
    seed: int | None
    step: int
    horizon: int | None
    gained: float | None = None  # sum of the rewards


class Source(Protocol):
    """Traders by number; prices in ticks, quantities in lots, money in the instrument's money units."""

    @property
    def traders(self) -> int:
        """How many there are."""

    @property
    def instrument(self) -> Instrument:
        """What is traded."""

    @property
    def depth(self) -> int:
        """How many levels `ladder` can give; none of them need be shown."""

    def title(self, i: int) -> str:
        """Who that is."""

    def spec(self, i: int) -> DeskSpec:
        """The trader's desk."""

    def episode(self, i: int) -> Episode:
        """Its episode."""

    def t_ns(self, i: int) -> int:
        """Its clock."""

    def bests(self, i: int) -> tuple[int | None, int | None]:
        """Best bid and ask as it knows them."""

    def ladder(self, i: int, side: int, depth: int) -> dict[int, int]:
        """Lots by tick of at most `depth` best levels as it knows them."""

    def displayed(self, i: int, side: int, tick: int) -> int:
        """Lots at a level that lies behind those of `ladder`."""

    def orders(self, i: int) -> list[OwnOrder]:
        """Its open orders."""

    def account(self, i: int) -> tuple[int, int, int]:
        """Position, equity and fees at the venue."""

    def task(self, i: int) -> Any:
        """Its parent order, `lobgym.sim.task.TASK_DTYPE`."""

    def look(self, mask: NDArray[np.bool_], out: NDArray[np.int64]) -> None:
        """Write a look (`lobgym.envs.rendering.look`) at the traders of `mask` into their rows of `out`.

        Asked after every step, where all the other questions wait for a picture.
        """

    def take_log(self) -> NDArray[np.void]:
        """LOG_DTYPE[k]: what was logged since the last call, everybody's fills among it; `lane` is the trader."""

    def line(self, i: int) -> str:
        """A line about the trader."""


def own_orders(rows: NDArray[np.void], ahead: NDArray[np.float64]) -> list[OwnOrder]:
    """Open orders among ORDER_DTYPE[k], with the lots before each of those that rest."""
    found = []
    for row, lots in zip(rows, ahead.tolist(), strict=True):
        if row["view_state"] in (SENT, LIVE) and row["view_leaves"] > 0:
            place = lots if row["state"] == LIVE else None
            made = (int(row["side"]), int(row["view_tick"]), int(row["view_leaves"]))
            found.append(OwnOrder(*made, place, bool(row["cancel_sent"])))
    return found


class ReplaySource:
    """The lanes of an `EnvCore`. Has the session keep a log of fills: it must be emptied at every step."""

    depth = 64  # enough to find the gaps before own quotes

    def __init__(self, core: EnvCore) -> None:
        self._core = core
        self._session = core.desk.session
        self._session.keep_log("fills", max(_LOG_ROWS, _LOG_ROWS_LANE * core.lanes))

    @property
    def traders(self) -> int:
        """Number of lanes."""
        return self._core.lanes

    @property
    def instrument(self) -> Instrument:
        """That of the tape."""
        return self._core.market.instrument

    def title(self, i: int) -> str:
        """The tape's symbol: lanes have no names."""
        return self.instrument.symbol

    def spec(self, i: int) -> DeskSpec:
        """The same for all lanes."""
        return self._core.spec

    def episode(self, i: int) -> Episode:
        """See `Source`."""
        core = self._core
        seed = None if core.seeds is None else int(core.seeds[i])
        return Episode(int(core.episode[i]), seed, int(core.steps[i]), core.horizon, float(core.returns[i]))

    def t_ns(self, i: int) -> int:
        """See `Source`."""
        return self._session.t_ns(i)

    def bests(self, i: int) -> tuple[int | None, int | None]:
        """See `Source`."""
        return self._session.bests(i)

    def ladder(self, i: int, side: int, depth: int) -> dict[int, int]:
        """See `Source`."""
        return dict(self._session.ladder(i, side, depth).tolist())

    def displayed(self, i: int, side: int, tick: int) -> int:
        """See `Source`."""
        cursor = int(self._session.state.lane["local_cursor"][i])
        return int(level_qty(self._core.market.local_view[0], side, tick, cursor))

    def orders(self, i: int) -> list[OwnOrder]:
        """See `Source`; places in the queue are the queue model's."""
        rows = self._session.orders(i)
        return own_orders(rows, rows["front"] * _FRONT_UNIT)

    def account(self, i: int) -> tuple[int, int, int]:
        """See `Source`."""
        account = self._session.account(i)
        return account.position_lots, self._core.desk.equity(i), account.fees

    def task(self, i: int) -> Any:
        """See `Source`."""
        return self._core.desk.tasks[i]

    def look(self, mask: NDArray[np.bool_], out: NDArray[np.int64]) -> None:
        """See `Source`."""
        look_at_lanes(self._core.desk.handle, mask, out)
        out[:, CODES:] = self._core._episodes.codes

    def take_log(self) -> NDArray[np.void]:
        """See `Source`."""
        return self._session.drain_log()

    def line(self, i: int) -> str:
        """See `Source`."""
        return self._core.line(i)
