"""The pods of a run: what the pages say, what the pipeline is compiled to, what a real cluster started."""

import re
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import json_format
from recordings import recorded

from lesionflow.pipelines.training import TASKS, define_training_pipeline
from lesionflow.profile import load_profile

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def tasks() -> dict[str, Any]:
    """The compiled tasks, by kfp's names."""
    spec = json_format.MessageToDict(define_training_pipeline(load_profile("generic")).pipeline_spec)
    return spec["root"]["dag"]["tasks"]


@pytest.fixture(scope="module")
def never_reused(tasks: dict[str, Any]) -> set[str]:
    return {name for name, task in tasks.items() if not task.get("cachingOptions", {}).get("enableCache")}


def words(file: str) -> str:
    return " ".join((ROOT / file).read_text().split())


def test_the_pages_count_right(tasks: dict[str, Any], never_reused: set[str]) -> None:
    reused, first = 1 + len(tasks) + len(never_reused), 1 + 2 * len(tasks)

    said = words("docs/retraining.md")
    assert f"Unchanged data at the scheduled time costs {reused} short pods" in said
    assert f"one for each of the {len(tasks)} steps, and {len(never_reused)} steps are never reused" in said
    said = words("docs/manifests.md")
    assert f"each of its {len(tasks)} steps" in said
    assert f"{first} in a first run, {reused} with unchanged data" in said


def test_a_real_cluster_started_as_many(tasks: dict[str, Any], never_reused: set[str]) -> None:
    """When that was recorded, the preflight was a part of the fingerprint, and the gate was never reused."""
    workflow = recorded("kubernetes/workflow-reused.json.gz")
    nodes = [node for node in workflow["status"]["nodes"].values() if node["type"] == "Pod"]
    names = [re.sub(r"\(\d+\)", "", node["name"]).removeprefix(workflow["metadata"]["name"] + ".") for node in nodes]

    drivers = {name.removesuffix("-driver").removeprefix("root.") for name in names if name.endswith("-driver")}
    worked = {name.removesuffix(".executor").removeprefix("root.") for name in names if name.endswith(".executor")}
    assert drivers == {"root", *tasks} - {"preflight"}
    assert worked - {"gate"} == never_reused - {"preflight"}
    assert len(names) == 1 + len(tasks) - 1 + len(never_reused)
    assert set(tasks) == set(TASKS)


def test_the_time_is_that_of_the_recorded_run() -> None:
    """From submission to verdict: the workflow's time, and the seconds around it."""
    workflow = recorded("kubernetes/workflow-reused.json.gz")
    begun, ended = (
        datetime.fromisoformat(moment)
        for moment in (workflow["metadata"]["creationTimestamp"], workflow["status"]["finishedAt"])
    )
    said = re.search(r"that took (\d+) s from submission to verdict", words("docs/retraining.md"))
    assert said
    assert 0 <= int(said[1]) - (ended - begun).total_seconds() <= 10
