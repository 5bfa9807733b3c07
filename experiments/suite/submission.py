"""A third party's bundle on the board: run again from its hash, on the same cells, before anything it claims counts.

What is refused, with `BundleError`, `ModelError` or `SubmissionError`, leaves nothing on the board:

- a bundle whose files are missing, links, too large, malformed, or not what their hashes say; a network that is not
  plain, bounded and deterministic; golden vectors that it does not give (`lobgym.runtime.bundle`);
- another hash than the one expected;
- a desk that cannot be judged beside the others (`lobgym.experiments.suite.players.judged_spec`), an instrument that no
  market has, outputs that are not finite, actions that depend on who else is in the batch;
- a claimed result that does not come out.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec

from lobgym.agents.errors import JobError
from lobgym.agents.trials import record_trial
from lobgym.envs.markets import market_for
from lobgym.experiments.errors import EvaluationError, SubmissionError
from lobgym.experiments.files import write_text
from lobgym.experiments.suite.board import SuiteEntry
from lobgym.experiments.suite.cells import MARKETS
from lobgym.experiments.suite.plan import TAPE_FILE, SuitePlan
from lobgym.experiments.suite.players import bundle_player, judged_spec, keep_bundle, steps_of
from lobgym.experiments.suite.run import SUBMISSIONS, Workers, entry_of, prepared_markets
from lobgym.runtime.bundle import LoadedBundle, read_capped
from lobgym.runtime.canonical import sha256_hex
from lobgym.runtime.manifest import JSON_BYTES_MAX, MANIFEST_FILE
from lobgym.sim.instrument import Instrument

__all__ = ["Submission", "submit_bundle"]

SCHEMA: Final = "lobgym.submission/1"
CLAIM_BYTES_MAX: Final = 4 << 20
CELLS_MAX: Final = 64


class ClaimedCell(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is claimed of one market: the exact profits by seed, in money units, and the digest of all figures."""

    market: str
    tape_digest: str
    digest: str
    pnl_units: list[int]
    score_bps: float  # mean over the seeds


class Claim(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A result as it is handed from one party to another; what `submit_bundle` writes."""

    schema: str
    name: str
    bundle_sha256: str  # of manifest.json, which holds the network's
    policy_sha256: str
    seeds: int
    episodes: int
    source_sha256: str
    digest: str
    cells: list[ClaimedCell]


@dataclass(frozen=True)
class Submission:
    """An accepted bundle: its figures as a claim that others can check, and where that was written."""

    claim: Claim
    entry: SuiteEntry
    file: Path


def submit_bundle(
    bundle: Path,
    root: Path,
    *,
    expect: str | None = None,
    claim: Path | None = None,
    workers: Workers | None = None,
) -> Submission:
    """Run a bundle on every market of a suite that has its instrument, and put it on the suite's board.

    Args:
        bundle: its folder.
        root: the suite's folder.
        expect: sha256 of manifest.json as its author states it.
        claim: a file that an earlier submission of it wrote, elsewhere perhaps: what is claimed has to come out.

    Raises:
        BundleError, ModelError, SubmissionError: see the module; EvaluationError: there is no suite at `root`.
    """
    workers = workers or Workers()
    plan = SuitePlan.load(root)
    claimed = None if claim is None else _read_claim(claim)
    _check_hash(sha256_hex(read_capped(bundle / MANIFEST_FILE, JSON_BYTES_MAX)), expect, claimed)  # before it is kept
    kept = keep_bundle(bundle, root)
    _check_hash(kept.manifest_sha256, expect, claimed)  # of what is run
    markets = prepared_markets(plan, root, workers)
    player = bundle_player(kept, "submitted", (str(bundle),))
    _check_desk(kept, markets, root)
    try:
        entry = entry_of(player, markets, plan, root, workers)
    except (EvaluationError, JobError) as error:
        raise SubmissionError(f"{bundle} is refused: {error}") from error
    made = _claim_of(kept, plan, markets, entry)
    if claimed is not None:
        _compare(claimed, made)
    for index, cell in entry.cells.items():
        score = sum(cell["score_bps"]) / plan.seeds
        record_trial(root, "submission", markets[index]["tape_digest"], player.env, kept.manifest_sha256, score)
    file = root / SUBMISSIONS / f"{kept.manifest_sha256}.json"
    data = {"claim": made, "player": player}
    write_text(file, msgspec.json.format(msgspec.json.encode(data), indent=2).decode() + "\n")
    return Submission(made, entry, file)


def _check_hash(found: str, expect: str | None, claimed: Claim | None) -> None:
    for stated, by in ((expect, "expected"), (claimed.bundle_sha256 if claimed else None, "claimed for")):
        if stated is not None and stated.lower() != found:
            raise SubmissionError(
                f"this is another bundle than the one {by}: its manifest has sha256 {found}, "
                f"not {stated}; ask its author for the one that belongs to that hash"
            )


def _check_desk(kept: LoadedBundle, markets: list[dict[str, Any]], root: Path) -> None:
    """Refuse what cannot be judged before a single cell is computed."""
    for market in markets:
        player = bundle_player(kept, "submitted", ())
        if player.fits(Instrument.from_json(market["instrument"])):
            judged_spec(kept.spec, market_for(root / MARKETS / market["key"] / TAPE_FILE))
            steps_of(kept.spec, market["episode_ns"])
            return


def _claim_of(kept: LoadedBundle, plan: SuitePlan, markets: list[dict[str, Any]], entry: SuiteEntry) -> Claim:
    from lobgym.experiments.suite.plan import source_sha256

    cells = [
        ClaimedCell(
            markets[index]["name"],
            markets[index]["tape_digest"],
            cell["digest"],
            [metrics["pnl_units"] for metrics in cell["per_seed"]],
            sum(cell["score_bps"]) / plan.seeds,
        )
        for index, cell in sorted(entry.cells.items())
    ]
    return Claim(
        SCHEMA,
        kept.manifest.name,
        kept.manifest_sha256,
        kept.policy_sha256,
        plan.seeds,
        plan.episodes,
        source_sha256(),
        entry.digest,
        cells,
    )


def _read_claim(path: Path) -> Claim:
    """A claim from outside: size and shape are checked, nothing else is believed."""
    try:
        with path.open("rb") as file:
            data = file.read(CLAIM_BYTES_MAX + 1)
    except OSError as error:
        raise SubmissionError(f"cannot read the claim {path}: {error.strerror}") from error
    if len(data) > CLAIM_BYTES_MAX:
        raise SubmissionError(f"{path} has more than {CLAIM_BYTES_MAX} bytes, the maximum for a claim")
    try:
        found = msgspec.json.decode(data)
        if isinstance(found, dict) and "claim" in found:  # as `submit` keeps it, with the player beside it
            found = found["claim"]
        claim = msgspec.convert(found, type=Claim)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise SubmissionError(f"{path} is no claim that `lobgym leaderboard submit` wrote: {error}") from error
    if claim.schema != SCHEMA or len(claim.cells) > CELLS_MAX:
        raise SubmissionError(f"{path}: expected {SCHEMA} of at most {CELLS_MAX} cells, got {claim.schema!r}")
    if len({cell.tape_digest for cell in claim.cells}) != len(claim.cells):
        raise SubmissionError(f"{path} claims two results on one tape: ask its author which of them it is")
    return claim


def _compare(claimed: Claim, made: Claim) -> None:
    """Every claimed figure must have come out, on every market that either names."""
    if (claimed.seeds, claimed.episodes) != (made.seeds, made.episodes):
        raise SubmissionError(
            f"claimed are {claimed.seeds} seeds of {claimed.episodes} episodes, this suite has {made.seeds} of "
            f"{made.episodes}: hand it in to a suite of the same plan"
        )
    here = {cell.tape_digest: cell for cell in made.cells}
    there = {cell.tape_digest: cell for cell in claimed.cells}
    if here.keys() != there.keys():
        odd = next(
            cell for cell in (*made.cells, *claimed.cells) if (cell.tape_digest in here) != (cell.tape_digest in there)
        )
        raise SubmissionError(
            f"claimed are {len(there)} markets, it trades {len(here)} here; {odd.market} (tape {odd.tape_digest[:12]}) "
            "is only in one of them"
        )
    for digest, cell in here.items():
        other = there[digest]
        if cell.pnl_units != other.pnl_units:
            raise SubmissionError(
                f"on {cell.market} it is claimed to earn {other.pnl_units} money units by seed; it earns "
                f"{cell.pnl_units}"
            )
        if cell.digest != other.digest:
            raise SubmissionError(
                f"on {cell.market} it earns what is claimed, but other figures differ: sha256 {cell.digest} here, "
                f"{other.digest} claimed" + _by_source(claimed, made)
            )
        if cell.score_bps != other.score_bps:
            raise SubmissionError(
                f"on {cell.market} its profits are those claimed, which score {cell.score_bps} bps, not "
                f"{other.score_bps}"
            )
    for name in ("digest", "policy_sha256", "name"):
        if getattr(claimed, name) != getattr(made, name):
            raise SubmissionError(
                f"the claim contradicts itself: its {name} is {getattr(claimed, name)}, its bundle and its cells give "
                f"{getattr(made, name)}"
            )


def _by_source(claimed: Claim, made: Claim) -> str:
    return "" if claimed.source_sha256 == made.source_sha256 else " (by another version of the simulator)"
