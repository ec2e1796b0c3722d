"""The model as ONNX, from decoded pixels at the network's size."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lesionflow.artifacts.model_folder import Calibration
from lesionflow.components.export.saved_model import calibrated_function, frozen

if TYPE_CHECKING:
    import keras

INPUT = "pixels"
"""float32, (n, size, size, 3): RGB in 0..255."""
OUTPUT = "probabilities"
"""float32, (n, classes): calibrated, in the order of the labels."""
_OPSET = 17  # of the year 2021, so that old runtimes read it too


def write_onnx(network: "keras.Model", size: int, calibration: Calibration, path: Path) -> None:
    """Write the network as an ONNX file from `INPUT` to `OUTPUT`.

    Not with `model.export(format="onnx")`: there tf2onnx turns each constant that the traced function captures into
    an input that the caller must fill (EfficientNetV2's normalization has two), and keras.layers.Resizing with
    antialiasing into an operator that ONNX does not have. So the graph is frozen first, and starts after the resizing.

    Args:
        network: RGB in 0..255 at its own size, (n, size, size, 3) -> probabilities (n, classes).
        size: in pixels.
        calibration: of its probabilities.
        path: to write.
    """
    import onnx
    import tf2onnx

    graph, entry, answer = frozen(calibrated_function(network, size, calibration))
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
    """What the ONNX file answers, in ONNX Runtime on a CPU."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return np.asarray(session.run([OUTPUT], {INPUT: pixels})[0])
