"""A whole training stays below the size past which Kubeflow Pipelines no longer follows it."""

import importlib.util
import sys
from pathlib import Path
from typing import Any


def test_a_training_whose_every_step_is_executed_can_be_followed() -> None:
    file = Path(__file__).parents[3] / "benchmarks" / "workflow_size.py"
    specification: Any = importlib.util.spec_from_file_location("workflow_size", file)
    workflow_size: Any = importlib.util.module_from_spec(specification)
    sys.modules["workflow_size"] = workflow_size  # dataclasses look their module up
    specification.loader.exec_module(workflow_size)
    sizes = workflow_size.Sizes.measured()
    recorded, now = sizes.of(list(sizes.now))
    assert recorded > workflow_size.LIMIT > now
