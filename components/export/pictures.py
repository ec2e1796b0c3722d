"""Pictures to compare a model's exports on: drawn, so that the check needs no data, and alike each time."""

import io

import numpy as np
from PIL import Image


def encoded_pictures(size: int) -> list[bytes]:
    """Blurred lesions on skin as JPEG and PNG: larger and smaller than the network's size, colour and grey.

    Args:
        size: the network's, in pixels.
    """
    random = np.random.default_rng(0)
    shapes = [(2, 1.5), (5, 3.75), (9, 9), (1, 1), (0.7, 0.5), (1.3, 2.1)]  # width and height, as multiples of `size`
    pictures: list[bytes] = []
    for across, down in shapes:
        width, height = round(size * across), round(size * down)
        y, x = np.mgrid[0:height, 0:width]
        radius = np.hypot((x / width - random.uniform(0.3, 0.7)) * 2.5, (y / height - random.uniform(0.3, 0.7)) * 3)
        skin, lesion = random.uniform(140, 230, 3), random.uniform(30, 140, 3)
        pixels = skin + (lesion - skin) / (1 + np.exp(9 * (radius - random.uniform(0.4, 0.9))))[..., None]
        pixels += random.normal(0, 9, pixels.shape)
        image = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
        pictures += [
            _encoded(image, "JPEG", quality=95, subsampling=0),
            _encoded(image, "JPEG", quality=75, subsampling=2, progressive=True),
            _encoded(image.convert("L"), "JPEG"),
            _encoded(image.convert("RGBA"), "PNG"),
        ]
    return pictures


def _encoded(image: Image.Image, kind: str, **options: int) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()
