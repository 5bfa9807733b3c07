"""What a stopped lane raises: kernels leave a code in the lane's record, and the face of a session names it."""

from __future__ import annotations

from typing import Final

from lobgym.sim.errors import CapacityError, LedgerOverflowError, SessionError
from lobgym.sim.lanes import Lanes
from lobgym.sim.records import ERR_LEDGER, ERR_LOG_FULL, ERR_REQUESTS_FULL, ERR_RESPONSES_FULL, ERR_SPENT_FULL

__all__ = ["lane_error", "raise_lane_error"]

_CAPACITY: Final = {
    ERR_REQUESTS_FULL: "requests in flight (raise SimParams.max_requests, or send less)",
    ERR_RESPONSES_FULL: "unread answers (raise SimParams.max_responses, or advance in smaller steps)",
    ERR_SPENT_FULL: "levels it has taken from (raise SimParams.max_spent)",
    ERR_LOG_FULL: "rows of the event log (raise log_rows, or drain the log more often)",
}


def raise_lane_error(lanes: Lanes) -> None:
    """Turn the first stopped lane's error code into its exception."""
    errors = lanes.lane["error"]
    if errors.any():
        i = int(errors.argmax())
        raise lane_error(i, int(errors[i]))


def lane_error(i: int, code: int) -> SessionError:
    """The exception of an error code (ERR_*) of lane `i`."""
    if code == ERR_LEDGER:
        return LedgerOverflowError(f"lane {i}: an amount exceeds the ledger's integers; trade less, or reset the lane")
    return CapacityError(f"lane {i} is out of room for {_CAPACITY[code]}; the lane stopped and must be reset")
