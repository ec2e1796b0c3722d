"""KFP adapter of the export step."""

from kfp import dsl
from kfp.dsl import Artifact, Input, Model, Output

from lesionflow.runtime.container_image import CPU_IMAGE


@dsl.component(base_image=CPU_IMAGE, install_kfp_package=False)
def export(
    model: Input[Model],
    evaluation: Input[Artifact],
    bundle: Output[Model],
):
    """Write the model in the formats of other programs, and check that they answer alike.

    The SavedModel in `saved_model/1` is what TensorFlow Serving and KServe's tensorflow runtime serve unchanged:
    encoded JPEG or PNG files in (`image_bytes`), calibrated `probabilities`, `labels`, `predicted` and `abstain` out.
    Decoding, turning upright by EXIF, resizing and test-time augmentation are inside, by the rules of predict. Other
    formats and images of over 64 megapixels are refused: what predict reads beside (TIFF, WebP, BMP, JPEG 2000) is
    to be sent as PNG. A second signature, `pixels`, takes decoded images of the network's size. One damaged image
    fails the whole request, as no operator of TensorFlow can skip it: send the images of that request again one by
    one. `model.onnx` takes `pixels` and answers `probabilities`. Nothing is exported if a probability differs by
    more than 0.0001 from the Keras model's on drawn JPEG and PNG images.

    Args:
        model: the fine-tuned model.
        evaluation: the JSON file that evaluate wrote.
        bundle: the model folder with calibration.json, saved_model/1/ and model.onnx beside the model.
    """
    from dataclasses import asdict

    from lesionflow.components.export.export import export as run
    from lesionflow.runtime.step import run_step

    result = run_step("export", run, model=model.path, evaluation=evaluation.path, bundle=bundle.path)
    bundle.metadata.update(asdict(result))
