"""What the tests write in a kubelet's and in Argo's stead has the fields and names of what those were recorded with."""

import re
from typing import Any

from kube_api.objects import RUN, container, event, pod, workflow, workflow_node
from recordings import recorded

PODS: list[dict[str, Any]] = recorded("kubernetes/pods.json.gz")["items"]
EVENTS: list[dict[str, Any]] = recorded("kubernetes/events.json.gz")["items"]
NODES: dict[str, dict[str, Any]] = recorded("kubernetes/workflow-refused.json.gz")["status"]["nodes"]
ATTEMPT = re.compile(r"lesionflow-[a-z-]+-\w+\(0\)\.root\(0\)(\.[\w-]+(\([\w:]+\))+)*\.executor\(\d\)")


def keys(some: list[dict[str, Any]]) -> set[str]:
    return {key for one in some for key in one}


def test_a_container_status_has_the_fields_of_a_kubelets() -> None:
    recorded_ones = [one for each in PODS for one in each["status"]["containerStatuses"]]
    ended = {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}
    assert set(container(ended)) <= keys(recorded_ones)
    states = keys([one["state"]["terminated"] for one in recorded_ones if "terminated" in one["state"]])
    assert set(ended["terminated"]) <= states


def test_a_pod_is_labelled_and_named_as_argo_does_it() -> None:
    made = pod()["metadata"]
    for of in ("labels", "annotations"):
        assert set(made[of]) <= keys([each["metadata"][of] for each in PODS])
    name = "workflows.argoproj.io/node-name"
    steps = [each["metadata"]["annotations"][name] for each in PODS]
    assert all(ATTEMPT.fullmatch(each) for each in steps if "-driver" not in each)
    assert ATTEMPT.fullmatch(made["annotations"][name])
    driver = pod(task="finetune-driver")["metadata"]["annotations"][name]
    assert driver.endswith("finetune-driver(0)")
    assert any(each.endswith("finetune-driver(0)") for each in steps)


def test_an_event_has_the_fields_of_kubernetes_own() -> None:
    made = event("a-pod", "Failed", "...")
    assert set(made) <= keys(EVENTS)
    assert set(made["involvedObject"]) <= keys([each["involvedObject"] for each in EVENTS])


def test_a_node_of_a_workflow_is_named_as_argo_does_it() -> None:
    made = workflow_node("gate", "Failed", "...")
    pods = [node for node in NODES.values() if node["type"] == "Pod"]
    assert set(made) <= keys(pods)
    assert ATTEMPT.fullmatch(made["name"])
    assert any(ATTEMPT.fullmatch(node["name"]) for node in pods)
    assert workflow(made)["metadata"]["labels"] == {"pipeline/runid": RUN}
