"""What a bundle promises, and everything that must not be loaded: edits, wrong shapes, hostile networks."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import msgspec
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from lobgym.runtime.bundle import load_bundle, write_bundle
from lobgym.runtime.canonical import pretty_json, sha256_hex, sim_source_sha256
from lobgym.runtime.errors import BundleError, GateError, ModelError, PolicyError
from lobgym.runtime.manifest import POLICY_BYTES_MAX, Certificate
from lobgym.runtime.model_check import check_model
from lobgym.sim.desk_spec import DeskSpec
from lobgym.sim.tape import Tape
from tests.runtime.fixtures import BUNDLED, MakeBundle, meta, observations
from tests.runtime.models import linear, mlp, serialise, tensor


def certify(folder: Path, passed: bool = True, **changes: object) -> None:
    """Write a gate report and the certificate for it."""
    report = b'{"gates":[]}\n'
    (folder / "gates.json").write_bytes(report)
    fields = {
        "format": 1,
        "passed": passed,
        "gates": {"G0": True, "G1": passed},
        "policy_sha256": sha256_hex((folder / "policy.onnx").read_bytes()),
        "manifest_sha256": sha256_hex((folder / "manifest.json").read_bytes()),
        "gates_sha256": sha256_hex(report),
        "sim_source_sha256": sim_source_sha256(),
        "tape_digest": "0" * 64,
    }
    (folder / "certificate.json").write_bytes(pretty_json(msgspec.convert(fields | changes, type=Certificate)))


@pytest.mark.parametrize("kind", BUNDLED)
def test_a_bundle_comes_back(make_bundle: MakeBundle, specs: dict[str, DeskSpec], tape: Tape, kind: str) -> None:
    folder = make_bundle(kind)
    assert sorted(file.name for file in folder.iterdir()) == ["manifest.json", "policy.onnx"]
    loaded = load_bundle(folder, allow_ungated=True)
    assert loaded.spec == specs[kind]
    assert loaded.manifest.name == "policy"
    assert loaded.manifest.tape_digests == [tape.digest]
    assert loaded.manifest.golden.rows == 8
    assert not loaded.gated
    assert loaded.problems == ()


def test_equal_inputs_give_equal_bytes(make_bundle: MakeBundle) -> None:
    a, b = make_bundle(name="a"), make_bundle(name="b")
    one, other = (json.loads((folder / "manifest.json").read_bytes()) for folder in (a, b))
    assert one.pop("name") == "a"
    assert other.pop("name") == "b"
    assert one == other
    assert (a / "policy.onnx").read_bytes() == (b / "policy.onnx").read_bytes()


@pytest.mark.parametrize("kind", BUNDLED)
def test_the_policy_decides_within_bounds(make_bundle: MakeBundle, kind: str) -> None:
    policy = load_bundle(make_bundle(kind), allow_ungated=True).policy
    rows = observations(policy.inputs, 50)
    codes = np.array([policy.decode(policy.infer(row)) for row in rows])
    again = np.array([policy.decode(policy.infer(row)) for row in rows])
    assert (codes == again).all()
    assert (codes >= 0).all()
    assert len(np.unique(codes, axis=0)) > 2
    with pytest.raises(PolicyError, match="shape"):
        policy.infer(rows)


def test_the_margin_is_the_distance_to_another_decision(make_bundle: MakeBundle, specs: dict[str, DeskSpec]) -> None:
    grid = load_bundle(make_bundle("grid", "grid"), allow_ungated=True).policy
    # Bins (15, 5, 9, 5, 3): each action in the middle of a bin, but the pause a quarter of a bin above an edge.
    raw = ((np.array([3.5, 2.5, 4.5, 0.5, 1.25]) / np.array([15, 5, 9, 5, 3])) * 2 - 1).astype(np.float32)
    assert grid.decode(raw).tolist() == [3, 2, 4, 0, 1]
    assert grid.margin(raw) == pytest.approx(250_000, abs=2)
    assert grid.decode(np.full(5, 99.0, np.float32)).tolist() == [14, 4, 8, 4, 2]
    target = load_bundle(make_bundle("target", "target"), allow_ungated=True).policy
    raw = np.array([0.0, 1.5, 1.0, 1.5, -3.0], np.float32)
    assert target.decode(raw).tolist() == [1], "the first of equals"
    assert target.margin(raw) == 0


@pytest.mark.parametrize("kind", BUNDLED)
def test_golden_vectors_given_by_the_trainer_are_checked(
    tmp_path: Path, tape: Tape, specs: dict[str, DeskSpec], kind: str
) -> None:
    spec = specs[kind]
    data = mlp(spec.layout.size, spec.action.size if spec.action.continuous else spec.action.bins[0])
    rows = observations(spec.layout.size)
    policy = load_bundle(write_bundle(tmp_path / "a", data, spec, meta(tape), rows), True).policy
    raw = np.stack([policy.infer(row).copy() for row in rows])
    codes = np.stack([policy.decode(row) for row in raw])
    write_bundle(tmp_path / "b", data, spec, meta(tape), rows, raw + np.float32(5e-6), codes)
    with pytest.raises(BundleError, match="golden vector 0: raw outputs differ"):
        write_bundle(tmp_path / "c", data, spec, meta(tape), rows, raw + np.float32(1e-3), codes)
    with pytest.raises(BundleError, match="golden vector 7: expected the codes"):
        write_bundle(tmp_path / "c", data, spec, meta(tape), rows, raw, np.vstack([codes[:7], codes[7:] ^ 1]))
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a", "b"], "nothing half-written stays"


def test_nothing_is_overwritten_and_names_are_plain(make_bundle: MakeBundle) -> None:
    make_bundle(name="policy")
    with pytest.raises(BundleError, match="never overwritten"):
        make_bundle(name="policy")
    for name in ("Policy", "a b", "a.b", "x" * 65):
        with pytest.raises(BundleError, match="name is 1 to 64"):
            make_bundle(name=name)
    with pytest.raises(BundleError, match="name is 1 to 64"):
        make_bundle(name="../Escape")
    with pytest.raises(BundleError, match="meta data"):
        make_bundle(name="fine", unknown=1)
    with pytest.raises(BundleError, match="meta data"):
        make_bundle(name="fine", seed="seven")


def test_every_flipped_byte_of_the_network_is_refused(make_bundle: MakeBundle) -> None:
    folder = make_bundle()
    data = (folder / "policy.onnx").read_bytes()
    for place in range(0, len(data), 37):
        flipped = bytearray(data)
        flipped[place] ^= 1
        (folder / "policy.onnx").write_bytes(flipped)
        with pytest.raises(BundleError, match="was changed"):
            load_bundle(folder, allow_ungated=True)


def test_the_network_is_not_parsed_before_its_hash_is_right(
    make_bundle: MakeBundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_bundle()
    (folder / "policy.onnx").write_bytes(b"anything")

    def parsed(data: bytes) -> None:
        raise AssertionError("parsed")

    monkeypatch.setattr("lobgym.runtime.policy.check_model", parsed)
    with pytest.raises(BundleError, match="was changed"):
        load_bundle(folder, allow_ungated=True)


def test_with_a_right_hash_the_golden_vectors_show_another_network(
    make_bundle: MakeBundle, specs: dict[str, DeskSpec]
) -> None:
    folder = make_bundle()
    other = mlp(specs["grid"].layout.size, 5, seed=1)
    edit(folder, policy_sha256=sha256_hex(other))
    (folder / "policy.onnx").write_bytes(other)
    with pytest.raises(BundleError, match="golden vector 0"):
        load_bundle(folder, allow_ungated=True)
    loaded = load_bundle(folder, tolerate_mismatch=True)
    assert len(loaded.problems) == 1


def edit(folder: Path, **changes: object) -> None:
    """Change fields of the manifest."""
    path = folder / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_bytes()) | changes))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"unknown": 1}, "malformed"),
        ({"seed": "x"}, "malformed"),
        ({"format": 2}, "format 2"),
        ({"name": "../../etc"}, "name is 1 to 64"),
        ({"spec": {}}, "not one that this version has"),
        ({"spec_digest": "0" * 64}, "desk digest"),
        ({"layout_hash": "0" * 64}, "observation layout"),
        ({"action_kind": "target"}, "kind of action"),
        ({"golden": {"rows": 8, "observations": "!", "raw": "", "codes": []}}, "malformed"),
        ({"golden": {"rows": 1, "observations": "AAAAAA==", "raw": "AAAAAA==", "codes": [[0]]}}, "do not fit"),
        ({"golden": {"rows": 0, "observations": "", "raw": "", "codes": []}}, "malformed"),
    ],
)
def test_an_edited_manifest_is_refused(make_bundle: MakeBundle, changes: dict[str, object], message: str) -> None:
    folder = make_bundle()
    edit(folder, **changes)
    with pytest.raises(BundleError, match=message):
        load_bundle(folder, allow_ungated=True)


def test_missing_linked_and_oversized_files_are_refused(make_bundle: MakeBundle, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="is this a bundle folder"):
        load_bundle(tmp_path / "nowhere")
    for number, file in enumerate(("manifest.json", "policy.onnx")):
        folder = make_bundle(name=f"missing{number}")
        (folder / file).unlink()
        with pytest.raises(BundleError, match="No such file"):
            load_bundle(folder, allow_ungated=True)
        shutil.copy(make_bundle(name=f"other{number}") / file, tmp_path / file)
        (folder / file).symlink_to(tmp_path / file)
        with pytest.raises(BundleError, match="symbolic links"):
            load_bundle(folder, allow_ungated=True)
        (folder / file).unlink()
        with (folder / file).open("wb") as sparse:
            sparse.truncate(POLICY_BYTES_MAX + 1)
        with pytest.raises(BundleError, match="the maximum for this file"):
            load_bundle(folder, allow_ungated=True)
        (folder / file).unlink()
        os.mkfifo(folder / file)
        with pytest.raises(BundleError):
            load_bundle(folder, allow_ungated=True)


def test_without_passed_gates_a_bundle_does_not_act(make_bundle: MakeBundle) -> None:
    folder = make_bundle()
    with pytest.raises(GateError, match="no gates have run; run `lobgym gate` on it, or use --shadow"):
        load_bundle(folder)
    certify(folder)
    assert load_bundle(folder).gated
    certify(folder, passed=False)
    with pytest.raises(GateError, match="did not pass"):
        load_bundle(folder)
    assert not load_bundle(folder, allow_ungated=True).gated


@pytest.mark.parametrize(
    ("field", "message"),
    [
        ("policy_sha256", "policy.onnx is not the one"),
        ("manifest_sha256", "manifest.json is not the one"),
        ("gates_sha256", "gates.json is not the one"),
        ("sim_source_sha256", "another version of the simulator"),
    ],
)
def test_a_certificate_covers_these_very_files(make_bundle: MakeBundle, field: str, message: str) -> None:
    folder = make_bundle()
    certify(folder, **{field: "0" * 64})
    with pytest.raises(GateError, match=message):
        load_bundle(folder)


def test_an_edited_report_or_certificate_is_no_certificate(make_bundle: MakeBundle) -> None:
    folder = make_bundle()
    certify(folder)
    (folder / "gates.json").write_bytes(b'{"gates":[ ]}\n')
    with pytest.raises(GateError, match=r"gates\.json is not the one"):
        load_bundle(folder)
    (folder / "certificate.json").write_bytes(b"{}")
    with pytest.raises(GateError, match="no usable certificate"):
        load_bundle(folder)


# -- networks that are not loaded ---------------------------------------------------------------------------------


def node(kind: str, inputs: list[str], outputs: list[str], **attributes: object) -> onnx.NodeProto:
    return helper.make_node(kind, inputs, outputs, **attributes)


def doubling_bomb() -> bytes:
    """A few hundred bytes that double a value 40 times."""
    nodes = [node("Concat", [f"x{k}", f"x{k}"], [f"x{k + 1}"], axis=1) for k in range(40)]
    nodes[0].input[:] = ["observation", "observation"]
    nodes.append(node("Slice", ["x40", "begin", "end"], ["action"]))
    bounds = [tensor("begin", np.array([0, 0])), tensor("end", np.array([1, 2]))]
    return serialise(nodes, 2, 2, bounds)


def loop() -> bytes:
    """A loop whose body is harmless and whose count is not."""
    body = helper.make_graph(
        [node("Identity", ["cond"], ["go"]), node("Identity", ["x"], ["y"])],
        "body",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("cond", TensorProto.BOOL, []),
            helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 2]),
        ],
        [
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 2]),
        ],
    )
    weights = [tensor("count", np.array(2**40)), tensor("true", np.array(True))]
    return serialise([node("Loop", ["count", "true", "observation"], ["action"], body=body)], 2, 2, weights)


def external() -> bytes:
    """A weight in a file of its own."""
    model = onnx.load_model_from_string(linear(np.eye(2, dtype=np.float32), np.zeros(2, np.float32)))
    weight = model.graph.initializer[0]
    weight.ClearField("raw_data")
    weight.data_location = TensorProto.EXTERNAL
    entry = weight.external_data.add()
    entry.key, entry.value = "location", "weights.bin"
    return bytes(model.SerializeToString())


def with_input_shape(*dims: object) -> bytes:
    model = onnx.load_model_from_string(linear(np.eye(2, dtype=np.float32), np.zeros(2, np.float32)))
    shape = helper.make_tensor_value_info("observation", TensorProto.FLOAT, list(dims))
    model.graph.input[0].CopyFrom(shape)
    return bytes(model.SerializeToString())


def with_function() -> bytes:
    model = onnx.load_model_from_string(linear(np.eye(2, dtype=np.float32), np.zeros(2, np.float32)))
    opset = [helper.make_opsetid("", 17)]
    model.functions.append(helper.make_function("mine", "f", ["a"], ["b"], [node("Identity", ["a"], ["b"])], opset))
    return bytes(model.SerializeToString())


GOOD = linear(np.eye(2, dtype=np.float32), np.zeros(2, np.float32))
HOSTILE = {
    "nothing": (b"", "nodes|operator set"),
    "noise": (b"\xff" * 100, "not an ONNX file"),
    "truncated": (GOOD[: len(GOOD) // 2], "ONNX|onnx|weight|node|operator set"),
    "random": (serialise([node("RandomNormalLike", ["observation"], ["action"])], 2, 2), "RandomNormalLike"),
    "other domain": (
        serialise([node("Gelu", ["observation"], ["action"], domain="com.microsoft")], 2, 2),
        "com.microsoft",
    ),
    "loop": (loop(), "operator Loop"),
    "doubling": (doubling_bomb(), "static shape of at most"),
    "expand": (
        serialise(
            [node("Expand", ["observation", "big"], ["v"]), node("Identity", ["v"], ["action"])],
            2,
            2,
            [tensor("big", np.array([1 << 30, 2]))],
        ),
        "operator Expand",
    ),
    "external data": (external(), "lies outside the file"),
    "symbolic batch": (with_input_shape("batch", 2), "static shape|shape"),
    "no shape": (with_input_shape(None, 2), "static shape|shape"),
    "batch of two": (with_input_shape(2, 2), "refuses|shape"),
    "functions": (with_function(), "functions"),
    "old opset": (serialise([node("Identity", ["observation"], ["action"])], 2, 2, opset=9), "operator set"),
    "new opset": (serialise([node("Identity", ["observation"], ["action"])], 2, 2, opset=25), "operator set"),
    "no nodes": (serialise([], 2, 2), "nodes"),
    "wrong type": (
        serialise([node("Cast", ["observation"], ["action"], to=TensorProto.DOUBLE)], 2, 2),
        "refuses",
    ),
    "dangling": (serialise([node("Relu", ["nowhere"], ["action"])], 2, 2), "refuses"),
    "huge weight": (
        serialise(
            [node("Identity", ["observation"], ["action"])],
            2,
            2,
            [TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[1 << 40])],
        ),
        "dimensions",
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_networks_are_refused(name: str) -> None:
    data, message = HOSTILE[name]
    with pytest.raises(ModelError, match=message):
        check_model(data)


def test_what_an_exported_network_needs_is_accepted() -> None:
    nodes = [
        node("Flatten", ["observation"], ["v0"], axis=1),
        node("Constant", [], ["low"], value=tensor("low", np.array(-1.0, np.float32))),
        node("Constant", [], ["high"], value=tensor("high", np.array(1.0, np.float32))),
        node("MatMul", ["v0", "w"], ["v1"]),
        node("Add", ["v1", "b"], ["v2"]),
        node("Relu", ["v2"], ["v3"]),
        node("Concat", ["v3", "v2"], ["v4"], axis=1),
        node("Reshape", ["v4", "shape"], ["v5"]),
        node("Clip", ["v5", "low", "high"], ["action"]),
    ]
    weights = [
        tensor("w", np.ones((3, 2), np.float32)),
        tensor("b", np.zeros(2, np.float32)),
        tensor("shape", np.array([1, 4])),
    ]
    shape = check_model(serialise(nodes, 3, 4, weights))
    assert (shape.input_name, shape.inputs, shape.output_name, shape.outputs) == ("observation", 3, "action", 4)


def test_a_network_for_another_desk_is_refused(make_bundle: MakeBundle) -> None:
    with pytest.raises(ModelError, match="needs a network of 20 inputs and 5 outputs"):
        make_bundle("grid", network=mlp(19, 5))
    with pytest.raises(ModelError, match="this one has 15 and 4"):
        make_bundle("target", network=mlp(15, 4))


def test_a_network_that_overflows_on_its_golden_vectors_is_refused(make_bundle: MakeBundle) -> None:
    with pytest.raises(BundleError, match="not finite"):
        make_bundle("target", network=linear(np.full((15, 5), 3e38, np.float32), np.zeros(5, np.float32)))
