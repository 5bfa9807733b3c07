"""The arrays behind a board: allocated once, bound by address, copied as a whole."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lobgym.sim.exchange.board import (
    BOARD_DTYPE,
    LADDER_DEPTH,
    LADDER_DTYPE,
    LEVEL_DTYPE,
    NODE_DTYPE,
    NONE,
    RUNG_DTYPE,
    STREAM_DTYPE,
    WORD_BITS,
)
from lobgym.sim.importers.order_tape import ORDER_EVENT_DTYPE
from lobgym.sim.memory import address_of
from lobgym.sim.records import EVENT_DTYPE

__all__ = ["BoardArrays", "FeedLatency", "bind", "new_arrays", "new_board"]

_INDEX: Final = np.dtype([("at", np.int32)])
_CELL: Final = np.dtype([("value", np.uint64)])


@dataclass(frozen=True)
class FeedLatency:
    """Nanoseconds from the venue to whoever records its feed: at least `floor_ns`, `mean_ns` more on average.

    The streams are depth, prints, best quotes, and the venue's own (marks, funding, halts).
    """

    floor_ns: tuple[int, int, int, int] = (2_200_000, 1_400_000, 1_100_000, 2_000_000)
    mean_ns: tuple[int, int, int, int] = (1_500_000, 900_000, 800_000, 1_000_000)


class BoardArrays(NamedTuple):
    """What a board points to; sides are rows, bids first."""

    nodes: NDArray[np.void]  # NODE_DTYPE[room]
    levels: NDArray[np.void]  # LEVEL_DTYPE[2, width]
    words: NDArray[np.void]  # uint64[2, width / 64]
    blocks: NDArray[np.void]  # uint64[2, width / 4096]
    dirty: NDArray[np.void]  # int32[2, width]
    rows: NDArray[np.void]  # EVENT_DTYPE[row_room]
    order_rows: NDArray[np.void]  # ORDER_EVENT_DTYPE[order_room]
    schedule: NDArray[np.void]  # SCHEDULE_DTYPE[k]
    streams: NDArray[np.void]  # STREAM_DTYPE[4]
    ladders: NDArray[np.void]  # LADDER_DTYPE[ring]
    rungs: NDArray[np.void]  # RUNG_DTYPE[ring, 2, LADDER_DEPTH]
    flow: NDArray[Any]  # state of the background flow
    stamped: NDArray[np.void]  # the mark price that members' margin is reckoned with


def new_arrays(
    width: int, node_room: int, row_room: int, order_room: int, ladder_room: int, schedule: NDArray[np.void],
    feed: FeedLatency, flow: NDArray[Any], stamped: NDArray[np.void],
) -> BoardArrays:  # fmt: skip
    """Zeroed tables. Memory that is never written to costs nothing."""
    streams = np.zeros(len(feed.floor_ns), STREAM_DTYPE)
    streams["floor_ns"], streams["mean_ns"] = feed.floor_ns, feed.mean_ns
    return BoardArrays(
        np.zeros(node_room, NODE_DTYPE),
        np.zeros((2, width), LEVEL_DTYPE),
        np.zeros((2, width // WORD_BITS), _CELL),
        np.zeros((2, width // WORD_BITS**2), _CELL),
        np.zeros((2, width), _INDEX),
        np.zeros(row_room, EVENT_DTYPE),
        np.zeros(order_room, ORDER_EVENT_DTYPE),
        schedule,
        streams,
        np.zeros(max(1, ladder_room), LADDER_DTYPE),
        np.zeros((max(1, ladder_room), 2, LADDER_DEPTH), RUNG_DTYPE),
        flow,
        stamped,
    )


def new_board(arrays: BoardArrays, world: NDArray[Any], values: dict[str, int]) -> NDArray[Any]:
    """BOARD_DTYPE[1] that points to `arrays` and the members' `world`, both of which must outlive it."""
    board = np.zeros(1, BOARD_DTYPE)
    bind(board, arrays)
    board["world"] = address_of(world)
    world["stamped"] = address_of(arrays.stamped)
    world["mark_count"] = 1
    for name in ("best_bid", "best_ask", "last_at"):
        board[name] = NONE
    board["said_bid"] = board["said_ask"] = NONE
    board["node_high"] = board["next_id"] = 1  # node 0 is none
    width = arrays.levels.shape[1]
    board["width"], board["word_width"] = width, width // WORD_BITS
    board["block_width"], board["node_room"] = width // WORD_BITS**2, len(arrays.nodes)
    board["schedule_count"] = len(arrays.schedule)
    for name, value in values.items():
        board[name] = value
    return board


def bind(board: NDArray[Any], arrays: BoardArrays) -> None:
    """Write the arrays' addresses, and the sizes of those that may grow."""
    for name in BoardArrays._fields:
        if name != "stamped":
            board[name] = address_of(getattr(arrays, name))
    board["row_room"], board["order_room"] = len(arrays.rows), len(arrays.order_rows)
