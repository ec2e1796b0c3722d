"""EfficientNetV2-B0, the default: the most accurate of its size when it was published."""

from typing import TYPE_CHECKING

from lesionflow.models.backbone import Backbone, PublishedWeights

if TYPE_CHECKING:
    import keras


def build(input_size: int) -> "keras.Model":
    """Build it with its own preprocessing in front and its features averaged over the image."""
    import keras

    return keras.applications.EfficientNetV2B0(
        include_top=False,
        weights=None,  # pyright: ignore[reportArgumentType]
        input_shape=(input_size, input_size, 3),
        pooling="avg",
        include_preprocessing=True,
    )


BACKBONE = Backbone(
    about="EfficientNetV2-B0 (Tan and Le 2021, arXiv 2104.00298)",
    build=build,
    tensors=359,
    values=5_919_312,
    published=PublishedWeights(
        file="efficientnetv2-b0_notop.h5",
        address="https://storage.googleapis.com/tensorflow/keras-applications/efficientnet_v2/efficientnetv2-b0_notop.h5",
        md5="893217f2bb855e2983157299931e43ff",
        application="EfficientNetV2B0",
    ),
)
