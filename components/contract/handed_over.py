"""What a cluster handed to a step."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class HandedOver:
    """An input artifact as a step sees it."""

    path: str
    metadata: Mapping[str, Any]
