"""Who takes part in a suite: policies written by hand, networks of training runs, bundles.

A player fits into the inputs of a job: networks and bundles lie in the suite's folder under their own hashes, and are
checked against these whenever they are opened.

All are judged at the market's venue and risk limits, whatever they were trained with: a bundle that states no fees, or
a larger position, gains nothing by it. What it brings is its observation, its cadence and its scales.
"""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, Literal

from lobgym.agents.baselines import Suite, available_baselines, make_suite
from lobgym.agents.policy import Policy
from lobgym.experiments.bundles.served import ServedPolicy
from lobgym.experiments.errors import EvaluationError, SubmissionError, UnfitError
from lobgym.runtime.bundle import LoadedBundle, load_bundle, read_capped
from lobgym.runtime.canonical import sha256_hex
from lobgym.runtime.engine import require_instrument
from lobgym.runtime.errors import BundleError, PolicyError
from lobgym.runtime.manifest import JSON_BYTES_MAX, MANIFEST_FILE, POLICY_BYTES_MAX, POLICY_FILE
from lobgym.runtime.policy import OnnxPolicy
from lobgym.sim.actions import EXECUTION
from lobgym.sim.desk_spec import DeskSpec
from lobgym.sim.errors import ParamsError
from lobgym.sim.instrument import Instrument
from lobgym.sim.market import Market
from lobgym.sim.pace import PACES

__all__ = ["Player", "baseline_players", "bundle_player", "keep_bundle", "open_player", "run_players"]

KINDS: Final = ("grid", "target", "maker")
MODELS: Final = "models"
BUNDLES: Final = "bundles"
INTERVAL_MIN_NS: Final = 10_000_000  # a third party's desk must not ask for a million decisions an episode
STEPS_MIN: Final = 10


@dataclass(frozen=True)
class Player:
    """One who takes part.

    Attributes:
        name, env: as the board calls it; `env` is the kind of desk.
        kind: `fixed` was written by hand, `trained` was trained here, `submitted` was handed in.
        source: where the policy comes from.
        digests: of a baseline none, of models the networks', of a bundle its manifest's.
        spec: of models, the desk.
        instrument: what it can trade; None for any.
        seen: digests of the tapes that it says it was trained on.
        words: what brings it onto the board, as words of a command line.
    """

    name: str
    env: str
    kind: Literal["fixed", "trained", "submitted"]
    source: Literal["baseline", "models", "bundle"]
    words: tuple[str, ...]
    digests: tuple[str, ...] = ()
    spec: dict[str, Any] | None = None
    instrument: dict[str, Any] | None = None
    seen: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """Name and kind of desk, as `--policy` takes them."""
        return f"{self.name}@{self.env}"

    def fits(self, instrument: Instrument) -> bool:
        """Whether prices and quantities mean what they meant in training."""
        if self.instrument is None:
            return True
        try:
            require_instrument(self.instrument, instrument)
        except PolicyError:
            return False
        return True

    def to_task(self) -> dict[str, Any]:
        """What decides its actions, as a job's input."""
        return {
            "source": self.source,
            "name": self.name if self.source == "baseline" else "",
            "env": self.env,
            "digests": list(self.digests),
            "spec": self.spec,
        }


def open_player(
    task: dict[str, Any], root: Path, market: Market, interval_ns: int, train_span_ns: tuple[int, int]
) -> tuple[tuple[Policy, ...], DeskSpec]:
    """The policies, one or one for each seed, and the desk that they trade at on this market.

    Args:
        train_span_ns: the part of the tape that policies written by hand may be fitted on.

    Raises:
        UnfitError: a policy written by hand that this market's training part says too little for.
        SubmissionError: a network or bundle that is not the one of its hash; see also `judged_spec`.
    """
    source, name, env = task["source"], task["name"], task["env"]
    if source == "baseline":
        suite = _baselines_on(market, interval_ns, train_span_ns)
        for entry in suite.entries:
            if (entry.name, entry.spec.kind) == (name, env):
                return (entry.policy,), entry.spec
        raise UnfitError(f"{name}@{env}: {suite.skipped.get(f'{name} ({env})', 'no such policy')}")
    policies: list[Policy] = []
    if source == "models":
        trained = DeskSpec.from_json(task["spec"])
        for digest in task["digests"]:
            data = (root / MODELS / f"{digest}.onnx").read_bytes()
            if sha256_hex(data) != digest:
                raise SubmissionError(f"{root / MODELS / digest}.onnx was changed: expected {digest}")
            policies.append(ServedPolicy(OnnxPolicy(data, trained), trained, digest[:12], ranked=True))
        return tuple(policies), judged_spec(trained, market)
    (digest,) = task["digests"]
    bundle = load_bundle(root / BUNDLES / digest, allow_ungated=True)
    if bundle.manifest_sha256 != digest:
        raise SubmissionError(f"{bundle.path} was changed: its manifest has sha256 {bundle.manifest_sha256}")
    return (ServedPolicy.of(bundle, ranked=True),), judged_spec(bundle.spec, market)


_fitted: dict[tuple[str, int, tuple[int, int]], Suite] = {}  # of the market that this worker is at


def _baselines_on(market: Market, interval_ns: int, train_span_ns: tuple[int, int]) -> Suite:
    """All policies written by hand, fitted once a market and worker."""
    key = (market.tape.digest, interval_ns, train_span_ns)
    if key not in _fitted:
        _fitted.clear()
        specs = [DeskSpec.for_market(market, env, interval_ns=interval_ns) for env in KINDS]
        _fitted[key] = make_suite(market, *train_span_ns, specs)
    return _fitted[key]


def judged_spec(spec: DeskSpec, market: Market) -> DeskSpec:
    """A trained policy's desk at the market's own venue and limits; a larger position than those is cut to them.

    Raises:
        SubmissionError: a desk that works parent orders, that is not paced by an interval, or that contradicts the
            market's limits otherwise.
    """
    if spec.kind == EXECUTION:
        raise SubmissionError("a policy that works parent orders is measured by their cost, not ranked by PnL")
    if spec.pace != PACES[0]:
        raise SubmissionError(f"expected a desk that decides in intervals, got the pace {spec.pace!r}")
    default = DeskSpec.for_market(market, spec.kind)
    try:
        limit = min(spec.position_lots_max, default.risk.position_lots_max)
        return spec.replace(params=default.params, risk=default.risk, position_lots_max=limit)
    except ParamsError as error:
        raise SubmissionError(f"its desk does not fit the market's limits: {error}") from error


def steps_of(spec: DeskSpec, episode_ns: int) -> int:
    """How many decisions an episode has at this desk.

    Raises:
        SubmissionError: not a whole number of them, or too many or too few.
    """
    steps, rest = divmod(episode_ns, spec.interval_ns)
    if rest or spec.interval_ns < INTERVAL_MIN_NS or steps < STEPS_MIN:
        raise SubmissionError(
            f"expected an interval from {INTERVAL_MIN_NS / 1e6:g} ms that divides an episode of {episode_ns / 1e9:g} s "
            f"into at least {STEPS_MIN} steps, got {spec.interval_ns / 1e6:g} ms"
        )
    return steps


# -- gathering them ----------------------------------------------------------------------------------------------------


def baseline_players() -> list[Player]:
    """Every policy written by hand, at every kind of desk that is ranked by PnL."""
    return [
        Player(name, env, "fixed", "baseline", ("--policy", f"{name}@{env}"))
        for env in KINDS
        for name in available_baselines(env, suite=True)
    ]


def run_players(folders: Sequence[Path], root: Path, seeds: int) -> tuple[list[Player], dict[str, Any]]:
    """Run folders as players, and by the players' labels the training configs, whose cuts have to be checked.

    Runs of one algorithm and environment are one policy trained with several seeds. What takes part is the exported
    network, kept in the suite's folder; of a run of EarnHFT the whole hierarchy as one bundle.

    Raises:
        EvaluationError: runs of one policy at different desks, neither one nor one for each seed, or a router alone.
        ExportError: a hierarchy whose export decides otherwise.
    """
    from lobgym.agents.files import ROUTER_FILE
    from lobgym.agents.onnx.export import export_policy
    from lobgym.agents.sb3.runs import load_run

    players: list[Player]
    configs: dict[str, Any]
    groups: dict[str, list[tuple[Path, Any]]] = {}
    hierarchies = [folder for folder in folders if (folder / ROUTER_FILE).exists()]
    for folder in folders:
        if folder in hierarchies:
            continue
        run = load_run(folder)
        if run.config.env == "router":
            raise EvaluationError(f"{folder} is a router, which sends no orders itself: `lobgym evaluate` it")
        groups.setdefault(f"{run.config.algo}@{run.config.env}", []).append((folder, run))
    players, configs = [], {}
    for folder in hierarchies:
        player, seen = _hierarchy_player(folder, root)
        players.append(player)
        configs.setdefault(player.label, []).append(seen)
    for label, runs in groups.items():
        specs = {run.spec.digest for _, run in runs}
        if len(specs) != 1 or len(runs) not in (1, seeds):
            raise EvaluationError(
                f"expected 1 run of {label}, or one for each of {seeds} seeds, at one desk; got {len(runs)} runs at "
                f"{len(specs)} desks"
            )
        digests = tuple(_keep_model(export_policy(run.model), root) for _, run in runs)
        name, _, env = label.rpartition("@")
        first = runs[0][1]
        player = Player(
            name,
            env,
            "trained",
            "models",
            tuple(word for folder, _ in runs for word in ("--run", str(folder))),
            digests,
            first.spec.to_json(),
            _instrument_of(first.config.tape),
            tuple(sorted({run.record.tape_digest for _, run in runs})),
        )
        players.append(player)
        configs[player.label] = [(run.record.tape_digest, run.config) for _, run in runs]
    return players, configs


def _hierarchy_player(folder: Path, root: Path) -> tuple[Player, tuple[str, Any]]:
    """The player, and the digest of its tape with the config that says how that was cut."""
    from lobgym.agents.earnhft.pipeline import load_earnhft
    from lobgym.experiments.bundles.export import export_run

    run = load_earnhft(folder)
    with TemporaryDirectory(dir=root) as aside:
        made = export_run(folder, Path(aside) / "bundle", "earnhft").bundle
        player = bundle_player(keep_bundle(made, root), "trained", ("--run", str(folder)))
    return player, (run.record.tape_digest, run.config)


def bundle_player(bundle: LoadedBundle, kind: Literal["trained", "submitted"], words: tuple[str, ...]) -> Player:
    """A bundle that lies in the suite's folder, as a player."""
    manifest = bundle.manifest
    return Player(
        manifest.name,
        bundle.spec.kind,
        kind,
        "bundle",
        words,
        (bundle.manifest_sha256,),
        None,
        manifest.instrument,
        tuple(sorted(manifest.tape_digests)),
    )


def keep_bundle(folder: Path, root: Path) -> LoadedBundle:
    """Copy a bundle into the suite's folder under the hash of its manifest, and load it from there.

    Nothing but its two files is taken, each up to its maximum size, and no link is followed. What is refused is not
    kept.

    Raises:
        BundleError, ModelError: see `load_bundle`.
    """
    files = {
        name: read_capped(folder / name, size_max)
        for name, size_max in ((MANIFEST_FILE, JSON_BYTES_MAX), (POLICY_FILE, POLICY_BYTES_MAX))
    }
    target = root / BUNDLES / sha256_hex(files[MANIFEST_FILE])
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        aside = target.with_name(f".{target.name}.{secrets.token_hex(4)}.tmp")
        try:
            aside.mkdir()
            for name, data in files.items():
                (aside / name).write_bytes(data)
            load_bundle(aside, allow_ungated=True)
            aside.rename(target)
        except BundleError as error:
            raise type(error)(str(error).replace(str(aside), str(folder))) from error
        finally:
            shutil.rmtree(aside, ignore_errors=True)
    elif sha256_hex((target / POLICY_FILE).read_bytes()) != sha256_hex(files[POLICY_FILE]):
        load_bundle(folder, allow_ungated=True)  # says what is wrong with it: its network is not its manifest's
    return load_bundle(target, allow_ungated=True)


def _keep_model(data: bytes, root: Path) -> str:
    digest = sha256_hex(data)
    target = root / MODELS / f"{digest}.onnx"
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        aside = target.with_name(f".{digest}.{secrets.token_hex(4)}.tmp")
        aside.write_bytes(data)
        aside.replace(target)
    return digest


def _instrument_of(tape: str) -> dict[str, Any]:
    from lobgym.sim.tape import open_tape

    return open_tape(tape).instrument.to_json()
