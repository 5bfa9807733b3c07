"""What an exchange begins with: its arguments, checked, as values of its board."""

from __future__ import annotations

from typing import Final

from lobgym.sim.arguments import whole
from lobgym.sim.errors import ParamsError
from lobgym.sim.exchange.board import RECORD_LEVELS, RECORD_OFF, RECORD_ORDERS, WORD_BITS
from lobgym.sim.exchange.flows import FOREVER, flow_kind
from lobgym.sim.instrument import Instrument

__all__ = ["RECORDS", "START_NS", "start_values"]

START_NS: Final = 1_704_067_200_000_000_000  # 2024-01-01T00:00:00Z
RECORDS: Final = {
    "off": RECORD_OFF,
    "levels": RECORD_LEVELS,
    "orders": RECORD_ORDERS,
    "all": RECORD_LEVELS | RECORD_ORDERS,
}
_NS_MAX: Final = (1 << 62) - 1
_TICK_MAX: Final = 1 << 48
_WIDTH_MAX: Final = 1 << 24
_EVERY_MAX: Final = 1 << 50  # nanoseconds between two of anything: thirteen days
_BLOCK: Final = WORD_BITS**2
_UNIT_SCALE: Final = 100_000_000


def start_values(
    instrument: Instrument, flow: int, members: int, start_ns: int, start_tick: int, width: int, depth_every_ns: int,
    mark_every_ns: int, funding_every_ns: int, record: int,
) -> dict[str, int]:  # fmt: skip
    """Fields of BOARD_DTYPE that are not 0 when a run begins; raises ParamsError for arguments out of their range.

    Args:
        flow: its number (`lobgym.sim.exchange.flows.register_flow`).
        record: RECORD_* of `lobgym.sim.exchange.board`, added up. The others are as `Exchange` takes them.
    """
    if whole("width", width, _BLOCK, _WIDTH_MAX, ParamsError) % _BLOCK:
        raise ParamsError(f"width must be a multiple of {_BLOCK}, got {width}")
    whole("start_ns", start_ns, 0, _NS_MAX, ParamsError)
    whole("start_tick", start_tick, 1, _TICK_MAX, ParamsError)
    every = {"depth": depth_every_ns, "mark": mark_every_ns, "funding": funding_every_ns}
    for name, value in every.items():
        whole(f"{name}_every_ns", value, 0, _EVERY_MAX, ParamsError)
    if funding_every_ns and (instrument.kind == "spot" or not mark_every_ns):
        raise ParamsError("funding is paid at mark prices, and not on spot: it needs mark_every_ns and a perpetual")
    half_tick_1e8 = instrument.tick_size * _UNIT_SCALE / 2
    order_unit = instrument.lot_size * _UNIT_SCALE
    if half_tick_1e8 != int(half_tick_1e8) or order_unit != int(order_unit):
        raise ParamsError(f"{instrument.symbol}: half a tick and a lot must be multiples of 1e-8")
    return {
        "fn_flow": flow_kind(flow).address, "flow_kind": flow, "base_tick": max(1, start_tick - width // 2),
        "members": members, "record": record, "order_unit": int(order_unit), "mark_factor": int(half_tick_1e8),
        "mark_1e8": start_tick * 2 * int(half_tick_1e8), "now_ns": start_ns,
        **{f"{name}_every_ns": value for name, value in every.items()},
        "depth_due": start_ns + depth_every_ns if depth_every_ns else FOREVER,
        "mark_due": start_ns if mark_every_ns else FOREVER,
        "funding_due": start_ns + funding_every_ns if funding_every_ns else FOREVER,
        "flow_due": start_ns,
    }  # fmt: skip
