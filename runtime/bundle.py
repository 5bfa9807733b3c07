"""A policy bundle: the folder in which a policy travels from training to service.

    policy.onnx       the network
    manifest.json     what it is: hashes, the desk it was trained on, where from, golden vectors (`Manifest`)
    gates.json        the gate report, once the gates have run (`lobgym.governance`)
    certificate.json  the verdict, bound by sha256 to these files and to the simulator's source (`Certificate`)

Loading trusts nothing before it is checked: sizes, then hashes, and only then is a byte of the network parsed; it is
checked against an operator list (`lobgym.runtime.model_check`) and must reproduce its golden vectors. The hashes show
accidents and edits of single files; somebody who rewrites the whole folder is shown by a digest kept elsewhere.
"""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

import lobgym
from lobgym.runtime.canonical import pretty_json, sha256_hex, sim_source_sha256, sync_folder, write_durable
from lobgym.runtime.errors import BundleError, GateError
from lobgym.runtime.golden import check_golden, pack, walk
from lobgym.runtime.manifest import (
    CERTIFICATE_FILE,
    FORMAT,
    GATES_FILE,
    GOLDEN_ROWS_MAX,
    JSON_BYTES_MAX,
    MANIFEST_FILE,
    NAME,
    POLICY_BYTES_MAX,
    POLICY_FILE,
    Certificate,
    Golden,
    Hierarchy,
    Manifest,
)
from lobgym.runtime.policy import OnnxPolicy
from lobgym.sim.desk_spec import DeskSpec
from lobgym.sim.errors import LobgymError

__all__ = ["POLICY_FILE", "LoadedBundle", "load_bundle", "read_capped", "write_bundle"]

T = TypeVar("T")


@dataclass(frozen=True)
class LoadedBundle:
    """A bundle whose hashes, network and golden vectors have been checked.

    `problems` is empty unless it was loaded with `tolerate_mismatch`; `gated` says whether it was loaded under a passed
    certificate, so that it may act.
    """

    path: Path
    manifest: Manifest
    manifest_sha256: str
    policy_sha256: str
    spec: DeskSpec
    policy: OnnxPolicy
    gated: bool
    problems: tuple[str, ...] = ()


def write_bundle(
    folder: str | Path,
    onnx_bytes: bytes,
    spec: DeskSpec,
    meta: Mapping[str, Any],
    golden_observations: NDArray[np.float32],
    golden_raw: NDArray[np.float32] | None = None,
    golden_codes: NDArray[np.int32] | None = None,
    golden_starts: Sequence[int] | None = None,
) -> Path:
    """Write a new bundle, aside first, and rename it into place.

    Args:
        folder: where to; must not exist yet. Its name is the policy's name unless `meta` has one.
        onnx_bytes: the exported network.
        spec: the desk that it was trained on.
        meta: `instrument` (JSON), `tape_digests`, `seed`, `algo`, `training_steps`; optionally `name`, `commit`, and
            `hierarchy` (a `Hierarchy`) where the network holds several agents and a router.
        golden_observations: float32[G, D], 1 <= G <= 256.
        golden_raw: float32[G, A] as the trainer computed them; by default what the network itself gives.
        golden_codes: int32[G, C], likewise; of a hierarchy action, choice and agent.
        golden_starts: rows at which a run begins, rising from 0; without them every row is one. A recurrent policy
            needs rows that follow one another.

    Raises:
        BundleError: the folder exists, or the network does not reproduce the golden vectors given.
        ModelError: the network is not one that a runtime loads.
    """
    target = Path(folder)
    if target.exists():
        raise BundleError(f"{target} exists already; a bundle is never overwritten: choose another folder")
    observations = np.ascontiguousarray(golden_observations, dtype=np.float32)
    if observations.ndim != 2 or not 1 <= len(observations) <= GOLDEN_ROWS_MAX:
        raise BundleError(f"expected 1 to {GOLDEN_ROWS_MAX} golden observations [G, D], got {observations.shape}")
    policy = OnnxPolicy(onnx_bytes, spec, _hierarchy(meta))
    raw, made = walk(policy, observations, golden_starts)
    codes = np.array(made, np.int32)
    stated_raw = raw if golden_raw is None else np.ascontiguousarray(golden_raw, dtype=np.float32)
    stated_codes = codes if golden_codes is None else np.asarray(golden_codes).reshape(codes.shape)
    golden = Golden(
        len(raw), pack(observations), pack(stated_raw), [[int(c) for c in row] for row in stated_codes],
        None if golden_starts is None else [int(row) for row in golden_starts],
    )  # fmt: skip
    manifest = _manifest(target.name, onnx_bytes, spec, {**meta, "state": policy.state}, golden)
    check_golden(manifest, policy)
    target.parent.mkdir(parents=True, exist_ok=True)
    aside = target.with_name(f".{target.name}.{secrets.token_hex(4)}.tmp")
    try:
        aside.mkdir()
        write_durable(aside / POLICY_FILE, onnx_bytes)
        write_durable(aside / MANIFEST_FILE, pretty_json(manifest))
        sync_folder(aside)
        aside.rename(target)
    except BaseException:
        shutil.rmtree(aside, ignore_errors=True)
        raise
    sync_folder(target.parent)
    return target


def _hierarchy(meta: Mapping[str, Any]) -> Hierarchy | None:
    try:
        return msgspec.convert(msgspec.to_builtins(meta.get("hierarchy")), type=Hierarchy | None)
    except msgspec.ValidationError as error:
        raise BundleError(f"the bundle's hierarchy does not fit the manifest: {error}") from error


def _manifest(name: str, onnx_bytes: bytes, spec: DeskSpec, meta: Mapping[str, Any], golden: Golden) -> Manifest:
    continuous = spec.action.continuous
    fields = {
        "format": FORMAT,
        "name": name,
        "commit": "",
        **meta,
        "policy_sha256": sha256_hex(onnx_bytes),
        "spec": spec.to_json(),
        "spec_digest": spec.digest,
        "layout_hash": spec.layout.hash,
        "action_kind": spec.kind,
        "action_low": -1.0 if continuous else 0.0,
        "action_high": 1.0 if continuous else spec.action.bins[0] - 1.0,
        "sim_source_sha256": sim_source_sha256(),
        "created_by": f"lobgym {lobgym.__version__}",
        "golden": golden,
    }
    try:
        manifest = msgspec.convert(msgspec.to_builtins(fields), type=Manifest)
    except msgspec.ValidationError as error:
        raise BundleError(f"the bundle's meta data do not fit the manifest: {error}") from error
    _check_name(manifest.name)
    return manifest


def _check_name(name: str) -> None:
    if not NAME.fullmatch(name):
        raise BundleError(f"a policy's name is 1 to 64 of a-z, 0-9, _ and -, got {name!r}")


def load_bundle(path: str | Path, allow_ungated: bool = False, tolerate_mismatch: bool = False) -> LoadedBundle:
    """Load and verify a bundle.

    Args:
        path: its folder.
        allow_ungated: do not ask for gates: for shadow runs and for the gates themselves.
        tolerate_mismatch: load a network whose hash or golden vectors do not fit the manifest, for comparing what
            it decides; what does not fit is listed in `problems`. Never for service.

    Raises:
        GateError: sound, but without passed gates.
        BundleError: anything missing, too large, malformed, or not what its hashes say.
        ModelError: a network that is not on the list.
    """
    folder = Path(path)
    manifest_bytes = read_capped(folder / MANIFEST_FILE, JSON_BYTES_MAX)
    policy_bytes = read_capped(folder / POLICY_FILE, POLICY_BYTES_MAX)
    manifest = _decode(manifest_bytes, Manifest, folder / MANIFEST_FILE)
    problems: list[str] = []

    def refuse(problem: str) -> None:
        if not tolerate_mismatch:
            raise BundleError(f"{folder}: {problem}")
        problems.append(problem)

    policy_sha256 = sha256_hex(policy_bytes)
    if policy_sha256 != manifest.policy_sha256:
        refuse(f"policy.onnx was changed: the manifest states sha256 {manifest.policy_sha256}, it has {policy_sha256}")
    spec = _check_manifest(manifest, folder)
    manifest_sha256 = sha256_hex(manifest_bytes)
    gated = not (allow_ungated or tolerate_mismatch)
    if gated:
        _require_certificate(folder, policy_sha256, manifest_sha256)
    policy = OnnxPolicy(policy_bytes, spec, manifest.hierarchy)
    if policy.state != manifest.state:
        raise BundleError(
            f"{folder}: the manifest states a state of {manifest.state} values, the network has one of {policy.state}; "
            "export it again"
        )
    try:
        check_golden(manifest, policy)
    except BundleError as error:
        refuse(str(error))
    return LoadedBundle(folder, manifest, manifest_sha256, policy_sha256, spec, policy, gated, tuple(problems))


def read_capped(path: Path, size_max: int) -> bytes:
    """The content of a regular file, links not followed, at most `size_max` bytes."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(handle, "rb") as file:
            data = file.read(size_max + 1)
    except OSError as error:
        raise BundleError(f"cannot read {path}: {error.strerror}; is this a bundle folder?") from error
    if len(data) > size_max:
        raise BundleError(f"{path} has more than {size_max} bytes, the maximum for this file")
    return data


def _decode(data: bytes, kind: type[T], path: Path) -> T:
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise BundleError(f"{path} is malformed: {error}") from error


def _check_manifest(manifest: Manifest, folder: Path) -> DeskSpec:
    if manifest.format != FORMAT:
        raise BundleError(f"{folder} has bundle format {manifest.format}; this version reads {FORMAT}")
    _check_name(manifest.name)
    try:
        spec = DeskSpec.from_json(manifest.spec)
    except (LobgymError, TypeError, KeyError, ValueError) as error:
        raise BundleError(f"{folder}: the manifest's desk is not one that this version has: {error}") from error
    stated = (manifest.spec_digest, manifest.layout_hash, manifest.action_kind)
    actual = (spec.digest, spec.layout.hash, spec.kind)
    for what, one, other in zip(("desk digest", "observation layout", "kind of action"), stated, actual, strict=True):
        if one != other:
            raise BundleError(f"{folder}: the manifest states {what} {one}, its desk has {other}; train it again")
    return spec


def _require_certificate(folder: Path, policy_sha256: str, manifest_sha256: str) -> None:
    problem = _certificate_problem(folder, policy_sha256, manifest_sha256)
    if problem:
        raise GateError(f"{folder}: {problem}; run `lobgym gate` on it, or use --shadow to run it without acting on it")


def _certificate_problem(folder: Path, policy_sha256: str, manifest_sha256: str) -> str:
    """Why no passed certificate covers these files; "" if one does."""
    try:
        data = read_capped(folder / CERTIFICATE_FILE, JSON_BYTES_MAX)
        certificate = _decode(data, Certificate, folder / CERTIFICATE_FILE)
        gates_sha256 = sha256_hex(read_capped(folder / GATES_FILE, JSON_BYTES_MAX))
    except BundleError as error:
        return f"no usable certificate ({error})" if (folder / CERTIFICATE_FILE).exists() else "no gates have run"
    stated = (certificate.policy_sha256, certificate.manifest_sha256, certificate.gates_sha256)
    files = (POLICY_FILE, MANIFEST_FILE, GATES_FILE)
    for file, one, other in zip(files, stated, (policy_sha256, manifest_sha256, gates_sha256), strict=True):
        if one != other:
            return f"{file} is not the one that the certificate covers"
    if not certificate.passed or not all(certificate.gates.values()):
        return "the gates did not pass"
    if certificate.sim_source_sha256 != sim_source_sha256():
        return "the gates ran on another version of the simulator"
    return ""
