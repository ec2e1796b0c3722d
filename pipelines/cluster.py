"""Where the tasks run on a cluster: one typed profile, applied in one place."""

from kfp import kubernetes
from kfp.dsl import PipelineTask
from pydantic import BaseModel, ConfigDict


class ClusterProfile(BaseModel):
    """What the three fine-tune tasks ask of a cluster.

    The defaults fit any cluster with NVIDIA's device plugin, whose GPU nodes are by convention
    tainted `nvidia.com/gpu`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    gpu_resource: str = "nvidia.com/gpu"
    """Extended resource of one accelerator."""
    gpus: int = 1
    """Accelerators per fine-tune task; 0 trains on CPU nodes."""
    node_selector: dict[str, str] = {}
    """Labels a GPU node must carry, e.g. {"cloud.google.com/gke-accelerator": "nvidia-l4"}."""
    cpu: str = "4"
    memory: str = "16Gi"
    shared_memory: str = "2Gi"
    """Size of /dev/shm; the container default of 64 MiB is too small for training."""
    retries: int = 2
    """A preempted or evicted fine-tune task goes on at its last checkpoint."""


GPU = ClusterProfile()
CPU_ONLY = ClusterProfile(gpus=0)
LOCAL = ClusterProfile(gpus=0, retries=0)
"""kfp.local honours retries, and a laptop's user wants to see the first failure at once."""

PROFILES: dict[str, ClusterProfile] = {"gpu": GPU, "cpu-only": CPU_ONLY}


def apply(profile: ClusterProfile, task: PipelineTask) -> None:
    """Make a fine-tune `task` ask for what `profile` says."""
    task.set_cpu_request(profile.cpu).set_memory_request(profile.memory).set_memory_limit(profile.memory)
    if profile.retries:
        task.set_retry(profile.retries, backoff_duration="60s", backoff_factor=2, backoff_max_duration="600s")
    kubernetes.empty_dir_mount(
        task, volume_name="shm", mount_path="/dev/shm", medium="Memory", size_limit=profile.shared_memory
    )
    if not profile.gpus:
        return
    task.set_accelerator_type(profile.gpu_resource).set_accelerator_limit(profile.gpus)
    kubernetes.add_toleration(task, key=profile.gpu_resource, operator="Exists", effect="NoSchedule")
    if profile.node_selector:
        kubernetes.add_node_selector_json(task, node_selector_json=profile.node_selector)
