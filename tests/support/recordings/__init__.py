"""What a real Kubeflow Pipelines and Kubernetes said, unchanged: see kfp-2.17/README.md."""

import gzip
import json
from pathlib import Path
from typing import Any

KFP = Path(__file__).parent / "kfp-2.17"


def recorded(name: str) -> Any:
    """The JSON document at `name` below the recordings, such as "api/run-reused.json" or "kubernetes/pods.json.gz"."""
    content = (KFP / name).read_bytes()
    return json.loads(gzip.decompress(content) if name.endswith(".gz") else content)
