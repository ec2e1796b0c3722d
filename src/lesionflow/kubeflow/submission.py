"""What is sent to a cluster for one run: the compiled pipeline, its parameters, and what everything is called."""

import hashlib
import json
import secrets
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import Any

import yaml

from lesionflow.errors import UserError
from lesionflow.kubeflow.compile import compile_pipeline, uploaded_as
from lesionflow.kubeflow.values import check_uri
from lesionflow.profile import ClusterProfile
from lesionflow.runtime.container_images import read_pins


@dataclass(frozen=True)
class Submission:
    """Everything that is sent, and nothing secret."""

    pipeline: str
    """Name of the pipeline."""
    package: str
    """The compiled pipeline."""
    version: str
    """Name of the pipeline version, which holds a digest of `package`: what did not change is not sent again."""
    images: tuple[str, ...]
    unpinned: tuple[str, ...]
    """Those of `images` that are named by tag; `check_pinned` refuses them."""
    parameters: Mapping[str, Any]
    experiment: str
    run_name: str
    service_account: str
    pipeline_root: str | None
    object_store: str | None
    """Where the pods' s3:// leads; None for Amazon's."""


def prepare_submission(
    profile: ClusterProfile,
    parameters: Mapping[str, Any],
    experiment: str,
    run_name: str | None,
    service_account: str | None,
    pipeline_root: str | None,
    folds: int | None = None,
) -> Submission:
    """Compile the pipeline, with `folds` that of a cross-validation, and decide what everything is called.

    Nothing is sent.

    Raises:
        UserError: pods cannot see the pipeline root.
    """
    if pipeline_root is not None:
        check_uri("--pipeline-root", pipeline_root)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "pipeline.yaml")
        unpinned = compile_pipeline(file, profile, pins=read_pins(), kubernetes_manifest=False, folds=folds)
        package = file.read_text(encoding="utf-8")
    name = uploaded_as(profile, folds)
    return describe(name, package, unpinned, profile, parameters, experiment, run_name, service_account, pipeline_root)


def describe(
    pipeline: str,
    package: str,
    unpinned: Sequence[str],
    profile: ClusterProfile,
    parameters: Mapping[str, Any],
    experiment: str,
    run_name: str | None,
    service_account: str | None,
    pipeline_root: str | None,
) -> Submission:
    """Decide what everything of a compiled pipeline is called.

    Args:
        pipeline: its name.
        package: as compiled.
        unpinned: its images that are named by tag.
        profile: for which it was compiled.
        parameters: here and below, of the run.
    """
    documents: list[Any] = list(yaml.safe_load_all(package))
    digest = package_digest(documents)
    executors = documents[0]["deploymentSpec"]["executors"].values()
    now = datetime.now(UTC)
    return Submission(
        pipeline=pipeline,
        package=package,
        version=f"{installed_version('lesionflow')}-{digest[:8]}",
        images=tuple(sorted({executor["container"]["image"] for executor in executors if "container" in executor})),
        unpinned=tuple(unpinned),
        parameters=parameters,
        experiment=experiment,
        run_name=run_name or f"run-{now:%Y%m%d-%H%M%S}-{secrets.token_hex(2)}",
        service_account=service_account or profile.service_account,
        pipeline_root=pipeline_root,
        object_store=profile.object_store.endpoint if profile.object_store else None,
    )


def check_pinned(submission: Submission) -> None:
    """Refuse images named by tag.

    Raises:
        UserError: there is one.
    """
    if submission.unpinned:
        raise UserError(
            f"The image {submission.unpinned[0]} is not pinned by digest, so KFP would reuse results of older code; "
            "build and push the images with `make images REPOSITORY=...`, then submit again."
        )


def package_digest(documents: Sequence[Mapping[str, Any]]) -> str:
    """A digest of what a compiled pipeline's documents say, but for the version of the compiler."""
    said = [{key: value for key, value in document.items() if key != "sdkVersion"} for document in documents]
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()
