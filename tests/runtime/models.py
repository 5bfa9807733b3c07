"""Small networks as ONNX bytes, made with onnx alone: what an exporter would give, and what nobody should load."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

OPSET = 17


def serialise(
    nodes: Sequence[onnx.NodeProto],
    inputs: int,
    outputs: int,
    weights: Sequence[onnx.TensorProto] = (),
    opset: int = OPSET,
) -> bytes:
    """A model float32[1, inputs] -> float32[1, outputs]."""
    graph = helper.make_graph(
        list(nodes),
        "policy",
        [helper.make_tensor_value_info("observation", TensorProto.FLOAT, [1, inputs])],
        [helper.make_tensor_value_info("action", TensorProto.FLOAT, [1, outputs])],
        list(weights),
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    return bytes(model.SerializeToString(deterministic=True))


def tensor(name: str, values: NDArray[np.generic]) -> onnx.TensorProto:
    """A named weight."""
    return numpy_helper.from_array(np.ascontiguousarray(values), name)


def mlp(inputs: int, outputs: int, seed: int = 0, hidden: int = 16, gain: float = 3.0) -> bytes:
    """Two layers with a tanh between and one at the end: outputs in (-1, 1), different for each observation."""
    rng = np.random.Generator(np.random.Philox(seed))
    nodes = [
        helper.make_node("Gemm", ["observation", "w0", "b0"], ["v0"]),
        helper.make_node("Tanh", ["v0"], ["v1"]),
        helper.make_node("Gemm", ["v1", "w1", "b1"], ["v2"]),
        helper.make_node("Tanh", ["v2"], ["action"]),
    ]
    shapes = {"w0": (inputs, hidden), "b0": (hidden,), "w1": (hidden, outputs), "b1": (outputs,)}
    weights = [
        tensor(name, (rng.standard_normal(shape) * gain / np.sqrt(shape[0])).astype(np.float32))
        for name, shape in shapes.items()
    ]
    return serialise(nodes, inputs, outputs, weights)


def linear(weight: NDArray[np.float32], bias: NDArray[np.float32]) -> bytes:
    """action = observation @ weight + bias."""
    nodes = [helper.make_node("Gemm", ["observation", "w", "b"], ["action"])]
    return serialise(nodes, weight.shape[0], weight.shape[1], [tensor("w", weight), tensor("b", bias)])


def recurrent(
    nodes: Sequence[onnx.NodeProto], inputs: int, outputs: int, state: int, weights: Sequence[onnx.TensorProto] = ()
) -> bytes:
    """A model (float32[1, inputs], float32[1, state]) -> (float32[1, outputs], float32[1, state])."""
    model = onnx.load_model_from_string(serialise(nodes, inputs, outputs, weights))
    model.graph.input.append(helper.make_tensor_value_info("state", TensorProto.FLOAT, [1, state]))
    model.graph.output.append(helper.make_tensor_value_info("next_state", TensorProto.FLOAT, [1, state]))
    return bytes(model.SerializeToString(deterministic=True))


def lstm_weights(inputs: int, outputs: int, hidden: int, seed: int = 0) -> dict[str, NDArray[np.float32]]:
    """W [1, 4H, D], R [1, 4H, H], B [1, 8H] (gates input, output, forget, cell), and a head w [H, A]."""
    rng = np.random.Generator(np.random.Philox(seed))
    shapes = {"W": (1, 4 * hidden, inputs), "R": (1, 4 * hidden, hidden), "B": (1, 8 * hidden), "w": (hidden, outputs)}
    return {name: (rng.standard_normal(shape) * 1.5).astype(np.float32) for name, shape in shapes.items()}


def lstm(inputs: int, outputs: int, hidden: int = 6, seed: int = 0, sequence: int = 1) -> bytes:
    """An LSTM under a tanh of its hidden values; the state is hidden values and cells, side by side."""
    weights = [tensor(name, values) for name, values in lstm_weights(inputs, outputs, hidden, seed).items()]
    weights += [
        tensor("seen", np.array([sequence, 1, inputs // sequence], np.int64)),
        tensor("axis", np.array([0], np.int64)),
        *(tensor(f"at{k}", np.array([k * hidden], np.int64)) for k in range(3)),
        tensor("columns", np.array([1], np.int64)),
    ]
    nodes = [
        helper.make_node("Reshape", ["observation", "seen"], ["x"]),
        helper.make_node("Slice", ["state", "at0", "at1", "columns"], ["h_row"]),
        helper.make_node("Slice", ["state", "at1", "at2", "columns"], ["c_row"]),
        helper.make_node("Unsqueeze", ["h_row", "axis"], ["h"]),
        helper.make_node("Unsqueeze", ["c_row", "axis"], ["c"]),
        helper.make_node("LSTM", ["x", "W", "R", "B", "", "h", "c"], ["", "h_next", "c_next"], hidden_size=hidden),
        helper.make_node("Squeeze", ["h_next", "axis"], ["h_left"]),
        helper.make_node("Squeeze", ["c_next", "axis"], ["c_left"]),
        helper.make_node("Concat", ["h_left", "c_left"], ["next_state"], axis=1),
        helper.make_node("MatMul", ["h_left", "w"], ["values"]),
        helper.make_node("Tanh", ["values"], ["action"]),
    ]
    return recurrent(nodes, inputs, outputs, 2 * hidden, weights)
