"""Every exception that the market and the desk raise; other rooms derive theirs from `LobgymError`.

    LobgymError
    +-- TapeError                a tape that cannot be read, written or trusted
    |   +-- TapeFormatError      not a tape, or columns, dtypes or values that no tape has
    |   +-- TapeDigestError      the content does not have the digest that it states
    |   +-- FeedError            a raw recording that cannot be imported
    |   +-- MeasureError         a tape with too little on it to be measured
    |   +-- ScenarioError        a generated market's name that nothing goes by, or a parameter that it does not have
    +-- LogError                 an event log that cannot be read or written
    |   +-- LogFormatError       not an event log, or not what was written
    +-- InstrumentError          an unknown symbol, or an instrument that contradicts itself
    +-- ParamsError              a parameter outside its stated range
    +-- SessionError             a misuse of a running session
    |   +-- TapeExhaustedError   time asked for beyond the end of the tape
    |   +-- TimeReversedError    time asked for before the lane's own
    |   +-- UnknownMarketError   a market that the session does not have
    |   +-- UnknownOrderError    an order id that this lane never had, or has forgotten
    |   +-- CapacityError        a bounded table (orders, messages, fills) is full
    |   +-- LedgerOverflowError  an amount that does not fit the ledger's integers
    +-- LayoutError              an observation or action layout that does not fit
    +-- ActionError              an action outside its space, or not finite

A caller's mistake raises one of these and says what was expected, what came and what to do. An order that the
market or the risk check refuses is not an error but an event with a reason (`lobgym.sim.records`).
"""

from __future__ import annotations

__all__ = [
    "ActionError",
    "CapacityError",
    "FeedError",
    "InstrumentError",
    "LayoutError",
    "LedgerOverflowError",
    "LobgymError",
    "LogError",
    "LogFormatError",
    "MeasureError",
    "ParamsError",
    "ScenarioError",
    "SessionError",
    "TapeDigestError",
    "TapeError",
    "TapeExhaustedError",
    "TapeFormatError",
    "TimeReversedError",
    "UnknownMarketError",
    "UnknownOrderError",
]


class LobgymError(Exception):
    """Base of every error that lobgym raises on purpose."""


class TapeError(LobgymError):
    """A tape that cannot be read, written or trusted."""


class TapeFormatError(TapeError):
    """Not a tape, or columns, dtypes or values that no tape has."""


class TapeDigestError(TapeError):
    """The content does not have the digest that it states."""


class FeedError(TapeError):
    """A raw recording that cannot be imported."""


class MeasureError(TapeError):
    """A tape with too little on it to be measured, or one that was not compiled for it."""


class ScenarioError(TapeError):
    """A generated market's name that nothing goes by, or a parameter that it does not have."""


class LogError(LobgymError):
    """An event log that cannot be read or written."""


class LogFormatError(LogError):
    """Not an event log, or not what was written."""


class InstrumentError(LobgymError):
    """An unknown symbol, or an instrument that contradicts itself."""


class ParamsError(LobgymError):
    """A parameter outside its stated range."""


class SessionError(LobgymError):
    """A misuse of a running session."""


class TapeExhaustedError(SessionError):
    """Time asked for beyond the end of the tape."""


class TimeReversedError(SessionError):
    """Time asked for before the lane's own."""


class UnknownMarketError(SessionError):
    """A market that this session does not have."""


class UnknownOrderError(SessionError):
    """An order id that this lane never had, or has forgotten."""


class CapacityError(SessionError):
    """A bounded table (orders, messages, fills) is full."""


class LedgerOverflowError(SessionError):
    """An amount that does not fit the ledger's integers."""


class LayoutError(LobgymError):
    """An observation or action layout that does not fit."""


class ActionError(LobgymError):
    """An action outside its space, or not finite."""
