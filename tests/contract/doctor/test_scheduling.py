"""The scheduler's messages as Kubernetes worded them from 1.18 on, read and said again."""

import pytest

from lesionflow.kubeflow.kube.scheduling import Refusal, explain_unschedulable, parse

LABEL = {"cloud.google.com/gke-accelerator": "nvidia-l4"}


@pytest.mark.parametrize(
    ("message", "words"),
    [
        # Up to 1.23: "node selector", and a taint's reason has a comma of its own.
        (
            "0/4 nodes are available: 1 Insufficient cpu, 1 node(s) didn't match node selector, "
            "2 node(s) had taint {nvidia.com/gpu: present}, that the pod didn't tolerate.",
            "of 4 nodes, 1 has not enough cpu free, 1 does not have the label cloud.google.com/gke-accelerator="
            "nvidia-l4 that it selects, 2 have a taint nvidia.com/gpu=present that it does not tolerate",
        ),
        # From 1.24: "untolerated taint {...}", and what preemption thinks of it, with two full stops.
        (
            "0/1 nodes are available: 1 Insufficient nvidia.com/gpu. preemption: 0/1 nodes are available: "
            "1 No preemption victims found for incoming pod..",
            "of 1 node, 1 has not enough nvidia.com/gpu free",
        ),
        (
            "0/4 nodes are available: 1 node(s) had untolerated taint {node-role.kubernetes.io/control-plane: }, "
            "3 node(s) had untolerated taint {nvidia.com/gpu: true}. preemption: 0/4 nodes are available: "
            "4 Preemption is not helpful for scheduling..",
            "of 4 nodes, 1 has a taint node-role.kubernetes.io/control-plane that it does not tolerate, "
            "3 have a taint nvidia.com/gpu=true that it does not tolerate",
        ),
        (
            "0/3 nodes are available: 3 node(s) didn't match Pod's node affinity/selector. preemption: 0/3 nodes are "
            "available: 3 Preemption is not helpful for scheduling.",
            "of 3 nodes, 3 do not have the label cloud.google.com/gke-accelerator=nvidia-l4 that it selects",
        ),
        # The newest: dynamic resources are spoken of first, and taints no longer named.
        (
            "0/3 nodes are available: 1 node(s) had untolerated taint(s), 2 Insufficient cpu, 2 Insufficient memory. "
            "no new claims to deallocate, preemption: 0/3 nodes are available: 3 Preemption is not helpful for "
            "scheduling.",
            "of 3 nodes, 1 has a taint that it does not tolerate, 2 have not enough cpu free, "
            "2 have not enough memory free",
        ),
        (
            "0/2 nodes are available: 1 Too many pods, 1 node(s) didn't satisfy plugin(s) [NodeAffinity]. "
            "no new claims to deallocate, preemption: 0/2 nodes are available: 2 Preemption is not helpful.",
            "of 2 nodes, 1 has no room for another pod, 1 does not have the label "
            "cloud.google.com/gke-accelerator=nvidia-l4 that it selects",
        ),
        (
            "0/2 nodes are available: 1 node(s) were unschedulable, 1 node(s) didn't have free ports for the requested "
            "pod ports.",
            "of 2 nodes, 1 is cordoned, 1 is refused (didn't have free ports for the requested pod ports)",
        ),
        (
            "0/2 nodes are available: pod has unbound immediate PersistentVolumeClaims. preemption: 0/2 nodes are "
            "available: 2 Preemption is not helpful for scheduling.",
            "pod has unbound immediate PersistentVolumeClaims",
        ),
        ("no nodes available to schedule pods", "the cluster has no node"),
        ("running PreBind plugin failed.", "the scheduler says: running PreBind plugin failed"),
        ("0/5 nodes are available", "the scheduler says: 0/5 nodes are available"),
        ("0/5 nodes are available: ", "no reason was given"),
        ("", "the scheduler says: "),
    ],
)
def test_wordings(message: str, words: str) -> None:
    assert explain_unschedulable(message, LABEL) == words


def test_without_a_selector_no_label_is_named() -> None:
    message = "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector."
    assert explain_unschedulable(message, {}) == "of 1 node, 1 does not have the labels that it selects"


def test_one_node_may_be_refused_for_several_reasons() -> None:
    verdict = parse("0/1 nodes are available: 1 Insufficient cpu, 1 Insufficient memory.")
    assert verdict is not None
    assert verdict.refusals == (Refusal(1, "Insufficient cpu"), Refusal(1, "Insufficient memory"))
