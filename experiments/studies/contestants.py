"""Who takes part in a comparison, by a name that fits on a command line and into a job's inputs.

| written as        | is                                                       | trades at                        |
|-------------------|----------------------------------------------------------|----------------------------------|
| `natr-grid@grid`  | a policy written by hand, and the kind of its desk       | the market's default desk        |
| a bundle's folder | its ONNX network, read as in service                     | the desk that the bundle pins    |
| a run's folder    | what `lobgym train` left, exported                       | the desk that it was trained at  |
| an EarnHFT folder | its hierarchy                                            | the desk that it was trained at  |
| `RUN#single`, ... | that with a part taken away (`studies.ablations`)        | the desk that it was trained at  |
| `module:function` | what `function(market)` returns, a `(policy, desk spec)` | that desk                        |

The venue and, of policies written by hand, the time between two decisions may be changed.
"""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from lobgym.agents.baselines import BASELINES, available_baselines, open_baseline
from lobgym.agents.files import LOG_FOLDER, MODEL_FILE, ROUTER_FILE
from lobgym.agents.policy import Policy
from lobgym.experiments.errors import EvaluationError
from lobgym.experiments.evaluation.evaluate import EvalConfig
from lobgym.runtime.manifest import MANIFEST_FILE
from lobgym.sim.desk_spec import DeskSpec
from lobgym.sim.market import Market
from lobgym.sim.params import SimParams
from lobgym.sim.tape import open_tape

__all__ = ["Contestant"]

_MARKS: Final = (("bundle", MANIFEST_FILE), ("earnhft", ROUTER_FILE), ("run", MODEL_FILE))
WARM_NS: Final = 60_000_000_000  # of a tape's beginning, where what is observed has not yet filled its windows
_IGNORED: Final = (LOG_FOLDER, "low")  # of a run folder: what does not decide how its policy acts


@dataclass(frozen=True)
class Contestant:
    """One who takes part.

    Attributes:
        name: as results call it.
        source: `baseline`, `bundle`, `run`, `earnhft` or `call`.
        where: baseline and kind, folder, or module and function.
        digest: sha256 over a folder's files; "" for what is code.
    """

    name: str
    source: str
    where: str
    digest: str = ""

    @classmethod
    def of(cls, text: str) -> Contestant:
        """Read a name.

        Raises:
            EvaluationError: it is none of the table's.
        """
        named, _, part = text.partition("#")
        folder = Path(named)
        if folder.is_dir():
            for source, mark in _MARKS:
                if (folder / mark).exists() and (source == "earnhft" or not part):
                    return cls(folder.resolve().name + (f"#{part}" if part else ""), source, text, _digest(folder))
            raise EvaluationError(
                f"{text} is neither a bundle nor a run: expected one of {', '.join(mark for _, mark in _MARKS)} in it"
            )
        name, _, kind = text.rpartition("@")
        if name and name in available_baselines(kind, suite=True):
            return cls(text, "baseline", text)
        if ":" in text and "@" not in text and "/" not in text:
            return cls(text, "call", text)
        raise EvaluationError(
            f"expected a folder of a bundle or a run, a baseline as natr-grid@grid, or module:function, got {text!r}"
        )

    def to_json(self) -> dict[str, Any]:
        """Plain data, as a job's input."""
        return asdict(self)

    def open(
        self,
        market: Market,
        interval_ns: int | None = None,
        params: SimParams | None = None,
        train: tuple[int, int] | None = None,
    ) -> tuple[Policy, DeskSpec]:
        """The policy and the desk that it trades at here.

        Args:
            market: the compiled tape.
            interval_ns: of policies written by hand; None takes the default.
            params: the venue; None takes the tape's, or the one that was trained with.
            train: the part of the tape that fitted baselines may look at, first and last nanosecond; None where no
                part is set aside, and whoever has seen any of the tape has no place.

        Raises:
            EvaluationError: a folder that has changed since it was named; a fitted baseline without a part to fit on;
                what was trained on this tape and saw something of the tested part.
            PolicyError: what was trained for another instrument, whose ticks and lots mean something else.
        """
        folder = Path(self.where.partition("#")[0])
        if self.digest and _digest(folder) != self.digest:
            raise EvaluationError(f"{self.where} is not what it was when this comparison was set up: start it anew")
        changes: dict[str, Any] = {} if params is None else {"params": params}
        if self.source == "baseline":
            if interval_ns is not None:
                changes["interval_ns"] = interval_ns
            name, _, kind = self.where.rpartition("@")
            if train is None and (BASELINES[name].fitted or name == "random-matched"):
                raise EvaluationError(
                    f"{self.name} is fitted, and all of the tape is tested: test the split `test` only"
                )
            low, high = train or (0, 0)
            spec = DeskSpec.for_market(market, kind, **changes)
            entry = open_baseline(name, market, spec, max(low, market.start_ns + WARM_NS), high)
            return entry.policy, entry.spec
        if self.source == "call":
            module, _, function = self.where.partition(":")
            policy, spec = getattr(import_module(module), function)(market)
            return policy, spec.replace(**changes)
        if self.source == "bundle":
            policy, spec = _bundle(folder, market)
        else:
            policy, spec, seen = {"earnhft": _earnhft, "run": _run}[self.source](folder, market, self.where)
            if seen and train is None:
                raise EvaluationError(
                    f"{self.name} was trained on this tape, of which more than its end is tested: test the split "
                    "`test` only, or take another tape"
                )
            if train is not None and seen > train[1]:
                raise EvaluationError(
                    f"{self.name} was trained on this tape and has looked at {(seen - train[1]) / 1e9:g} s of what is "
                    "tested here, or of the embargo before it: take another tape, or train with a larger test part"
                )
        return policy, spec.replace(**changes)


def _bundle(folder: Path, market: Market) -> tuple[Policy, DeskSpec]:
    from lobgym.experiments.bundles.served import ServedPolicy
    from lobgym.runtime.bundle import load_bundle
    from lobgym.runtime.engine import require_instrument

    bundle = load_bundle(folder, allow_ungated=True)
    require_instrument(bundle.manifest.instrument, market.instrument)
    return ServedPolicy.of(bundle, ranked=True), bundle.spec


def _run(folder: Path, market: Market, where: str) -> tuple[Policy, DeskSpec, int]:
    """Policy and desk, and the last nanosecond of this tape that training saw; 0 if it was another tape."""
    from lobgym.agents.onnx.export import export_policy
    from lobgym.agents.onnx.parity import OnnxPolicy
    from lobgym.agents.sb3.runs import load_run

    run = load_run(folder)
    config, seen = run.config, 0
    if _same_tape(run.record.tape_digest, config.tape, market):
        cut = EvalConfig((0,), 1, 1, "test", config.test_fraction, config.embargo_ns)
        seen = cut.span_ns(market, 0)[0] - config.embargo_ns
    return OnnxPolicy(export_policy(run.model), run.record.discrete, config.algo), run.spec, seen


def _earnhft(folder: Path, market: Market, where: str) -> tuple[Policy, DeskSpec, int]:
    """As `_run`; its agents and its router were chosen on the validation part, which so was seen."""
    from lobgym.agents.earnhft.parts import Parts
    from lobgym.agents.earnhft.pipeline import load_earnhft
    from lobgym.experiments.studies.ablations import ablated

    result = load_earnhft(folder)
    part = where.partition("#")[2]
    policy: Policy = ablated(result, part) if part else result.hierarchy
    same = _same_tape(result.record.tape_digest, result.config.tape, market)
    return policy, result.spec, Parts.of(market, result.config).validation.high_ns if same else 0


def _same_tape(digest: str, tape: str, market: Market) -> bool:
    """Whether it was trained on this tape; another one must at least be of its instrument."""
    from lobgym.runtime.engine import require_instrument

    if digest == market.tape.digest:
        return True
    require_instrument(open_tape(tape).instrument.to_json(), market.instrument)
    return False


def _digest(folder: Path) -> str:
    """Sha256 over the names and contents of a folder's files, in the order of their names."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        inner = path.relative_to(folder)
        if path.is_file() and inner.parts[0] not in _IGNORED:
            content = hashlib.sha256(path.read_bytes()).hexdigest()
            digest.update(f"{inner.as_posix()}:{content};".encode())
    return digest.hexdigest()
