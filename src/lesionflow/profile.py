"""What the pipeline's pods ask of a cluster: one typed profile, built in or from a file."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator

from lesionflow.errors import UserError
from lesionflow.settings_text import check_settings

# The spellings that both kfp and Kubernetes accept.
Cpu = Annotated[str, Field(pattern=r"^([0-9]*\.)?[0-9]+m?$")]
Memory = Annotated[str, Field(pattern=r"^[0-9]+(Ki|[EPTGM]i?)?$")]
Seconds = Annotated[int, Field(gt=0, le=2**31 - 1)]
Labels = dict[str, str]


class Toleration(BaseModel):
    """A taint that a pod puts up with, as in a pod spec."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    key: str
    operator: Literal["Exists", "Equal"] = "Exists"
    value: str | None = None
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None
    """None for all effects."""

    @model_validator(mode="after")
    def _value_if_equal(self) -> Self:
        if (self.operator == "Equal") != (self.value is not None):
            raise ValueError("operator Equal needs a value, and Exists takes none")
        return self


class Needs(BaseModel):
    """What one kind of task asks for. None leaves it to the cluster's defaults."""

    model_config = ConfigDict(extra="forbid", frozen=True, coerce_numbers_to_str=True)  # cpu_request: 4

    cpu_request: Cpu | None = None
    cpu_limit: Cpu | None = None
    """None: idle cores may be used."""
    memory_request: Memory | None = None
    memory_limit: Memory | None = None
    timeout_seconds: Seconds | None = None
    """Of one attempt, from when its pod runs. A pod that cannot be placed is ended by the pipeline's deadline only."""
    retries: int = Field(default=0, ge=0)

    @model_validator(mode="after")
    def _request_within_limit(self) -> Self:
        for name in ("cpu", "memory"):
            request, limit = getattr(self, f"{name}_request"), getattr(self, f"{name}_limit")
            if request and limit and _amount(request) > _amount(limit):
                raise ValueError(f"{name}_request {request} is more than {name}_limit {limit}")
        return self


class ObjectStore(BaseModel):
    """An S3-compatible store other than Amazon's, for every s3:// address that the pipeline is given."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    endpoint: str = Field(pattern=r"^https?://")
    region: str = "us-east-1"
    secret: str = "mlpipeline-minio-artifact"
    """Secret in the pods' namespace with the keys `accesskey` and `secretkey`; Kubeflow Pipelines makes this one."""


class ClusterProfile(BaseModel):
    """What the pipeline asks of a cluster.

    Only the fine-tune tasks ask for accelerators and tolerate their nodes' taints, so nothing else
    occupies such a node. kfp 2.17 knows no ephemeral-storage request, priority class, file system
    group or read-only root file system. So `scratch` bounds the disk that a task may fill; and where
    the cluster's own policy makes the root file system read-only, every folder that a task writes to
    is a volume.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)

    name: str = Field(default="", pattern=r"^([a-z0-9]([a-z0-9-]{0,58}[a-z0-9])?)?$")
    """Part of the name under which the pipeline is uploaded: each profile has a pipeline of its own, else a schedule's
    `latest` would be of whichever profile somebody submitted with. Of a file without a `name`: the file's name."""
    gpu_resource: str = Field(default="nvidia.com/gpu", pattern=r"^[a-z0-9.-]+/[a-zA-Z0-9._-]+$")
    """Extended resource of one accelerator; by convention also the taint of the nodes that have one."""
    gpus: int = Field(default=1, ge=0)
    """Accelerators per fine-tune task; 0 trains on CPU nodes, in the image without CUDA."""
    accelerator: str | None = None
    """Type of the accelerator, as the value of the label `accelerator_label`; None for any."""
    accelerator_label: str | None = None
    spot: bool = False
    """Whether fine-tune tasks run on spot nodes. With the pipeline's `checkpoints` they go on where a lost node stopped
    them."""
    spot_node_selector: Labels = {}
    """How this kind of cluster labels its spot nodes."""
    spot_tolerations: tuple[Toleration, ...] = ()
    node_selector: Labels = {}
    """Labels that a fine-tune task's node must have; those for `accelerator` and `spot` are added."""
    tolerations: tuple[Toleration, ...] = ()
    """Of fine-tune tasks; those for `gpu_resource` and `spot` are added."""
    training: Needs = Needs()
    """Each of the three fine-tune tasks, which run one after the other."""
    steps: Needs = Needs()
    """Every other task."""
    parallel_folds: int = Field(default=0, ge=0)
    """Folds of a cross-validation at a time; 0 for all of them: those whose pods find no free GPU wait for one."""
    shared_memory: Memory | None = None
    """Size of the fine-tune tasks' /dev/shm, part of their memory; the default of 64 MiB is too small for training."""
    scratch: Memory | None = None
    """Size of each task's /tmp and home. A task that writes more is evicted, instead of filling its node's disk."""
    active_deadline_seconds: Seconds = 86400
    """Of a whole run, and once per fold of a cross-validation. Without it a pod that fits no node is Pending for ever
    (kfp#13401)."""
    ttl_seconds_after_finished: Seconds | None = None
    """When the finished run's pods go, and their logs with them; the run itself and its artifacts stay."""
    service_account: str = "lesionflow"
    """Of the pods; given with each run, as kfp has none per task."""
    image_pull_secrets: tuple[str, ...] = ()
    object_store: ObjectStore | None = None
    """None for gs://, and for Amazon's S3 by the role of the ServiceAccount."""
    run_as_user: int | None = Field(default=10001, gt=0)
    """None where the cluster chooses it (OpenShift). The images' user is 10001; no task ever runs as root."""

    @field_validator("node_selector")
    @classmethod
    def _add_labels(cls, labels: Labels, others: ValidationInfo) -> Labels:
        given = others.data
        if given.get("gpus") and given.get("accelerator"):
            if not given.get("accelerator_label"):
                raise ValueError("an accelerator needs the accelerator_label that nodes carry its type in")
            labels = {given["accelerator_label"]: given["accelerator"], **labels}
        if given.get("spot"):
            if not given.get("spot_node_selector"):
                raise ValueError("spot needs the spot_node_selector that tells spot nodes from others")
            labels = {**given["spot_node_selector"], **labels}
        return labels

    @field_validator("tolerations")
    @classmethod
    def _add_tolerations(cls, tolerations: tuple[Toleration, ...], others: ValidationInfo) -> tuple[Toleration, ...]:
        given = others.data
        if given.get("gpus") and "gpu_resource" in given:
            tolerations = (Toleration(key=given["gpu_resource"], effect="NoSchedule"), *tolerations)
        if given.get("spot"):
            tolerations = (*tolerations, *given.get("spot_tolerations", ()))
        return tuple(dict.fromkeys(tolerations))


LOCAL = ClusterProfile(gpus=0, parallel_folds=1)
"""kfp.local warns of resources and honours retries, and a laptop's user wants to see the first failure at once."""

_STEPS: Mapping[str, Any] = {
    "cpu_request": "2",
    "memory_request": "4Gi",
    "memory_limit": "8Gi",
    "timeout_seconds": 2 * 3600,
}
_GENERIC: Mapping[str, Any] = {
    "active_deadline_seconds": 24 * 3600,
    "ttl_seconds_after_finished": 7 * 86400,
    "training": {
        "cpu_request": "4",
        "memory_request": "16Gi",
        "memory_limit": "16Gi",
        "timeout_seconds": 6 * 3600,
        "retries": 2,
    },
    "steps": _STEPS,
    "shared_memory": "2Gi",
    "scratch": "20Gi",
    # The store that open-source Kubeflow Pipelines comes with since 2.16; before, its Service was `minio-service`.
    "object_store": {"endpoint": "http://seaweedfs.kubeflow:9000"},
}
PROFILES: Mapping[str, Mapping[str, Any]] = {
    # Any cluster with NVIDIA's device plugin.
    "generic": _GENERIC,
    # An L4 as in machine type g2-standard-8.
    "gke": {
        **_GENERIC,
        "object_store": None,
        "accelerator": "nvidia-l4",
        "accelerator_label": "cloud.google.com/gke-accelerator",
        "spot_node_selector": {"cloud.google.com/gke-spot": "true"},
        "spot_tolerations": (
            {"key": "cloud.google.com/gke-spot", "operator": "Equal", "value": "true", "effect": "NoSchedule"},
        ),
    },
    "cpu-only": {
        **_GENERIC,
        "gpus": 0,
        "active_deadline_seconds": 4 * 86400,
        "training": {**_GENERIC["training"], "timeout_seconds": 86400},
    },
}
"""The built-in profiles, as one would write them in a file."""


def load_profile(name_or_path: str) -> ClusterProfile:
    """A built-in profile, or one from a YAML file.

    Args:
        name_or_path: a name in `PROFILES`, or a file with fields of `ClusterProfile`. With
            `extends: NAME` the file changes a built-in profile: mappings are merged, field by field,
            and anything else is replaced.

    Raises:
        UserError: no such profile or file, or a field is unknown or out of range.
    """
    if name_or_path in PROFILES:
        return ClusterProfile.model_validate({"name": name_or_path, **PROFILES[name_or_path]})
    known = ", ".join(PROFILES)
    try:
        fields = yaml.safe_load(Path(name_or_path).read_text(encoding="utf-8"))
    except (OSError, ValueError):  # ValueError: not UTF-8, or a name with a null byte
        raise UserError(
            f"There is no cluster profile {name_or_path!r}; expected one of {known}, or a YAML file."
        ) from None
    except yaml.YAMLError as error:
        raise UserError(
            f"The cluster profile in {name_or_path} is not valid YAML: {' '.join(str(error).split())}."
        ) from None
    if not isinstance(fields, dict):
        raise UserError(f"The cluster profile in {name_or_path} must be `field: value` lines, received {fields!r}.")
    base = fields.pop("extends", None)
    if base is not None and base not in PROFILES:
        raise UserError(f"{name_or_path} extends {base!r}; expected one of {known}.")
    if fields.get("name") in PROFILES:
        raise UserError(f"{name_or_path} has the name of the built-in profile {fields['name']}; choose another `name`.")
    fields.setdefault("name", _name_of(Path(name_or_path)))
    merged = _merge(PROFILES[base], fields) if base else fields
    return check_settings(ClusterProfile, merged, "cluster profile", name_or_path)


def _name_of(file: Path) -> str:
    """A file's name as a profile's, which is never that of a built-in one."""
    name = re.sub(r"[^a-z0-9]+", "-", file.stem.lower())[:50].strip("-") or "unnamed"
    return f"own-{name}" if name in PROFILES else name


def _merge(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for name, value in changes.items():
        old = merged.get(name)
        merged[name] = _merge(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return merged


def _amount(quantity: str) -> float:
    """A quantity as a number of cores or bytes."""
    from kubernetes.utils.quantity import parse_quantity

    return float(parse_quantity(quantity))
