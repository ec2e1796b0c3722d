"""The model as ONNX, from decoded pixels at the network's size."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lesionflow.artifacts.model_folder import ONNX
from lesionflow.compat.tensorflow_graph import frozen
from lesionflow.components.export.export_format import ExportFormat, Network, Pictures

INPUT = "pixels"
"""float32, (n, size, size, 3): RGB in 0..255."""
OUTPUT = "probabilities"
"""float32, (n, classes): calibrated, in the order of the labels."""
_OPSET = 17  # of the year 2021, so that old runtimes read it too


def write(network: Network, path: Path) -> None:
    """Write the network as an ONNX file from `INPUT` to `OUTPUT`.

    Not with `model.export(format="onnx")`: there tf2onnx turns each constant that the traced function captures into
    an input that the caller must fill (EfficientNetV2's normalization has two), and keras.layers.Resizing with
    antialiasing into an operator that ONNX does not have. So the graph is frozen first, and starts after the resizing.
    """
    import onnx
    import tf2onnx

    graph, entry, answer = frozen(network.calibrated())
    convert: Any = tf2onnx.convert.from_graph_def
    model, _ = convert(
        graph,
        input_names=[entry],
        output_names=[answer],
        opset=_OPSET,
        tensors_to_rename={entry: INPUT, answer: OUTPUT},
    )
    _round_up_scales(model)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, str(path))


def _round_up_scales(model: Any) -> None:
    """Make each Resize give the size it was asked for: ONNX takes floor(size * scale).

    tf2onnx writes 96 / 115 as a float32 a little smaller, which makes 95 of 115 pixels. A millionth more moves no
    pixel by as much as a thousandth of one.
    """
    from onnx import numpy_helper

    constants = {constant.name: constant for constant in model.graph.initializer}
    names = {node.input[2] for node in model.graph.node if node.op_type == "Resize" and node.input[2]}
    for name in names:
        scales = numpy_helper.to_array(constants[name])
        larger = np.where(scales == 1, scales, scales * np.float32(1 + 1e-6))
        constants[name].CopyFrom(numpy_helper.from_array(larger.astype(np.float32), name))


def ask(path: Path, pixels: NDArray[np.float32]) -> NDArray[np.float32]:
    """Ask the ONNX file, in ONNX Runtime on a CPU."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return np.asarray(session.run([OUTPUT], {INPUT: pixels})[0])


def answers(path: Path, pictures: Pictures) -> dict[str, NDArray[Any]]:
    """Ask with decoded pixels, the one way there is."""
    return {"ONNX": ask(path, pictures.pixels)}


FORMAT = ExportFormat("ONNX", ONNX, needs=("tf2onnx", "onnx", "onnxruntime"), write=write, answers=answers)
