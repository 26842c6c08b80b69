"""A runtime in its own process: benchmarks/speed/peers.py starts it and tells it when to run.

    python -m benchmarks.speed.peer NAME JSON

JSON names files, threads and options. Each line of standard input is a request ({"time": 50}, {"answer": "FILE.npy"});
one line of JSON is the reply. Images are uint8 (1, S, S, 3), RGB, as in the test split.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Run = Callable[[npt.NDArray[np.uint8]], npt.NDArray[np.float32]]
"""From uint8 (1, S, S, 3) to float32 (1, C)."""


def keras_predict(options: dict[str, Any]) -> Run:
    """`model.predict`, as in tutorials."""
    model = _keras_model(options)
    return lambda image: model.predict(image, verbose=0)


def keras_call(options: dict[str, Any]) -> Run:
    """`model(x)`, as Keras recommends for small inputs."""
    model = _keras_model(options)
    return lambda image: model(image, training=False).numpy()


def tf_function(options: dict[str, Any]) -> Run:
    """A traced function of fixed shape."""
    import tensorflow as tf

    model = _keras_model(options)
    size = options["size"]
    traced = tf.function(
        lambda image: model(image, training=False),
        input_signature=[tf.TensorSpec((1, size, size, 3), tf.uint8)],
        jit_compile=options.get("xla", False),
    ).get_concrete_function()
    return lambda image: traced(tf.constant(image)).numpy()


def litert(options: dict[str, Any]) -> Run:
    """LiteRT with its default, XNNPACK."""
    # Not installed with the project, nor typed.
    interpreter = import_module("ai_edge_litert.interpreter").Interpreter(
        model_path=options["model"], num_threads=options["threads"]
    )
    interpreter.allocate_tensors()
    (given,), (made,) = interpreter.get_input_details(), interpreter.get_output_details()
    scale, zero = made["quantization"]

    def run(image: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        interpreter.set_tensor(given["index"], image.astype(given["dtype"], copy=False))
        interpreter.invoke()
        output: npt.NDArray[Any] = interpreter.get_tensor(made["index"])
        return np.asarray((output.astype(np.float32) - zero) * scale if scale else output, np.float32)

    return run


def openvino(options: dict[str, Any]) -> Run:
    """OpenVINO's own Python API for latency: a static batch of one, one request for all images."""
    core = import_module("openvino").Core()
    model = core.read_model(options["model"])
    size = options["size"]
    model.reshape([1, size, size, 3])
    settings = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": options["threads"], "NUM_STREAMS": "1"}
    settings["INFERENCE_PRECISION_HINT"] = options.get("precision", "f32")
    compiled = core.compile_model(model, "CPU", settings)
    request, wanted = compiled.create_infer_request(), compiled.output("probabilities")

    def run(image: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        request.infer({0: image}, share_inputs=True)
        return np.array(request.get_tensor(wanted).data)

    return run


def pytorch(options: dict[str, Any]) -> Run:
    """PyTorch in channels-last, with the weights of the graph whose normalisations are folded."""
    import torch

    torch.set_num_threads(options["threads"])
    half = options.get("precision") == "bf16"
    network = _torch_network(options["model"]).to(memory_format=torch.channels_last).eval()
    network = network.bfloat16() if half else network
    run_network: Any = torch.compile(network) if options.get("compile") else network

    def run(image: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        with torch.inference_mode():
            planes = torch.from_numpy(image).permute(0, 3, 1, 2).to(torch.bfloat16 if half else torch.float32)
            probabilities: npt.NDArray[np.float32] = torch.softmax(run_network(planes).float(), 1).numpy()
            return probabilities

    return run


def onnxruntime_plain(options: dict[str, Any]) -> Run:
    """ONNX Runtime as in its own documentation, except for the number of threads."""
    import onnxruntime

    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = options["threads"]
    session = onnxruntime.InferenceSession(options["model"], settings, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda image: session.run(["probabilities"], {name: image})[0]


def asl_edge(options: dict[str, Any]) -> Run:
    """Our Predictor: images in, probabilities out."""
    from asl_edge.runtime.predictor import Predictor

    predictor = Predictor(
        options["model"],
        provider=options.get("provider", "cpu"),
        threads=options["threads"],
        provider_options=options.get("provider_options"),
    )
    return lambda image: predictor.probabilities(image)


def _keras_model(options: dict[str, Any]) -> Any:
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(options["threads"])
    tf.config.threading.set_inter_op_parallelism_threads(1)
    from asl_edge.export.source.open_source import open_source

    return open_source(options["run"]).model


def _torch_network(path: str) -> Any:
    """Build a module from the nodes of a folded ONNX graph: Conv, Relu, MaxPool, Gemm, Reshape."""
    import onnx
    import torch
    from onnx import helper, numpy_helper

    graph = onnx.load(path).graph
    stored = {tensor.name: torch.from_numpy(numpy_helper.to_array(tensor).copy()) for tensor in graph.initializer}
    layers: list[Any] = []
    last = next(node.input[0] for node in graph.node if "probabilities" in node.output)
    needed = {last}
    for node in reversed(graph.node):
        if needed & set(node.output):
            needed |= {name for name in node.input if name not in stored}
    for node in graph.node:
        if not needed & set(node.output):
            continue
        given = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
        if node.op_type == "Conv":
            kernel = stored[node.input[1]]
            pads = given.get("pads", [0, 0, 0, 0])
            if pads[:2] != pads[2:]:
                layers.append(torch.nn.ZeroPad2d((pads[1], pads[3], pads[0], pads[2])))
                pads = [0, 0, 0, 0]
            layer: Any = torch.nn.Conv2d(
                kernel.shape[1], kernel.shape[0], kernel.shape[2:], given.get("strides", [1, 1]), tuple(pads[:2])
            )
            layer.weight.data, layer.bias.data = kernel, stored[node.input[2]]
        elif node.op_type == "Gemm":
            kernel = stored[node.input[1]]
            kernel = kernel if given.get("transB") else kernel.T.contiguous()
            layer = torch.nn.Linear(kernel.shape[1], kernel.shape[0])
            layer.weight.data, layer.bias.data = kernel, stored[node.input[2]]
        elif node.op_type == "Relu":
            layer = torch.nn.ReLU()
        elif node.op_type == "MaxPool":
            layer = torch.nn.MaxPool2d(given["kernel_shape"], given.get("strides", [1, 1]))
        elif node.op_type in ("Reshape", "Flatten"):
            layer = torch.nn.Flatten()
        elif node.op_type in ("Transpose", "Cast") and not layers:
            continue
        else:
            raise SystemExit(f"{node.op_type} {node.name}: no translation to PyTorch")
        layers.append(layer)
    return torch.nn.Sequential(*layers)


WAYS: dict[str, Callable[[dict[str, Any]], Run]] = {
    "keras-predict": keras_predict,
    "keras-call": keras_call,
    "tf-function": tf_function,
    "litert": litert,
    "openvino": openvino,
    "pytorch": pytorch,
    "onnxruntime": onnxruntime_plain,
    "asl-edge": asl_edge,
}
"""How each runtime runs."""


def main() -> None:
    """Load the model, report that it is ready, and serve requests."""
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # so that what libraries print goes to standard error
    options = json.loads(sys.argv[2])
    images = np.load(options["images"], mmap_mode="r")
    began = time.perf_counter()
    run = WAYS[sys.argv[1]](options)
    for number in range(10):
        run(np.ascontiguousarray(images[number : number + 1]))
    reply: Any = {"ready_seconds": time.perf_counter() - began, "versions": _versions()}
    samples = [np.ascontiguousarray(images[number : number + 1]) for number in range(min(32, len(images)))]
    print(json.dumps(reply), file=replies, flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        if "time" in request:
            for image in samples[:3]:
                run(image)
            reply = []
            for number in range(request["time"]):
                image = samples[number % len(samples)]
                started = time.perf_counter_ns()
                run(image)
                reply.append((time.perf_counter_ns() - started) / 1e6)
        else:
            outputs = [run(np.ascontiguousarray(images[number : number + 1]))[0] for number in range(len(images))]
            np.save(request["answer"], np.stack(outputs))
            reply = Path(request["answer"]).name
        print(json.dumps(reply), file=replies, flush=True)


def _versions() -> dict[str, str]:
    from importlib import metadata

    names = ("keras", "tensorflow", "ai-edge-litert", "openvino", "torch", "onnxruntime", "onnxruntime-openvino")
    imported = {name: name.replace("-openvino", "").replace("-", "_") for name in names}
    return {name: metadata.version(name) for name, module in imported.items() if module in sys.modules and _has(name)}


def _has(name: str) -> bool:
    from importlib import metadata

    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        return False
    return True


if __name__ == "__main__":
    main()
