"""The images in which the steps run on a cluster, by name; `images/build.py` builds them.

These are placeholders: the compiler puts `repository@sha256:...` in their place.
"""

LEAN_IMAGE = "lesionflow:lean"
"""Everything but Keras and TensorFlow: ingest, split, balance, gate and the like."""

CPU_IMAGE = "lesionflow:cpu"
GPU_IMAGE = "lesionflow:gpu"

WEIGHTS_FOLDER = "/opt/weights/"
"""In every image: the starting weights that were in images/weights when it was built."""
