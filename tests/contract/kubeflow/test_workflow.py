"""A run read from its Workflow: real ones, and ones with parts missing, broken or never seen."""

import base64
import gzip
import json
import math
import re
from functools import cache
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kfp_api import argo
from kfp_api.argo import Attempt, Step
from kfp_api.scripted import words
from recordings import recorded

from lesionflow.errors import ClusterError
from lesionflow.kubeflow.runs.pod_names import pod_name
from lesionflow.kubeflow.runs.task_state import TASKS, RunState, TaskState
from lesionflow.kubeflow.runs.workflow import nodes_of, place_of, workflow_state
from lesionflow.runtime.last_words import LastWords


def real(name: str) -> Any:
    return recorded(f"kubernetes/workflow-{name}.json.gz")


def of(run: RunState, task: str, fold: int | None = None) -> TaskState:
    return next(state for state in run.of(task) if state.fold == fold)


def test_a_real_run_past_a_megabyte() -> None:
    run = workflow_state(real("succeeded-compressed"))
    assert (run.state, run.folds, run.stopped, run.stale) == ("SUCCEEDED", None, False, False)
    states = {task: of(run, task).status for task in argo.RECORDED}
    assert states == dict.fromkeys(argo.RECORDED, "done") | {"ingest": "reused", "duplicates": "reused"}
    assert of(run, "export").seconds == 74


def test_a_real_step_that_lost_its_pod() -> None:
    run = workflow_state(real("succeeded-compressed"))
    first, second = of(run, "finetune-2").attempts
    assert (first.lost, first.status, first.message) == (True, "failed", "pod deleted")
    assert (second.lost, second.status, second.number) == (False, "done", 1)
    step = run.steps()["finetune-partial"]
    assert (step.status, step.headline) == ("done", "attempt 2, 1 lost its pod")
    assert step.seconds == 216  # from the first pod's start to the last one's end


def test_a_real_refusal_whose_image_left_no_last_words() -> None:
    run = workflow_state(real("refused"))
    (attempt,) = of(run, "gate").attempts
    assert run.refused
    assert (attempt.exit_code, attempt.exit_status, attempt.sentence) == (1, None, "")  # the code is the launcher's


def test_a_real_run_of_folds_that_was_stopped() -> None:
    """Stopping leaves a failed node for every attempt that Argo no longer makes; they count for nothing."""
    run = workflow_state(real("folds-compressed"))
    assert (run.state, run.folds, run.stopped) == ("FAILED", 5, True)
    assert [of(run, "split", fold).status for fold in range(5)] == ["done"] * 5
    assert [of(run, "finetune", fold).status for fold in range(5)] == ["killed"] * 5
    assert of(run, "fingerprint").status == "done"
    assert not any(task.status == "failed" for task in run.tasks)
    assert run.steps()["split"].headline == "done in 5 of 5 folds"


def test_a_real_run_that_was_stopped_through_kfp() -> None:
    """Which leaves it no time, so that Argo tells of a deadline."""
    run = workflow_state(real("stopped"))
    assert (run.state, run.stopped) == ("FAILED", True)
    assert of(run, "fingerprint").status == "killed"


def test_real_last_words() -> None:
    """What a step left in its container's termination message, as Argo hands it on; it was plain text then."""
    node = recorded("kubernetes/node-last-words.json")
    found = re.fullmatch(r"(main: Error \(exit code 1\): )contract: (.*) \(exit status 2\)", node["message"])
    assert found
    node["message"] = found[1] + LastWords(step="contract", kind="user", sentence=found[2], exit_status=2).text()
    node["name"] = f"{argo.NAME}(0).root(0).gate(0).executor(0)"
    workflow = argo.workflow([], "r")
    workflow["status"]["nodes"] = {"one": node}
    (attempt,) = of(workflow_state(workflow), "gate").attempts
    assert attempt.exit_status == 2
    assert attempt.sentence == "Fails this first time on purpose, so that it is seen whether a step is tried again."


@pytest.mark.parametrize("name", ["succeeded-compressed", "folds-compressed", "refused", "reused", "stopped"])
def test_real_nodes_are_placed(name: str) -> None:
    """Every pod that works on a step, and none that does not."""
    nodes = nodes_of(real(name))
    impl = [node for node in nodes if node.get("templateName", "").endswith("container-impl")]
    placed = [node for node in nodes if (place := place_of(node["name"])) and place.part == "executor"]
    assert sorted(node["name"] for node in placed) == sorted(node["name"] for node in impl)


def test_real_pods_are_named() -> None:
    """The log of a pod is asked for by this name."""
    for pod in recorded("kubernetes/pods.json.gz")["items"]:
        node = pod["metadata"]["annotations"]["workflows.argoproj.io/node-name"]
        workflow = pod["metadata"]["labels"]["workflows.argoproj.io/workflow"]
        name = pod["metadata"]["name"]
        template = name.removeprefix(f"{workflow}-").rpartition("-")[0]
        assert pod_name(workflow, template, node) == name


@pytest.mark.parametrize("compressed", [False, True])
def test_compressed_or_not_is_the_same(compressed: bool) -> None:
    steps = [Step("fingerprint"), Step("ingest", "Cached"), Step("split", "Running")]
    run = workflow_state(argo.workflow(steps, "r", compressed=compressed))
    assert [of(run, step.task).status for step in steps] == ["done", "reused", "running"]


@pytest.mark.parametrize(
    ("step", "status", "message"),
    [
        (Step("split", "Driving"), "waiting", "its pod is being prepared"),
        (Step("split", "Pending"), "waiting", "its pod is Pending"),
        (
            Step("split", "Running", (Attempt("Pending", "Unschedulable: no node"),)),
            "waiting",
            "Unschedulable: no node",
        ),
        (Step("split", "Running"), "running", ""),
        (Step("split", "Running", (Attempt("Error", "pod deleted"),)), "waiting", "pod deleted"),
        (Step("split", "NoDriver"), "failed", "its driver failed: main: Error (exit code 1)"),
        (Step("split", "Omitted"), "waiting", ""),
        (
            Step("split", "Failed", (words("split", "no images.", 2),)),
            "failed",
            "no images.",
        ),
    ],
)
def test_what_a_step_can_be(step: Step, status: str, message: str) -> None:
    state = of(workflow_state(argo.workflow([step], "r")), "split")
    assert (state.status, state.message) == (status, message)


@settings(deadline=None)
@given(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=300).filter(lambda text: text.strip()),
    st.sampled_from([1, 2, 3, 143]),
)
def test_last_words_come_through_whole(sentence: str, status: int) -> None:
    """Whatever a step says: colons, brackets, line breaks, other exit codes."""
    said = " ".join(sentence.split())
    state = of(workflow_state(argo.workflow([Step("gate", "Failed", (words("gate", said, status),))], "r")), "gate")
    assert (state.attempts[-1].sentence, state.attempts[-1].exit_status) == (said, status)


@pytest.mark.parametrize(
    "packed",
    ["", "?", "AAAA", base64.b64encode(gzip.compress(b"[1", mtime=0)).decode(), base64.b64encode(b"{}").decode()],
)
def test_compressed_nodes_that_are_damaged(packed: str) -> None:
    workflow = argo.workflow([Step("fingerprint")], "r")
    workflow["status"] = {"phase": "Running", "compressedNodes": packed}
    if not packed:
        assert workflow_state(workflow).tasks == []
        return
    with pytest.raises(ClusterError, match="damaged"):
        workflow_state(workflow)


def test_nodes_that_are_elsewhere() -> None:
    workflow = argo.workflow([], "r")
    workflow["status"] = {"phase": "Running", "offloadNodeStatusVersion": "fnv:1"}
    with pytest.raises(ClusterError, match="in a database"):
        workflow_state(workflow)


@cache
def small(name: str) -> str:
    """A real Workflow as JSON, without what its nodes were given, which is most of it."""
    workflow = real(name)
    nodes = workflow["status"]["nodes"].values()
    kept = {node["id"]: {**node, "inputs": {}, "outputs": {"exitCode": "0"}} for node in nodes}
    return json.dumps({"metadata": workflow["metadata"], "status": {"phase": "Running", "nodes": kept}})


@st.composite
def maimed(draw: st.DrawFn) -> Any:
    """A real Workflow of which fields, whole nodes, or types are missing or wrong."""
    workflow = json.loads(small(draw(st.sampled_from(["refused", "reused"]))))
    nodes = workflow["status"]["nodes"]
    for name in draw(st.lists(st.sampled_from(sorted(nodes)), unique=True, max_size=40)):
        match draw(st.sampled_from(["gone", "field", "null", "text", "list"])):
            case "gone":
                del nodes[name]
            case "field":
                del nodes[name][draw(st.sampled_from(sorted(nodes[name])))]
            case "null":
                nodes[name][draw(st.sampled_from(sorted(nodes[name])))] = None
            case "text":
                nodes[name] = "not a node"
            case _:
                nodes[name][draw(st.sampled_from(sorted(nodes[name])))] = "???"
    return workflow


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(maimed())
def test_a_workflow_with_missing_or_broken_parts_is_read_as_far_as_it_goes(workflow: Any) -> None:
    run = workflow_state(workflow)
    assert set(run.steps()) == set(run.names.values())
    assert {task.name for task in run.tasks} <= set(argo.RECORDED)
    for step in run.steps().values():
        assert step.status in ("waiting", "running", "done", "reused", "failed", "killed")
        assert step.seconds >= 0 or math.isnan(step.seconds)


@pytest.mark.parametrize("status", [{}, {"phase": ""}, {"nodes": None}, {"nodes": []}, {"nodes": {}}, None])
def test_a_workflow_that_has_not_begun(status: Any) -> None:
    workflow = json.loads(json.dumps(argo.workflow([], "r") | {"status": status}))
    run = workflow_state(workflow)
    assert (run.state, run.tasks) == ("PENDING", [])


@settings(deadline=None)
@given(st.text(max_size=80))
def test_any_name_of_a_node_can_be_read(name: str) -> None:
    place = place_of(name)
    assert place is None or place.task in TASKS


def test_folds_that_may_not_run_yet_count() -> None:
    """Two of five at a time: of the others there is no node, but the loop's driver has counted them."""
    steps = [Step(task) for task in argo.BEFORE] + [Step("split", fold=fold) for fold in range(2)]
    run = workflow_state(argo.workflow(steps, "r", name=argo.FOLDED, folds=5))
    split = run.steps()["split"]
    assert (run.folds, split.status, split.headline) == (5, "running", "done in 2 of 5 folds")


def test_folds_are_pooled_when_all_are_done() -> None:
    steps = [Step("split", fold=fold) for fold in range(2)] + [Step("pool", "Running")]
    assert workflow_state(argo.workflow(steps, "r", name=argo.FOLDED, folds=2)).steps()["split"].status == "done"
