"""The arrays behind a board: allocated once, bound by address, copied as a whole."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lobgym.sim.arguments import whole
from lobgym.sim.errors import ParamsError
from lobgym.sim.exchange.board import (
    BOARD_ADDRESSES,
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
from lobgym.sim.exchange.calls import board_entries
from lobgym.sim.importers.order_tape import ORDER_EVENT_DTYPE
from lobgym.sim.memory import address_of
from lobgym.sim.records import EVENT_DTYPE

__all__ = [
    "BoardArrays",
    "BoardCopy",
    "FeedLatency",
    "begin",
    "bind",
    "copy_board",
    "empty",
    "fits_board",
    "grow",
    "new_arrays",
    "new_board",
    "paste_board",
]

LATENCY_NS_MAX: Final = 60_000_000_000
_STREAMS: Final = 4
_INDEX: Final = np.dtype([("at", np.int32)])
_CELL: Final = np.dtype([("value", np.uint64)])


@dataclass(frozen=True)
class FeedLatency:
    """Nanoseconds from the venue to whoever records its feed: at least `floor_ns`, `mean_ns` more on average.

    The streams are depth, prints, best quotes, and the venue's own (marks, funding, halts).
    """

    floor_ns: tuple[int, int, int, int] = (2_200_000, 1_400_000, 1_100_000, 2_000_000)
    mean_ns: tuple[int, int, int, int] = (1_500_000, 900_000, 800_000, 1_000_000)

    def __post_init__(self) -> None:
        for name in ("floor_ns", "mean_ns"):
            values = getattr(self, name)
            if not isinstance(values, tuple) or len(values) != _STREAMS:
                raise ParamsError(f"{name} must be a tuple of {_STREAMS} integers, one for each stream; got {values!r}")
            for value in values:
                whole(f"each of {name}", value, 0, LATENCY_NS_MAX, ParamsError)


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
    for name, address in board_entries().items():
        board[name] = address
    begin(board, arrays, values)
    return board


def begin(board: NDArray[Any], arrays: BoardArrays, values: dict[str, int]) -> None:
    """An empty book and empty records; `values` are what else is not 0. `arrays` hold nothing of a run before."""
    for name in STATE_FIELDS:
        board[name] = 0
    for name in ("best_bid", "best_ask", "last_at", "said_bid", "said_ask", "high_used"):
        board[name] = NONE
    board["node_high"] = board["next_id"] = 1  # node 0 is none
    board["row_room"], board["order_room"] = len(arrays.rows), len(arrays.order_rows)
    width = arrays.levels.shape[1]
    board["width"], board["word_width"] = width, width // WORD_BITS
    board["block_width"], board["node_room"] = width // WORD_BITS**2, len(arrays.nodes)
    board["low_used"] = width
    board["schedule_count"] = len(arrays.schedule)
    for name, value in values.items():
        board[name] = value


def empty(board: NDArray[Any], arrays: BoardArrays) -> None:
    """Write zeros wherever a run has left anything, and nowhere else."""
    low, high = int(board["low_used"][0]), int(board["high_used"][0]) + 1
    arrays.nodes[: int(board["node_high"][0])] = 0
    if low < high:
        arrays.levels[:, low:high] = 0
        arrays.words[:, low // WORD_BITS : -(-high // WORD_BITS)] = 0
        arrays.blocks[...] = 0
    arrays.streams["seen_ns"] = 0
    arrays.ladders[...] = 0
    arrays.rungs[...] = 0


# What of a board is state, beside its arrays, and what of the arrays grows.
STATE_FIELDS: Final = tuple(
    name for name in BOARD_DTYPE.names or () if name not in BOARD_ADDRESSES and name not in ("row_room", "order_room")
)
_GROWING: Final = {"rows": "row_count", "order_rows": "order_count"}


class BoardCopy(NamedTuple):
    """A copy of a board: values of `STATE_FIELDS`, and arrays by name, of those that grow only what is used."""

    values: dict[str, int]
    arrays: dict[str, NDArray[Any]]


def copy_board(board: NDArray[Any], arrays: BoardArrays) -> BoardCopy:
    """Everything that a run has changed."""
    made = {}
    for name, array in arrays._asdict().items():
        used = int(board[_GROWING[name]][0]) if name in _GROWING else len(array)
        made[name] = array[:used].copy()
    return BoardCopy({name: int(board[name][0]) for name in STATE_FIELDS}, made)


def fits_board(copy: BoardCopy, arrays: BoardArrays) -> bool:
    """Whether a copy is of a board with tables of these sizes."""
    return all(
        name in _GROWING or (array.shape == copy.arrays[name].shape and array.dtype == copy.arrays[name].dtype)
        for name, array in arrays._asdict().items()
    ) and all((len(copy.arrays[name]) > 0) <= (len(getattr(arrays, name)) > 0) for name in _GROWING)


def paste_board(copy: BoardCopy, board: NDArray[Any], arrays: BoardArrays) -> BoardArrays:
    """Write a copy into a board that it fits; the board's arrays, of which some may be larger ones now."""
    made = arrays._asdict()
    for name, array in copy.arrays.items():
        if len(made[name]) < len(array):
            made[name] = np.zeros(2 * len(array), array.dtype)
        made[name][: len(array)] = array
    pasted = BoardArrays(**made)
    for name, value in copy.values.items():
        board[name] = value
    bind(board, pasted)
    return pasted


def grow(board: NDArray[Any], arrays: BoardArrays, least: int) -> BoardArrays:
    """Tables of recorded rows in which at least `least` rows are free."""
    made = arrays._asdict()
    for name, count in _GROWING.items():
        used = int(board[count][0])
        size = len(made[name])
        while size and size - used < least:
            size *= 2
        if size > len(made[name]):
            larger = np.zeros(size, made[name].dtype)
            larger[:used] = made[name][:used]
            made[name] = larger
    grown = BoardArrays(**made)
    bind(board, grown)
    return grown


def bind(board: NDArray[Any], arrays: BoardArrays) -> None:
    """Write the arrays' addresses, and the sizes of those that may grow."""
    for name in BoardArrays._fields:
        if name != "stamped":
            board[name] = address_of(getattr(arrays, name))
    board["row_room"], board["order_room"] = len(arrays.rows), len(arrays.order_rows)
