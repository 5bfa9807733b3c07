"""A seeded synthetic market, recorded as a tape: a book of resting quotes, small trades, and jumps that sweep levels.

The price stands still between jumps. A jump empties one side up to a random distance, partly by prints at the
standing best and partly by cancellations, and the other side then follows it, so that most of the move stays. Jump
rate and size follow a slow volatility regime. Only integers and counter-based random numbers are used: a seed gives
the same bytes on every machine.

The world runs in slots of a millisecond. Prints and best quotes are published in the slot in which they happen,
the levels that changed every 50 ms, each stream with a feed latency of its own, so that streams race each other.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from lobgym.sim import records as rec
from lobgym.sim.errors import TapeError
from lobgym.sim.instrument import SYNTH
from lobgym.sim.jit import njit
from lobgym.sim.rng import GOLDEN, mix64, stream_key
from lobgym.sim.tape import Tape

__all__ = ["synthetic_tape"]

Int: TypeAlias = "int | np.int64"

MINUTES_MAX: Final = 24 * 60
START_NS: Final = 1_704_067_200_000_000_000  # 2024-01-01T00:00:00Z
CENTRE_TICKS: Final = 600_000  # 60,000.0
HALF_WIDTH: Final = 65_536  # the book's price range on each side of the centre
DRIFT_BAND: Final = 30_000  # beyond it every jump leads back, so that the range is never left
SLOT_NS: Final = 1_000_000
BATCH_SLOTS: Final = 50
LEVELS_MIN: Final = 24
LEVELS_MAX: Final = 44

# Chances per slot, out of 2**20.
ONE: Final = 1 << 20
TRADE_CHANCE: Final = 7_500  # about 7 small trades a second
QUOTE_CHANCE: Final = 13_000  # about 12 changes of a resting level a second
REPAIR_CHANCE: Final = 60_000  # a wide spread closes within about 20 ms
# By regime (slow, usual, fast): jumps per slot out of 2**20, and mean distance of a jump in ticks.
JUMP_CHANCE: Final = np.array([1_300, 2_200, 3_400], dtype=np.int64)
JUMP_TICKS: Final = np.array([25, 38, 55], dtype=np.int64)
REGIME_SLOTS: Final = 30_000  # mean stay in a regime

# Feed latency: a floor, and the mean of a skewed part, per stream (depth, trade, bbo), in nanoseconds.
LATENCY_FLOOR: Final = np.array([2_200_000, 1_400_000, 1_100_000], dtype=np.int64)
LATENCY_MEAN: Final = np.array([1_500_000, 900_000, 800_000], dtype=np.int64)
_DEPTH_STREAM, _TRADE_STREAM, _BBO_STREAM = 0, 1, 2


class World(NamedTuple):
    """Everything that one run changes. Side 0 is bids, side 1 asks; `at` is a tick minus the lowest tick."""

    qty: npt.NDArray[np.int64]  # [2, width] lots resting
    published: npt.NDArray[np.int64]  # [2, width] lots as the depth stream last said
    dirty: npt.NDArray[np.uint8]  # [2, width] 1 while listed in `touched`
    touched: npt.NDArray[np.int64]  # [2, width] the first `changed[side]` entries changed since the last batch
    changed: npt.NDArray[np.int64]  # [2] entries of `touched`
    best: npt.NDArray[np.int64]  # [2]
    levels: npt.NDArray[np.int64]  # [2] levels with a quantity
    worst: npt.NDArray[np.int64]  # [2] the outermost of them
    said: npt.NDArray[np.int64]  # [4] best bid, its lots, best ask, its lots, as the bbo stream last said
    state: npt.NDArray[np.int64]  # [_STATE] scalars, by the indices below
    seen_ns: npt.NDArray[np.int64]  # [3] newest receive stamp per stream, which are FIFO
    key: npt.NDArray[np.uint64]  # [1] random stream
    rows: npt.NDArray[Any]  # EVENT_DTYPE[capacity]


# Indices into `World.state`; FOLLOWER is the side that the last taker did not hit.
_COUNTER, _UPDATE_ID, _TRADE_ID, _ROWS, _REGIME, _NOW_NS, _FOLLOWER, _STATE = 0, 1, 2, 3, 4, 5, 6, 7


@njit
def _pick(world: World, n: Int) -> Int:
    """Random integer in [0, n)."""
    state = world.state
    state[_COUNTER] += 1
    bits = mix64(world.key[0] + np.uint64(state[_COUNTER]) * GOLDEN)
    return np.int64(bits % np.uint64(n))


@njit
def _skewed(world: World, mean: Int) -> Int:
    """Random integer from 0, about `mean` on average, with a long tail: the product of three uniforms."""
    a, b, c = _pick(world, 1024), _pick(world, 1024), _pick(world, 1024)
    return (8 * mean * a >> 10) * b * c >> 20


@njit
def _outward(side: Int) -> Int:
    """Step in ticks away from the mid."""
    return -1 if side == 0 else 1


@njit
def _set_level(world: World, side: Int, at: Int, lots: Int) -> None:
    """Change one level, and keep the best, the outermost and the count of levels right."""
    before = world.qty[side, at]
    if before == lots:
        return
    world.qty[side, at] = lots
    world.state[_UPDATE_ID] += 1
    if world.dirty[side, at] == 0:
        world.dirty[side, at] = 1
        world.touched[side, world.changed[side]] = at
        world.changed[side] += 1
    out = _outward(side)
    if before == 0:
        world.levels[side] += 1
        if (world.best[side] - at) * out > 0:
            world.best[side] = at
        if (at - world.worst[side]) * out > 0:
            world.worst[side] = at
    elif lots == 0:
        world.levels[side] -= 1
        while world.qty[side, world.best[side]] == 0:
            world.best[side] += out
        while world.qty[side, world.worst[side]] == 0:
            world.worst[side] -= out


@njit
def _emit(world: World, stream: Int, kind: Int, side: Int, at: Int, lots: Int, seq: Int, last: Int) -> None:
    """Append a row; the first row of a message draws the message's receive stamp."""
    state = world.state
    index = state[_ROWS]
    state[_ROWS] += 1
    if index >= len(world.rows):
        return  # the caller sees the overflow and starts again with more room
    row = world.rows[index]
    if index == 0 or world.rows[index - 1]["flags"] == rec.LAST:
        late = LATENCY_FLOOR[stream] + _skewed(world, LATENCY_MEAN[stream])
        world.seen_ns[stream] = max(world.seen_ns[stream], state[_NOW_NS] + late)
    row["exch_ns"] = state[_NOW_NS]
    row["local_ns"] = world.seen_ns[stream]
    row["seq"] = seq
    row["price_ticks"] = at + CENTRE_TICKS - HALF_WIDTH if kind != rec.CLEAR else 0
    row["qty_lots"] = lots
    row["kind"] = kind
    row["side"] = side
    row["flags"] = last


@njit
def _print(world: World, side: Int, lots: Int) -> None:
    """A taker takes `lots` of the best level of `side`."""
    at = world.best[side]
    _set_level(world, side, at, world.qty[side, at] - lots)
    world.state[_TRADE_ID] += 1
    world.state[_FOLLOWER] = 1 - side
    aggressor = rec.SELL if side == 0 else rec.BUY
    _emit(world, _TRADE_STREAM, rec.TRADE, aggressor, at, lots, world.state[_TRADE_ID], rec.LAST)


@njit
def _add_outside(world: World, side: Int) -> None:
    """A new level beyond the outermost one."""
    at = world.worst[side] + _outward(side) * (1 + _skewed(world, 7))
    _set_level(world, side, at, 1 + _skewed(world, 2_000))


@njit
def _jump(world: World) -> None:
    """Empty one side up to a random distance; the first levels trade, the rest is pulled."""
    centre = (world.best[0] + world.best[1]) // 2 - HALF_WIDTH
    side = _pick(world, 2)
    if centre > DRIFT_BAND:
        side = 0
    elif centre < -DRIFT_BAND:
        side = 1
    regime = world.state[_REGIME]
    limit = world.best[side] + _outward(side) * (5 + _skewed(world, JUMP_TICKS[regime]))
    prints = 1 + _pick(world, 3)
    while (limit - world.best[side]) * _outward(side) >= 0:
        if world.levels[side] <= 2:
            _add_outside(world, side)
        if prints > 0:
            _print(world, side, world.qty[side, world.best[side]])
            prints -= 1
        else:
            _set_level(world, side, world.best[side], 0)


@njit
def _repair(world: World) -> None:
    """Quote inside a wide spread. The side that was not hit follows more often than the other one returns."""
    gap = world.best[1] - world.best[0] - 1
    side = world.state[_FOLLOWER]
    if _pick(world, 8) == 0:
        side = 1 - side
    step = gap if _pick(world, 10) < 7 else 1 + _pick(world, gap)
    at = world.best[side] - _outward(side) * step
    _set_level(world, side, at, 1 + _skewed(world, 1_500))
    # A long step brings levels with it, so that no hole stays behind the new best.
    for _ in range(min(step // 8, 5)):
        _set_level(world, side, at + _outward(side) * (1 + _pick(world, step)), 1 + _skewed(world, 2_500))


@njit
def _quote(world: World) -> None:
    """A resting level is added, resized or pulled, near the best more often than far from it."""
    side = _pick(world, 2)
    at = world.best[side] + _outward(side) * _skewed(world, 40)
    before = world.qty[side, at]
    if before > 0 and world.levels[side] > LEVELS_MIN and _pick(world, 3) == 0:
        _set_level(world, side, at, 0)
    else:
        _set_level(world, side, at, 1 + _skewed(world, 2_500))


@njit
def _say_best(world: World) -> None:
    """One message of two rows when a best price or its quantity changed."""
    bid, ask = world.best[0], world.best[1]
    bid_lots, ask_lots = world.qty[0, bid], world.qty[1, ask]
    said = world.said
    if said[0] == bid and said[1] == bid_lots and said[2] == ask and said[3] == ask_lots:
        return
    said[0], said[1], said[2], said[3] = bid, bid_lots, ask, ask_lots
    seq = world.state[_UPDATE_ID]
    _emit(world, _BBO_STREAM, rec.BBO, rec.BUY, bid, bid_lots, seq, 0)
    _emit(world, _BBO_STREAM, rec.BBO, rec.SELL, ask, ask_lots, seq, rec.LAST)


@njit
def _say_depth(world: World, kind: Int) -> None:
    """One message of every level that changed since the last one; as a snapshot, it begins with a CLEAR."""
    for side in range(2):
        while world.levels[side] < LEVELS_MIN:
            _add_outside(world, side)
        while world.levels[side] > LEVELS_MAX:
            _set_level(world, side, world.worst[side], 0)
    changes = 0
    for side in range(2):
        for index in range(world.changed[side]):
            at = world.touched[side, index]
            changes += world.qty[side, at] != world.published[side, at]
    seq = world.state[_UPDATE_ID]
    if kind == rec.SNAPSHOT:
        _emit(world, _DEPTH_STREAM, rec.CLEAR, 0, 0, 0, seq, 0)
    for side in range(2):
        world.touched[side, : world.changed[side]].sort()
        for index in range(world.changed[side]):
            at = world.touched[side, index]
            world.dirty[side, at] = 0
            lots = world.qty[side, at]
            if lots != world.published[side, at]:
                changes -= 1
                world.published[side, at] = lots
                sign = rec.BUY if side == 0 else rec.SELL
                _emit(world, _DEPTH_STREAM, kind, sign, at, lots, seq, rec.LAST if changes == 0 else 0)
        world.changed[side] = 0


@njit
def _run(world: World, slots: Int) -> Int:
    """Fill `world.rows`; the number of rows, also where they did not fit."""
    state = world.state
    for side in range(2):
        world.best[side] = world.worst[side] = HALF_WIDTH + side
        world.qty[side, HALF_WIDTH + side] = 1 + _skewed(world, 1_500)
        world.levels[side] = 1
        world.dirty[side, HALF_WIDTH + side] = 1
        world.touched[side, 0] = HALF_WIDTH + side
        world.changed[side] = 1
        while world.levels[side] < LEVELS_MAX:
            _add_outside(world, side)
    state[_NOW_NS] = START_NS
    state[_REGIME] = 1
    _say_depth(world, rec.SNAPSHOT)
    _say_best(world)
    for slot in range(1, slots):
        state[_NOW_NS] = START_NS + slot * SLOT_NS
        if _pick(world, REGIME_SLOTS) == 0:
            state[_REGIME] = _pick(world, 3)
        if _pick(world, ONE) < JUMP_CHANCE[state[_REGIME]]:
            _jump(world)
        if _pick(world, ONE) < TRADE_CHANCE:
            hit = _pick(world, 2)
            _print(world, hit, min(1 + _skewed(world, 120), world.qty[hit, world.best[hit]]))
        if _pick(world, ONE) < QUOTE_CHANCE:
            _quote(world)
        if world.best[1] - world.best[0] > 1 and _pick(world, ONE) < REPAIR_CHANCE:
            _repair(world)
        if slot % BATCH_SLOTS == 0 and world.changed[0] + world.changed[1] > 0:
            _say_depth(world, rec.DEPTH)
        _say_best(world)
    rows: Int = state[_ROWS]
    return rows


def _new_world(seed: int, capacity: int) -> World:
    book = (2, 2 * HALF_WIDTH + 2)
    return World(
        qty=np.zeros(book, np.int64),
        published=np.zeros(book, np.int64),
        dirty=np.zeros(book, np.uint8),
        touched=np.zeros(book, np.int64),
        changed=np.zeros(2, np.int64),
        best=np.zeros(2, np.int64),
        levels=np.zeros(2, np.int64),
        worst=np.zeros(2, np.int64),
        said=np.zeros(4, np.int64),
        state=np.zeros(_STATE, np.int64),
        seen_ns=np.zeros(3, np.int64),
        key=np.array([stream_key(seed, 0)], np.uint64),
        rows=np.zeros(capacity, rec.EVENT_DTYPE),
    )


def synthetic_tape(seed: int = 0, minutes: float = 20) -> Tape:
    """Tape of a synthetic market of `minutes` (up to a day) on the SYNTH instrument.

    The same seed (from 0 to 2**63 - 1) and length give the same digest everywhere. Raises `TapeError` for a seed or a
    length out of range.
    """
    if not 0 <= seed < 2**63:
        raise TapeError(f"seed of a synthetic tape is {seed}, expected 0 to 2**63 - 1")
    if not 0 < minutes <= MINUTES_MAX:
        raise TapeError(f"a synthetic tape of {minutes} minutes: expected more than 0 and at most {MINUTES_MAX}")
    slots = max(round(minutes * 60_000), 1)
    capacity = 1_000 + slots // 4
    with np.errstate(over="ignore"):
        while True:
            world = _new_world(seed, capacity)
            rows = int(_run(world, slots))
            if rows <= capacity:
                break
            capacity = rows
    provenance = {"source": "synthetic", "generator": "jumps/1", "seed": int(seed), "slots": slots}
    return Tape(world.rows[:rows], SYNTH, provenance)
