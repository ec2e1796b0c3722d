"""The compiled pipelines, whole, in files that a person can review: `__snapshots__/test_golden/`.

After a wanted change: `scripts/test --snapshot-update tests/unit/pipelines/test_golden.py`, then read `git diff`.
"""

from pathlib import Path
from typing import Any

import pytest
import yaml
from reviewable import graph, pods
from syrupy.assertion import SnapshotAssertion
from syrupy.extensions.single_file import SingleFileSnapshotExtension, WriteMode

from lesionflow.kubeflow.compile import compile_pipeline
from lesionflow.profile import PROFILES, load_profile

PINS = {f"lesionflow:{name}": f"{name}@sha256:..." for name in ("lean", "cpu", "gpu")}


class TextFile(SingleFileSnapshotExtension):
    """A snapshot in a text file of its own."""

    _write_mode = WriteMode.TEXT
    file_extension = "txt"


def _compiled(folder: Path, profile: str, folds: int | None = None) -> tuple[Any, Any]:
    compile_pipeline(folder / "p.yaml", load_profile(profile), PINS, kubernetes_manifest=False, folds=folds)
    spec, platform = yaml.safe_load_all((folder / "p.yaml").read_text())
    return spec, platform["platforms"]["kubernetes"]


@pytest.mark.parametrize("profile", PROFILES)
def test_what_a_profile_asks_of_a_cluster(profile: str, tmp_path: Path, snapshot: SnapshotAssertion):
    assert pods(*_compiled(tmp_path, profile)) == snapshot(extension_class=TextFile)


def test_what_a_cross_validation_asks_of_a_cluster(tmp_path: Path, snapshot: SnapshotAssertion):
    assert pods(*_compiled(tmp_path, "gke", folds=5)) == snapshot(extension_class=TextFile)


@pytest.mark.parametrize("folds", [None, 5])
def test_how_the_tasks_are_wired_whatever_the_profile(folds: int | None, tmp_path: Path, snapshot: SnapshotAssertion):
    graphs = {graph(_compiled(tmp_path, profile, folds)[0]) for profile in PROFILES}

    assert len(graphs) == 1
    assert graphs.pop() == snapshot(extension_class=TextFile)
