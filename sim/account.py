"""A lane's account as plain data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from lobgym.sim.errors import LedgerOverflowError
from lobgym.sim.money import OVERFLOW, Economics, mark_value

__all__ = ["Account", "account_of"]


@dataclass(frozen=True)
class Account:
    """A lane's account: integers in lots and in the instrument's money unit.

    `equity` = cash - fees - funding + position at the last two-sided local mid, with the exchange's figures, and
    without the capital; the `view_` ones are what the lane itself knows. `realised` is the profit of closed lots by
    average entry price, fees and funding not included; `liquidations` counts the checks that found too little margin.
    """

    position_lots: int
    cash: int
    fees: int
    funding: int
    equity: int
    view_position_lots: int
    view_cash: int
    view_fees: int
    view_funding: int
    view_equity: int
    realised: int
    liquidations: int


def account_of(row: Any, econ: Economics, mid2: int) -> Account:
    """The account in a lane's record, marked at `mid2` / 2 ticks; LedgerOverflowError where that leaves the ledger."""
    position, cash, fees, funding = (int(row[name]) for name in ("position", "cash", "fees", "funding"))
    seen, seen_cash, seen_fees = int(row["view_position"]), int(row["view_cash"]), int(row["view_fees"])
    seen_funding = int(row["view_funding"])
    worth, seen_worth = (int(mark_value(econ, lots, mid2)) for lots in (position, seen))
    if OVERFLOW in (worth, seen_worth):
        raise LedgerOverflowError(f"{position} lots are worth more than the ledger's integers hold; trade less")
    equity = cash - fees - funding + worth
    view_equity = seen_cash - seen_fees - seen_funding + seen_worth
    return Account(
        position, cash, fees, funding, equity, seen, seen_cash, seen_fees, seen_funding, view_equity,
        int(row["realised"]), int(row["liquidations"]),
    )  # fmt: skip
