"""The user tower as two portable files: ONNX and a SavedModel, both with the same bytes every time.

Both exporters name things by counters and by hash order, and stamp what they write with random fingerprints.
So each graph is frozen (weights become constants), cut down to what its output needs, and its nodes are
renamed in the order in which a depth-first walk from the output meets them.
"""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

#: Names of the signature; the bundle's README describes it, and the inputs, which are named as the model's.
OUTPUT: Final = "user_vector"
SIGNATURE: Final = "serving_default"


def save_onnx(model: Any, path: Path) -> None:
    """Write a Keras user tower as ONNX: ``pooled`` float32 [batch, P], ``categorical`` int32 [batch, C] and
    ``vectors`` float32 [batch, V] (each left out where the tower does not read it) to ``user_vector`` float32
    [batch, dim]."""
    import onnx

    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        # Keras mends np.object for tf2onnx, and numpy warns of it.
        warnings.filterwarnings("ignore", category=FutureWarning, module="keras")
        raw = Path(folder) / "model.onnx"
        model(
            {tensor.name: np.zeros((1, tensor.shape[-1]), tensor.dtype) for tensor in model.inputs}
        )  # or Keras refuses
        model.export(str(raw), format="onnx", verbose=False)
        exported = onnx.load(str(raw))
    canonical = _canonical_onnx(exported)
    onnx.checker.check_model(canonical)
    path.write_bytes(canonical.SerializeToString(deterministic=True))


def save_saved_model(model: Any, folder: Path) -> None:
    """Write a Keras user tower as a frozen SavedModel with the signature ``serving_default``, of the same inputs."""
    import tensorflow as tf
    from tensorflow.core.protobuf import saved_model_pb2
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    inputs = {tensor.name: tensor for tensor in model.inputs}
    read = [inputs[name] for name in sorted(inputs) if inputs[name].shape[-1]]
    specs = [tf.TensorSpec([None, tensor.shape[-1]], tensor.dtype, name=tensor.name) for tensor in read]

    def tower(*tensors: Any) -> Any:
        empty = {name: tf.zeros([tf.shape(tensors[0])[0], 0], tensor.dtype) for name, tensor in inputs.items()}
        return model(empty | {spec.name: tensor for spec, tensor in zip(specs, tensors, strict=True)}, training=False)

    frozen = convert_variables_to_constants_v2(tf.function(tower).get_concrete_function(*specs))
    saved = saved_model_pb2.SavedModel(saved_model_schema_version=1)
    meta = saved.meta_graphs.add()
    meta.meta_info_def.tags.append(tf.saved_model.SERVING)
    meta.meta_info_def.tensorflow_version = tf.__version__
    meta.graph_def.CopyFrom(_canonical_graph(frozen, [spec.name for spec in specs]))
    meta.signature_def[SIGNATURE].CopyFrom(_signature(specs, frozen.outputs[0]))
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "saved_model.pb").write_bytes(saved.SerializeToString(deterministic=True))


def _signature(specs: Sequence[Any], output: Any) -> Any:
    from tensorflow.core.protobuf import meta_graph_pb2

    signature = meta_graph_pb2.SignatureDef(method_name="tensorflow/serving/predict")
    tensors = [(signature.inputs, spec.name, spec) for spec in specs] + [(signature.outputs, OUTPUT, output)]
    for group, name, spec in tensors:
        group[name].name = f"{name}:0"
        group[name].dtype = spec.dtype.as_datatype_enum
        group[name].tensor_shape.CopyFrom(spec.shape.as_proto())
    return signature


def _canonical_graph(frozen: Any, inputs: Sequence[str]) -> Any:
    """The GraphDef of a frozen function, without control edges, node names by their place in the walk."""
    from tensorflow.core.framework import graph_pb2

    source = frozen.graph.as_graph_def()
    nodes = {node.name: node for node in source.node}
    last = frozen.outputs[0].op.name
    order = _walk(last, lambda name: [_node_of(i) for i in nodes[name].input if not i.startswith("^")])
    order = [*inputs, *(name for name in order if name not in inputs)]
    names = {name: name if name in inputs else f"{nodes[name].op}_{i}" for i, name in enumerate(order)}
    names[last] = OUTPUT
    graph = graph_pb2.GraphDef(versions=source.versions)
    for name in order:
        node = graph.node.add(name=names[name], op=nodes[name].op)
        for tensor in nodes[name].input:
            if not tensor.startswith("^"):
                _, colon, port = tensor.partition(":")
                node.input.append(names[_node_of(tensor)] + colon + port)
        for key, value in nodes[name].attr.items():
            if not key.startswith("_"):
                node.attr[key].CopyFrom(value)
    return graph


def _canonical_onnx(model: Any) -> Any:
    """The same model, its nodes, constants and names in the order of the walk."""
    import onnx

    graph = model.graph
    (last,) = graph.output
    makers = {tensor: node for node in graph.node for tensor in node.output}
    constants = {tensor.name: tensor for tensor in graph.initializer}
    order = _walk(last.name, lambda tensor: list(makers[tensor].input) if tensor in makers else [])
    stems = [makers[tensor].op_type if tensor in makers else "constant" for tensor in order]
    names = {tensor: f"{stem}_{i}" for i, (tensor, stem) in enumerate(zip(order, stems, strict=True))}
    names |= {"": "", last.name: OUTPUT} | {tensor.name: tensor.name for tensor in graph.input}
    nodes = {id(makers[tensor]): makers[tensor] for tensor in order if tensor in makers}
    values = [onnx.numpy_helper.to_array(constants[tensor]) for tensor in order if tensor in constants]
    labels = [names[tensor] for tensor in order if tensor in constants]
    tensors = [onnx.numpy_helper.from_array(value, label) for value, label in zip(values, labels, strict=True)]
    read = [end for end in graph.input if end.name in order]
    inputs = [_described(end, names) for end in sorted(read, key=lambda end: str(end.name))]
    renamed = [_renamed(node, names) for node in nodes.values()]
    canonical = onnx.helper.make_graph(renamed, "user_tower", inputs, [_described(last, names)], tensors)
    return onnx.helper.make_model(canonical, opset_imports=model.opset_import, ir_version=model.ir_version)


def _renamed(node: Any, names: dict[str, str]) -> Any:
    """A copy of an ONNX node under its new names; an output that nothing reads is left out."""
    import onnx

    copy = onnx.NodeProto()
    copy.CopyFrom(node)
    copy.input[:] = [names[tensor] for tensor in node.input]
    copy.output[:] = [names.get(tensor, "") for tensor in node.output]
    copy.name = next(name for name in copy.output if name)
    copy.doc_string = ""
    return copy


def _described(end: Any, names: dict[str, str]) -> Any:
    import onnx

    shape = [dim.dim_value or "batch" for dim in end.type.tensor_type.shape.dim]
    return onnx.helper.make_tensor_value_info(names[end.name], end.type.tensor_type.elem_type, shape)


def _walk(last: str, sources: Callable[[str], list[str]]) -> list[str]:
    """Every name that ``last`` needs, each after its ``sources``, first source first."""
    order: dict[str, None] = {}
    stack = [(last, False)]
    while stack:
        name, done = stack.pop()
        if done:
            order[name] = None
        elif name and name not in order:
            stack.append((name, True))
            stack.extend((source, False) for source in reversed(sources(name)))
    return list(order)


def _node_of(tensor: str) -> str:
    return tensor.partition(":")[0]
