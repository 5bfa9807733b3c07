"""`PaperRun`: one policy on one desk, decision by decision, as a stream of records.

A run is fixed by its identity: policy, tape, desk, simulator source, seed, start and number of decisions. Its records
are plain data without floats or wall clock, so two runs of one identity give the same records, wherever they run.
Whoever consumes the stream decides what becomes of them: the paper runtime appends each one to a journal before it
asks for the next, and since a decision is sent to the market only when the next record is asked for, every order was
journalled before it was sent.

A hierarchy's decision records name the choice and the agent that acted, too (`lobgym.runtime.hierarchy`).

The guard: an observation that is not finite (`obs_nonfinite`) or outside the layout's bounds (`obs_range`) never
reaches the policy, an output that is not finite (`output_nonfinite`) never reaches the desk, and a state that is not
finite (`state_nonfinite`) is not remembered. The safe action is taken instead: quotes are withdrawn, a target policy
goes flat.

A run is recorded from its beginning, where a policy remembers nothing, so its records need not say what it remembers:
who repeats them comes to the same state.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from lobgym.runtime.bundle import LoadedBundle
from lobgym.runtime.canonical import canonical_bytes, canonical_sha256, sha256_hex, sim_source_sha256
from lobgym.runtime.errors import PolicyError
from lobgym.runtime.hierarchy import NOBODY
from lobgym.runtime.policy import DECIDED, Memory, OnnxPolicy
from lobgym.runtime.totals import Totals
from lobgym.sim.actions import EXECUTION
from lobgym.sim.desk import Desk
from lobgym.sim.desk_spec import DeskSpec
from lobgym.sim.errors import ParamsError, TapeExhaustedError
from lobgym.sim.instrument import Instrument
from lobgym.sim.market import Market
from lobgym.sim.pace import PACE_INTERVAL, PACES
from lobgym.sim.records import FILL_DTYPE, OK, REASON_NAMES

__all__ = [
    "DECISION",
    "FOOTER",
    "OUTCOME",
    "RUN",
    "Decision",
    "PaperRun",
    "Record",
    "RunPlan",
    "decide",
    "intent_id",
    "plan_run",
    "require_instrument",
]

RECORD_FORMAT: Final = 1
RUN: Final = "run"  # kinds of records, in the order in which they come
DECISION: Final = "decision"
OUTCOME: Final = "outcome"
FOOTER: Final = "footer"

INTENT_FIELDS: Final = ("kind", "order_id", "side", "tick", "qty", "tif", "reason")
ACCOUNT_FIELDS: Final = ("position", "cash", "fees", "view_position", "view_cash", "view_fees")
FILL_FIELDS: Final = FILL_DTYPE.names or ()
FILL_LOG: Final = 4096  # most fills of one interval
STEPS_MAX: Final = 50_000_000
ID_DIGITS: Final = 16
OBS_NONFINITE: Final = "obs_nonfinite"
OBS_RANGE: Final = "obs_range"

Record = tuple[str, dict[str, Any]]


@dataclass(frozen=True)
class Decision:
    """What the policy wants after guard and bounds: integer codes, why, and by what margin (in millionths).

    `choice` and `agent` say on whose behalf a hierarchy acts: NOBODY where the guard did, and in other policies.
    """

    codes: tuple[int, ...]
    reason: str
    margin: int
    choice: int = NOBODY
    agent: int = NOBODY


@dataclass(frozen=True)
class RunPlan:
    """What fixes a run. Made by `plan_run`, which checks it against the market."""

    start_ns: int
    steps: int
    seed: int


def plan_run(market: Market, spec: DeskSpec, start_ns: int | None, steps: int | None, seed: int) -> RunPlan:
    """The run from `start_ns` (default: when the market first has a book) for `steps` decisions (default: all).

    Where a fill or a quote may end a step, how many decisions the tape holds is known only at its end: then `steps` are
    the most, and the run ends with the tape.

    Raises `TapeExhaustedError` if the tape does not hold that many intervals, `ParamsError` for a seed that is none.
    """
    if not 0 <= seed < 1 << 64:
        raise ParamsError(f"a seed must lie between 0 and 2**64 - 1, got {seed}")
    start = market.start_ns if start_ns is None else int(start_ns)
    if not market.start_ns <= start <= market.end_ns:
        raise TapeExhaustedError(
            f"a run cannot start at {start} ns: the tape has a book from {market.start_ns} to {market.end_ns} ns"
        )
    available = _decisions_max(spec, market.end_ns - start)
    wanted = available if steps is None else int(steps)
    if not 1 <= wanted <= min(available, STEPS_MAX):
        raise TapeExhaustedError(
            f"the tape holds {available} decisions from {start} ns, {wanted} were asked for: ask for "
            f"{f'1 to {min(available, STEPS_MAX)}' if available else 'none'}, or start earlier (its book begins at "
            f"{market.start_ns} ns)"
        )
    return RunPlan(start, wanted, int(seed))


def _decisions_max(spec: DeskSpec, span_ns: int) -> int:
    """The most decisions that fit: each needs a whole interval before the end, and takes the shortest step."""
    if spec.pace == PACES[PACE_INTERVAL]:
        return span_ns // spec.interval_ns
    return 0 if span_ns < spec.interval_ns else min((span_ns - spec.interval_ns) // spec.pace_min_ns + 1, STEPS_MAX)


@dataclass
class Timing:
    """Wall time of each decision (observation to codes), nanoseconds: for reports, never part of a record."""

    decide_ns: list[int] = field(default_factory=list)


class PaperRun:
    """One run; iterate `records()` once.

    Args:
        bundle: the policy; `spec` replaces its desk (stress runs do that).
        market: the compiled tape.
        plan: from `plan_run`.

    Raises `PolicyError` if the policy was not made for the desk's observations and actions, or for this instrument:
    its distances and sizes are counted in the ticks and lots of the one that it was trained on. And if it works parent
    orders, of which a run has none.

    Attributes:
        finished: whether the run has come to its end: of its plan, or of the tape.
    """

    def __init__(self, bundle: LoadedBundle, market: Market, plan: RunPlan, spec: DeskSpec | None = None) -> None:
        self.bundle = bundle
        self.market = market
        self.plan = plan
        self.spec = bundle.spec if spec is None else spec
        _require_fit(bundle.spec, self.spec)
        if self.spec.kind == EXECUTION:
            raise PolicyError(
                "an execution policy works a parent order, and a run has none to give it: evaluate it in "
                "lobgym/Execution-v0, or serve a policy of another kind"
            )
        require_instrument(bundle.manifest.instrument, market.instrument)
        self.totals = Totals()
        self.finished = False
        self.timing = Timing()
        self.trace = sha256_hex(b"lobgym trace 1")
        self.header = self._header()
        self._run: str = self.header["run"]
        self._low, self._high = self.spec.layout.low, self.spec.layout.high
        self._safe = self.spec.idle_codes
        self._memory = bundle.policy.begin()
        self._desk = Desk(self.spec, market, 1, log="fills", log_rows=FILL_LOG)
        self._intents = self._desk.plan(np.array([self._safe], np.int32))  # the desk's own buffers

    def _header(self) -> dict[str, Any]:
        tape, spec = self.market.tape.digest, self.spec
        identity = {
            "format": RECORD_FORMAT,
            "policy_name": self.bundle.manifest.name,
            "policy_sha256": self.bundle.policy_sha256,
            "manifest_sha256": self.bundle.manifest_sha256,
            "tape_digest": tape,
            "session": canonical_sha256({"tape": tape, "params": spec.params.digest})[:ID_DIGITS],
            "spec_digest": spec.digest,
            "spec": msgspec.json.encode(spec.to_json(), order="sorted").decode(),
            "sim_source_sha256": sim_source_sha256(),
            "seed": self.plan.seed,
            "start_ns": self.plan.start_ns,
            "steps": self.plan.steps,
        }
        run = canonical_sha256(identity)[:ID_DIGITS]
        return {**identity, "run": run, "mode": "gated" if self.bundle.gated else "shadow"}

    def records(self) -> Iterator[Record]:
        """The run record, then a decision and an outcome for every interval, then the footer.

        A decision is committed to the market when the record after it is asked for.
        """
        yield RUN, self.header
        self._desk.reset(self.plan.start_ns, self.plan.seed)
        self.totals.begin(self._desk.equity(0))
        for number in range(self.plan.steps):
            decision, traced = self._decide(number)
            yield DECISION, decision
            self._desk.commit()
            ended = bool(self._desk.advance()[0])
            yield OUTCOME, self._outcome(number, traced)
            if ended:
                break
        self.finished = True
        yield FOOTER, self._footer()

    def _decide(self, number: int) -> tuple[dict[str, Any], list[Any]]:
        """The record of one decision, and what of it goes into the trace."""
        began = time.perf_counter_ns()
        observation = self._desk.observe()[0]
        decision = decide(self.bundle.policy, observation, self._low, self._high, self._safe, self._memory)
        self.timing.decide_ns.append(time.perf_counter_ns() - began)
        intents, counts = self._intents = self._desk.plan(np.array([decision.codes], np.int32))
        rows = intents[list(INTENT_FIELDS)][0, : int(counts[0])].tolist()
        t_ns = self._desk.session.t_ns(0)
        observed = hashlib.sha256(observation.astype("<f4", copy=False).tobytes()).hexdigest()
        named: list[dict[str, Any]] = [dict(zip(INTENT_FIELDS, row, strict=True)) for row in rows]
        for index, intent in enumerate(named):
            intent["id"] = intent_id(self._run, number, index)
            self.totals.denied += intent["reason"] != OK
            intent["verdict"] = REASON_NAMES[intent.pop("reason")]
        self.totals.guarded += decision.reason != DECIDED
        record = {
            "session": self.header["session"],
            "run": self._run,
            "n": number,
            "t_ns": t_ns,
            "obs": observed,
            "codes": list(decision.codes),
            "reason": decision.reason,
            "margin": decision.margin,
            "intents": named,
        }
        traced = [number, t_ns, observed, record["codes"], decision.reason, rows]
        if self._memory.clock is not None:
            record |= {"choice": decision.choice, "agent": decision.agent}
            traced += [decision.choice, decision.agent]
        return record, traced

    def _outcome(self, number: int, traced: list[Any]) -> dict[str, Any]:
        """The record of what became of a decision: order ids, fills and the account one interval later."""
        session = self._desk.session
        intents, counts = self._intents
        sent = intents[["order_id", "reason"]][0, : int(counts[0])].tolist()
        orders = [order if reason == OK else 0 for order, reason in sent]
        log = session.drain_fills()
        rows = log.tolist()
        lane = session.state.lane[0]
        account: dict[str, Any] = {name: int(lane[name]) for name in ACCOUNT_FIELDS}
        account["equity"] = int(self._desk.equity(0))
        account["digest"] = session.digest(0)
        self.trace = sha256_hex(bytes.fromhex(self.trace) + canonical_bytes([*traced, orders, rows, account]))
        fills = [dict(zip(FILL_FIELDS, row, strict=True)) for row in rows]
        outcome = {
            "run": self._run,
            "n": number,
            "orders": orders,
            "fills": fills,
            "account": account,
            "trace": self.trace,
        }
        self.totals.add(outcome)
        return outcome

    def _footer(self) -> dict[str, Any]:
        totals = {name: getattr(self.totals, name) for name in self.totals.__dataclass_fields__}
        return {"run": self._run, "trace": self.trace, "totals": totals}


def _require_fit(made_for: DeskSpec, spec: DeskSpec) -> None:
    if made_for.layout.hash != spec.layout.hash or made_for.action != spec.action:
        raise PolicyError(
            f"the policy decides over {made_for.layout.size} columns for a {made_for.kind} desk, this desk has "
            f"{spec.layout.size} columns and is a {spec.kind} desk; give the bundle that was made for it"
        )


def require_instrument(trained_on: dict[str, Any], instrument: Instrument) -> None:
    """Raise `PolicyError` unless prices and quantities of `instrument` mean what they meant in training."""
    here = instrument.to_json()
    for name in ("venue", "symbol", "kind", "tick_size", "lot_size", "contract_size"):
        if trained_on.get(name) != here[name]:
            raise PolicyError(
                f"the policy was trained on {trained_on.get('venue')} {trained_on.get('symbol')}, this tape is of "
                f"{instrument.venue} {instrument.symbol} and its {name} differs; give a tape of the same instrument"
            )


def decide(
    policy: OnnxPolicy,
    observation: NDArray[np.float32],
    low: NDArray[np.float32],
    high: NDArray[np.float32],
    safe: tuple[int, ...],
    memory: Memory,
) -> Decision:
    """Guard, infer, bound: the decision for one observation float32[D] with bounds float32[D].

    `memory` is what the run remembers; it counts this decision. The guard leaves a state as it is.
    """
    memory.tick()
    if not ((low <= observation) & (observation <= high)).all():  # false for NaN, too
        reason = OBS_RANGE if np.isfinite(observation).all() else OBS_NONFINITE
        return Decision(safe, reason, 0)
    verdict = policy.decide(observation, memory)
    if verdict.reason != DECIDED:
        return Decision(safe, verdict.reason, 0)
    return Decision(verdict.codes, DECIDED, verdict.margin, verdict.choice, verdict.agent)


def intent_id(run: str, number: int, index: int) -> str:
    """The id of an intent: the same in every run of one identity, different everywhere else."""
    return hashlib.sha256(f"{run}:{number}:{index}".encode()).hexdigest()[:ID_DIGITS]
