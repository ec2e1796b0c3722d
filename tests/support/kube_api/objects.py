"""Kubernetes objects as short as tests need them; the API server checks them and fills in the rest."""

from base64 import b64encode
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from recordings import recorded

RUN = "3f2a8c1e-0000-4000-8000-000000000001"
WORKFLOW = "lesionflow-training-x7k2p"


def node(
    name: str,
    allocatable: dict[str, str] | None = None,
    labels: dict[str, str] | None = None,
    taints: list[dict[str, str]] | None = None,
    ready: str = "True",
    unschedulable: bool = False,
) -> dict[str, Any]:
    """A node with 8 cores, 32Gi and room for pods, unless `allocatable` says otherwise."""
    amounts = {"cpu": "8", "memory": "32Gi", "pods": "110", **(allocatable or {})}
    return {
        "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name, **(labels or {})}},
        "spec": {
            **({"taints": taints} if taints else {}),
            **({"unschedulable": True} if unschedulable else {}),
        },
        "status": {
            "allocatable": amounts,
            "capacity": amounts,
            "conditions": [{"type": "MemoryPressure", "status": "False"}, {"type": "Ready", "status": ready}],
        },
    }


def taint(key: str, value: str = "", effect: str = "NoSchedule") -> dict[str, str]:
    return {"key": key, "effect": effect, **({"value": value} if value else {})}


def pod(
    name: str = "finetune-pod",
    namespace: str = "team-a",
    run: str = RUN,
    task: str = "finetune",
    phase: str = "Pending",
    on: str | None = None,
    requests: dict[str, str] | None = None,
    limits: dict[str, str] | None = None,
    node_selector: dict[str, str] | None = None,
    **status: Any,
) -> dict[str, Any]:
    """A pod of a run as Argo makes it for KFP.

    Without a status of its own and without a node it is the scheduler's; otherwise nobody but the test changes it.
    """
    resources = {**({"requests": requests} if requests else {}), **({"limits": limits} if limits else {})}
    return {
        "metadata": {
            "name": name,
            "namespace": namespace,
            "labels": {"pipeline/runid": run, "workflows.argoproj.io/workflow": WORKFLOW},
            "annotations": {"workflows.argoproj.io/node-name": _node_name(task)},
        },
        "spec": {
            "containers": [{"name": "main", "image": "example.com/lesionflow/gpu", "resources": resources}],
            **({"nodeName": on} if on else {"schedulerName": "nobody"} if status else {}),
            **({"nodeSelector": node_selector} if node_selector else {}),
        },
        **({"status": {"phase": phase, **status}} if on or status else {}),
    }


def unschedulable(message: str) -> dict[str, Any]:
    """The status of a pod that the scheduler could not place."""
    condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}
    return {"conditions": [condition]}


def container(state: dict[str, Any], name: str = "main", image: str = "example.com/lesionflow/gpu:1") -> dict[str, Any]:
    """The status of one container."""
    return {
        "name": name,
        "image": image,
        "imageID": "",
        "ready": False,
        "restartCount": 0,
        "state": state,
    }


def event(of: str, reason: str, message: str, minutes: float = 0) -> dict[str, Any]:
    """An event about a pod, some minutes ago."""
    at = (datetime.now(UTC) - timedelta(minutes=minutes)).isoformat().replace("+00:00", "Z")
    return {
        "metadata": {"name": f"{of}.{reason.lower()}.{minutes:g}", "namespace": "team-a"},
        "involvedObject": {"kind": "Pod", "name": of, "namespace": "team-a"},
        "reason": reason,
        "message": message,
        "type": "Warning",
        "lastTimestamp": at,
    }


def workflow(*nodes: dict[str, Any], run: str = RUN) -> dict[str, Any]:
    """A Workflow with the status of some of its pods."""
    return {
        "metadata": {"name": WORKFLOW, "namespace": "team-a", "labels": {"pipeline/runid": run}},
        "spec": {},
        "status": {"phase": "Running", "nodes": {f"{WORKFLOW}-{i}": node for i, node in enumerate(nodes)}},
    }


def recorded_workflow(name: str, namespace: str = "team-a") -> dict[str, Any]:
    """A Workflow as a real KFP and Argo left it, in a namespace of the test's.

    Args:
        name: of the recording: refused, reused, succeeded-compressed or folds-compressed. Its run's id is its label
            `pipeline/runid`.
        namespace: where it shall be.
    """
    whole = recorded(f"kubernetes/workflow-{name}.json.gz")
    kept = {key: whole["metadata"][key] for key in ("name", "labels", "annotations") if key in whole["metadata"]}
    return {"metadata": {**kept, "namespace": namespace}, "spec": whole.get("spec", {}), "status": whole["status"]}


def workflow_node(task: str, phase: str, message: str) -> dict[str, Any]:
    """Argo's account of one pod."""
    return {"name": _node_name(task), "displayName": "executor", "type": "Pod", "phase": phase, "message": message}


def _node_name(task: str) -> str:
    """As Argo calls the first attempt of a task, or its driver."""
    return f"{WORKFLOW}(0).root(0).{task}(0)" + ("" if task.endswith("-driver") else ".executor(0)")


def quota(name: str, hard: dict[str, str], **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": "team-a"}, "spec": {"hard": hard, **spec}}


def limit_range(name: str, **item: Any) -> dict[str, Any]:
    """A LimitRange with one item; of containers unless `type` says otherwise."""
    return {"metadata": {"name": name, "namespace": "team-a"}, "spec": {"limits": [{"type": "Container", **item}]}}


def service(
    name: str = "seaweedfs", namespace: str = "kubeflow", ports: Sequence[int] = (8333, 9000)
) -> dict[str, Any]:
    """A Service; by default that of KFP's object store."""
    spec = {"selector": {"app": name}, "ports": [{"name": f"port-{port}", "port": port} for port in ports]}
    return {"metadata": {"name": name, "namespace": namespace}, "spec": spec}


def endpoints(of: str = "seaweedfs", namespace: str = "kubeflow", ready: bool | None = True) -> dict[str, Any]:
    """What Kubernetes notes of the pods behind a Service: one, ready or not, or that it does not say."""
    one = {"addresses": ["10.0.0.7"], **({} if ready is None else {"conditions": {"ready": ready}})}
    labels = {"kubernetes.io/service-name": of}
    metadata = {"name": f"{of}-x7k2p", "namespace": namespace, "labels": labels}
    return {"metadata": metadata, "addressType": "IPv4", "endpoints": [one]}


def secret(name: str = "mlpipeline-minio-artifact", **values: str) -> dict[str, Any]:
    """A Secret in the namespace team-a; by default with the keys to KFP's object store."""
    given = values or {"accesskey": "key-of-team-a", "secretkey": "secret-of-team-a"}
    data = {key: b64encode(value.encode()).decode() for key, value in given.items()}
    return {"metadata": {"name": name, "namespace": "team-a"}, "data": data}
