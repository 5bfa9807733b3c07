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
