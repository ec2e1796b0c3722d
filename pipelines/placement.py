"""The one place where the pipeline's tasks meet the cluster's profile."""

from kfp import kubernetes
from kfp.dsl import PipelineTask

from lesionflow.profile import ClusterProfile, Needs
from lesionflow.runtime.container_image import CPU_IMAGE

PART_OF = ("app.kubernetes.io/part-of", "lesionflow")
"""Label of every task's pod: what the NetworkPolicy, `lesionflow doctor` and people select by."""

HOME = "/home/lesionflow"
"""Home of the images' user."""


def place(profile: ClusterProfile, task: PipelineTask, trains: bool) -> None:
    """Make `task` ask for what `profile` says. This is the only place where tasks meet the cluster.

    Args:
        profile: what to ask for.
        task: any task of the pipeline.
        trains: whether it is a fine-tune task.
    """
    kubernetes.add_pod_label(task, *PART_OF)
    kubernetes.set_security_context(task, run_as_non_root=True, run_as_user=profile.run_as_user)
    if profile.scratch:
        for name, folder in (("tmp", "/tmp"), ("home", HOME)):
            kubernetes.empty_dir_mount(task, volume_name=name, mount_path=folder, size_limit=profile.scratch)
    if profile.image_pull_secrets:
        kubernetes.set_image_pull_secrets(task, list(profile.image_pull_secrets))
    if store := profile.object_store:
        task.set_env_variable("AWS_ENDPOINT_URL_S3", store.endpoint)
        task.set_env_variable("AWS_DEFAULT_REGION", store.region)
        keys = {"accesskey": "AWS_ACCESS_KEY_ID", "secretkey": "AWS_SECRET_ACCESS_KEY"}
        kubernetes.use_secret_as_env(task, store.secret, keys, optional=True)  # not needed for gs://
    _ask(task, profile.training if trains else profile.steps, profile.active_deadline_seconds)
    if not trains:
        return
    if profile.shared_memory:
        kubernetes.empty_dir_mount(
            task, volume_name="shm", mount_path="/dev/shm", medium="Memory", size_limit=profile.shared_memory
        )
    if profile.gpus:
        task.set_accelerator_type(profile.gpu_resource).set_accelerator_limit(profile.gpus)
    else:
        task.set_container_image(CPU_IMAGE)
    for key, value in profile.node_selector.items():
        kubernetes.add_node_selector(task, label_key=key, label_value=value)
    for toleration in profile.tolerations:
        kubernetes.add_toleration(task, **toleration.model_dump())


def _ask(task: PipelineTask, needs: Needs, deadline: int) -> None:
    for setter, amount in (
        (task.set_cpu_request, needs.cpu_request),
        (task.set_cpu_limit, needs.cpu_limit),
        (task.set_memory_request, needs.memory_request),
        (task.set_memory_limit, needs.memory_limit),
    ):
        if amount:
            setter(amount)
    if needs.timeout_seconds:
        kubernetes.set_timeout(task, needs.timeout_seconds)
    if needs.retries:
        # The "longest backoff" counts from the first attempt's start: once it is over, Argo retries nothing.
        # kfp's default of an hour would be over before most training steps are preempted.
        task.set_retry(needs.retries, backoff_duration="60s", backoff_factor=2, backoff_max_duration=f"{deadline}s")
