"""What a real Kubeflow Pipelines and Kubernetes said, unchanged: see kfp-2.17/README.md."""

import gzip
import json
import re
from pathlib import Path
from typing import Any

KFP = Path(__file__).parent / "kfp-2.17"

_SINCE_RENAMED = {
    "figure": "metric",
    "image_size": "input_size",
    "frame": "decode_scale",
    "views": "test_time_augmentation",
}
"""Fields of our own recipes and policies, as they were called when the runs were recorded, and as they are now."""


def recorded(name: str) -> Any:
    """The JSON document at `name` below the recordings, such as "api/run-reused.json" or "kubernetes/pods.json.gz"."""
    content = (KFP / name).read_bytes()
    return json.loads(gzip.decompress(content) if name.endswith(".gz") else content)


def in_present_words(document: Any) -> Any:
    """A recorded document whose recipes and policies (JSON within texts) have the fields that they have now."""
    text = json.dumps(document)
    for old, new in _SINCE_RENAMED.items():
        text = re.sub(rf'(\\+"){old}(\\+":)', rf"\1{new}\2", text)
    return json.loads(text)
