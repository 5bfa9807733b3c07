"""Is this ONNX file a plain, bounded, deterministic network? Read before any session is made of it.

Accepted is what an exported multilayer perceptron or LSTM needs: a float32[1, D] input and a float32[1, A] output; of a
recurrent network behind either a float32[1, S], the state that it is given and the one that it leaves; operators from a
list, weights inside the file, every intermediate value of a known and small size. Refused with `ModelError`: loops and
conditions, functions, random operators, other operator domains, external data, symbolic shapes, sparse tensors, an LSTM
over more than one observation. The bounds matter as much as the list: 224 bytes of concatenations can ask for
gigabytes, and an LSTM over a long sequence for hours.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod
from typing import Final

import onnx

from lobgym.runtime.errors import ModelError

__all__ = ["OPERATORS", "ModelShape", "check_model"]

OPERATORS: Final = frozenset(
    {"Add", "Cast", "Clip", "Concat", "Constant", "Div", "Elu", "Flatten", "Gemm", "Identity", "LSTM", "LeakyRelu"}
    | {"MatMul", "Max", "Min", "Mul", "Neg", "Relu", "Reshape", "Sigmoid", "Slice", "Squeeze", "Sub", "Tanh"}
    | {"Transpose", "Unsqueeze"}
)
OPSET_MIN: Final = 13
OPSET_MAX: Final = 21
NODES_MAX: Final = 256
VALUE_ELEMENTS_MAX: Final = 1 << 20  # of any one weight or intermediate value
TOTAL_ELEMENTS_MAX: Final = 1 << 22  # of all intermediate values together
INPUT_MAX: Final = 4096
OUTPUT_MAX: Final = 1024
STATE_MAX: Final = 4096


@dataclass(frozen=True)
class ModelShape:
    """Names and widths of the input float32[1, inputs] and the output float32[1, outputs].

    And of the states behind them, float32[1, state] both; a function of one observation has none: "", "" and 0.
    """

    input_name: str
    inputs: int
    output_name: str
    outputs: int
    state_name: str = ""
    next_state_name: str = ""
    state: int = 0


def check_model(data: bytes) -> ModelShape:
    """Check the bytes of an ONNX file and return its shape.

    The caller has verified their hash and size. Raises `ModelError`, which says what is not accepted.
    """
    try:
        model = onnx.load_model_from_string(data)
    except Exception as error:  # the protobuf library behind onnx decides which one
        raise ModelError("policy.onnx is not an ONNX file, or is truncated; export the policy again") from error
    _check_header(model)
    _check_nodes(model.graph)
    _check_weights(model.graph)
    _check_values(model)
    given, made = model.graph.input, model.graph.output
    if len(given) != len(made) or len(given) not in (1, 2):
        raise ModelError(
            f"expected one input and one output, or two of each, the second ones a state, got {len(given)} and "
            f"{len(made)}"
        )
    shape = ModelShape(*_row(given[0], "input", INPUT_MAX), *_row(made[0], "output", OUTPUT_MAX))
    if len(given) == 1:
        return shape
    (state_name, state), (next_name, left) = (_row(values[1], "state", STATE_MAX) for values in (given, made))
    if state != left:
        raise ModelError(f"the network is given a state of {state} values and leaves one of {left}; they must be equal")
    return replace(shape, state_name=state_name, next_state_name=next_name, state=state)


def _check_header(model: onnx.ModelProto) -> None:
    opsets = [(entry.domain or "ai.onnx", entry.version) for entry in model.opset_import]
    if len(opsets) != 1 or opsets[0][0] != "ai.onnx" or not OPSET_MIN <= opsets[0][1] <= OPSET_MAX:
        raise ModelError(f"expected one operator set, ai.onnx {OPSET_MIN} to {OPSET_MAX}, got {opsets}")
    if model.functions or model.training_info:
        raise ModelError("the model brings functions or training steps; export the plain inference graph")


def _check_nodes(graph: onnx.GraphProto) -> None:
    if not 1 <= len(graph.node) <= NODES_MAX:
        raise ModelError(f"expected 1 to {NODES_MAX} nodes, got {len(graph.node)}")
    for node in graph.node:
        if node.domain not in ("", "ai.onnx") or node.op_type not in OPERATORS:
            name = f"{node.domain}.{node.op_type}" if node.domain else node.op_type
            raise ModelError(
                f"operator {name} is not on the list of what a policy may use: {', '.join(sorted(OPERATORS))}"
            )
        for attribute in node.attribute:
            if attribute.HasField("g") or attribute.graphs:
                raise ModelError(f"operator {node.op_type} carries a subgraph; a policy has no control flow")
            if attribute.HasField("sparse_tensor") or attribute.sparse_tensors or attribute.ref_attr_name:
                raise ModelError(
                    f"operator {node.op_type} carries a sparse or indirect attribute; export plain tensors"
                )
            for tensor in [*([attribute.t] if attribute.HasField("t") else []), *attribute.tensors]:
                _check_tensor(tensor)


def _check_weights(graph: onnx.GraphProto) -> None:
    if graph.sparse_initializer:
        raise ModelError("the model has sparse weights; export plain tensors")
    for tensor in graph.initializer:
        _check_tensor(tensor)


def _check_tensor(tensor: onnx.TensorProto) -> None:
    if tensor.external_data or tensor.data_location == onnx.TensorProto.EXTERNAL:
        raise ModelError(
            f"weight {tensor.name!r} lies outside the file; only hashed bytes are loaded: export in one file"
        )
    if any(size < 0 for size in tensor.dims) or prod(tensor.dims) > VALUE_ELEMENTS_MAX:
        raise ModelError(
            f"weight {tensor.name!r} has dimensions {list(tensor.dims)}; at most {VALUE_ELEMENTS_MAX} elements"
        )


def _check_values(model: onnx.ModelProto) -> None:
    """Every intermediate value must have a known shape of bounded size, whatever the input holds."""
    try:
        onnx.checker.check_model(model)
        inferred = onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True, data_prop=False)
    except Exception as error:  # onnx raises bare exceptions of many kinds
        raise ModelError(f"onnx refuses the graph: {str(error).splitlines()[0]}") from error
    known = {tensor.name for tensor in inferred.graph.initializer}
    total = 0
    for value in [*inferred.graph.input, *inferred.graph.output, *inferred.graph.value_info]:
        sizes = _sizes(value)
        if sizes is None or prod(sizes) > VALUE_ELEMENTS_MAX:
            raise ModelError(
                f"value {value.name!r} needs a static shape of at most {VALUE_ELEMENTS_MAX} elements, has {sizes}"
            )
        known.add(value.name)
        total += prod(sizes)
    if total > TOTAL_ELEMENTS_MAX:
        raise ModelError(f"the values of one decision have {total} elements, at most {TOTAL_ELEMENTS_MAX} are allowed")
    _check_sequences(inferred.graph)
    unknown = [name for node in inferred.graph.node for name in node.output if name and name not in known]
    if unknown:
        raise ModelError(f"value {unknown[0]!r} has no static shape; export with a fixed batch of one")


def _check_sequences(graph: onnx.GraphProto) -> None:
    """An LSTM multiplies its weights by every element of its sequence: of one decision there is one."""
    shapes = {value.name: _sizes(value) for value in [*graph.input, *graph.output, *graph.value_info]}
    shapes |= {tensor.name: [int(size) for size in tensor.dims] for tensor in graph.initializer}
    for node in graph.node:
        sequence = shapes.get(node.input[0]) if node.op_type == "LSTM" else [1, 1]
        if sequence is None or sequence[:2] != [1, 1]:
            raise ModelError(
                f"operator LSTM reads a sequence of shape {sequence}, expected one observation: [1, 1, ...]"
            )


def _sizes(value: onnx.ValueInfoProto) -> list[int] | None:
    kind = value.type.tensor_type
    if not value.type.HasField("tensor_type") or not kind.HasField("shape"):
        return None
    sizes = [int(dim.dim_value) if dim.HasField("dim_value") else -1 for dim in kind.shape.dim]
    return None if any(size < 0 for size in sizes) else sizes


def _row(value: onnx.ValueInfoProto, what: str, size_max: int) -> tuple[str, int]:
    """Name and width of a float32[1, width] input, output or state."""
    sizes = _sizes(value)
    kind = value.type.tensor_type.elem_type
    if sizes is None or len(sizes) != 2 or sizes[0] != 1 or not 1 <= sizes[1] <= size_max:
        raise ModelError(f"expected an {what} of shape [1, 1..{size_max}], got {sizes}")
    if kind != onnx.TensorProto.FLOAT:
        raise ModelError(f"expected a float32 {what}, got element type {kind}")
    return value.name, sizes[1]
