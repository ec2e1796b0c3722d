"""Every adapter does its work when kfp's executor runs it on executor input as a real Kubeflow gave it."""

import hashlib
import json
from typing import Any, cast

import numpy as np
import pandas as pd
import pytest
from every_adapter import ADAPTERS, adapter
from judged import write_evaluation
from recorded_steps import RECORDED, Chain, executor_input

from lesionflow import storage
from lesionflow.artifacts.images import read_metadata
from lesionflow.artifacts.table import write_table
from lesionflow.artifacts.tables import Scores, probability_columns
from lesionflow.taxonomy import HAM10000

pytestmark = [
    pytest.mark.slow,
    pytest.mark.xdist_group("recorded-steps"),  # one process runs the chain that the tests share
    pytest.mark.timeout(900),  # the chain is in the first test's time
]


@pytest.mark.parametrize("task", RECORDED)
def test_a_step_runs_on_its_recorded_input_and_leaves_all_its_outputs(chain: Chain, task: str):
    ran = chain.ran.get(task)

    assert ran, f"{list(chain.ran)[-1]} failed before it"
    assert ran.code == 0, ran.log
    assert [name for name, path in ran.paths.items() if not path.exists()] == []
    declared = adapter(task.split("-")[0]).component_spec.outputs or {}
    returned = [name for name in declared if name not in ran.paths and name != "champion"]
    assert list(ran.output.get("parameterValues", {})) == returned
    assert set(ran.output.get("artifacts", {})) == {*ran.paths, "executor-logs"}


def test_every_adapter_is_among_them_but_those_that_were_never_recorded():
    """For pool and preflight see below, for contract its own tests."""
    assert {task.split("-")[0] for task in RECORDED} == {*ADAPTERS} - {"pool", "preflight", "contract"}


def test_the_steps_did_their_real_work(chain: Chain):
    values = {task: executor_input(task)["inputs"].get("parameterValues", {}) for task in RECORDED}
    registry = values["promote"]["registry"]

    version = chain.ran["promote"].output["parameterValues"]["Output"]
    pointer = json.loads(storage.read_bytes(f"{registry}/champion.json"))
    assert version == f"{registry}/versions/{pointer['version']}"
    assert chain.ran["gate"].output["parameterValues"] == {"Output": "passed"}
    trained = json.loads((chain.ran["finetune-3"].paths["model"] / "training.json").read_text())
    assert trained["phase"] == values["finetune-3"]["phase"] == "full"
    metrics = chain.launcher.written["evaluate", "metrics"]["metadata"]
    evaluation = json.loads(chain.ran["evaluate"].paths["evaluation"].read_text())
    assert metrics["macro_f1"] == pytest.approx(evaluation["metrics"]["averages"]["macro_f1"]["value"], abs=1e-5)


def test_metadata_is_handed_on_in_the_kinds_that_were_recorded(chain: Chain):
    """Holds the launcher of these tests to the real one: whose struct is a struct, and whose truth is a number."""
    seen: set[str] = set()
    for task in RECORDED:
        for described in executor_input(task)["inputs"].get("artifacts", {}).values():
            (artifact,) = described["artifacts"]
            now = chain.launcher.artifact(artifact)["metadata"]
            shared = now.keys() & artifact["metadata"].keys()
            kinds = {name: (_kind(artifact["metadata"][name]), _kind(now[name])) for name in shared}
            assert {name: kind for name, kind in kinds.items() if kind[0] != kind[1]} == {}
            seen |= {kind for kind, _ in kinds.values()}
    assert seen == {"text", "number", "struct", "list"}


def _kind(value: Any) -> str:
    if isinstance(value, dict):
        (kind,) = cast(dict[str, Any], value)
        return kind
    return "text" if isinstance(value, str) else "number" if type(value) in (int, float) else type(value).__name__


def test_split_heeds_its_optional_artifact_and_runs_without_it(chain: Chain):
    given = chain.given("split")
    images = read_metadata(chain.ran["ingest"].paths["images"])
    one, another = images.drop_duplicates("lesion_id")["image_id"].head(2)
    pairs = chain.ran["duplicates"].paths["pairs"].with_name("pairs-of-a-test")
    pairs.write_text(f"image_id_1,image_id_2\n{one},{another}\n")
    found = given["inputs"]["artifacts"]["duplicates"]["artifacts"][0]
    found["uri"] += "-of-a-test"

    heeded = chain.launcher.run(adapter("split"), given)
    del given["inputs"]["artifacts"]["duplicates"]
    without = chain.launcher.run(adapter("split"), given)

    assert (heeded.code, without.code) == (0, 0), heeded.log + without.log
    assert _metadata(heeded.output, "train")["joined_lesions"] == 1
    assert _metadata(without.output, "train")["joined_lesions"] == 0


def test_a_refusing_gate_ends_its_container_with_code_3_and_one_sentence(chain: Chain):
    given = chain.given("gate")
    described = given["inputs"]["artifacts"]["evaluation"]["artifacts"][0]
    described["uri"] += "-of-a-test"
    write_evaluation(chain.launcher.path(described["uri"]), hits=1, misses=3)

    ran = chain.launcher.run(adapter("gate"), given)

    assert ran.code == 3
    assert "gate: " in ran.log
    assert "Traceback" not in ran.log


def test_an_error_of_the_user_ends_a_container_with_code_2_and_one_sentence(chain: Chain):
    given = chain.given("balance")
    given["inputs"]["parameterValues"]["recipe"] = "no-such-recipe"

    ran = chain.launcher.run(adapter("balance"), given)

    assert ran.code == 2
    assert "balance: " in ran.log
    assert "Traceback" not in ran.log


def test_preflight_takes_parameters_as_fingerprint_does(chain: Chain):
    """It is newer than the recordings; its outputs are a part of fingerprint's."""
    given = executor_input("fingerprint")
    given["inputs"]["parameterValues"] = {
        "registry": executor_input("promote")["inputs"]["parameterValues"]["registry"],
        "policy": "default",
    }

    ran = chain.launcher.run(adapter("preflight"), given)

    assert ran.code == 0, ran.log
    assert ran.output["parameterValues"] == {"Output": ""}


def test_pool_takes_lists_of_artifacts_as_the_others_take_one(chain: Chain):
    """The recorded cross-validation never came to pool, so its input is made of evaluate's in the same shape."""
    evaluated = chain.given("evaluate")
    like = evaluated["inputs"]["artifacts"]["images"]["artifacts"][0]
    origins = {name: f"run/evaluate/id/{name}" for name in ("scores", "evaluation")}
    first = {name: chain.launcher.artifact({**like, "uri": uri}) for name, uri in origins.items()}
    second = {name: {**artifact, "uri": artifact["uri"] + "-of-a-test"} for name, artifact in first.items()}
    images = read_metadata(chain.ran["ingest"].paths["images"])
    scores = Scores.load(chain.launcher.path(first["scores"]["uri"]), HAM10000.codes)
    rest = images[~images["image_id"].isin(scores["image_id"])][["image_id", "lesion_id", "dx"]]
    guessed = rest.assign(predicted="nv", **dict.fromkeys(probability_columns(HAM10000.codes), np.float32(1 / 7)))
    write_table(guessed, chain.launcher.path(second["scores"]["uri"]))
    document = json.loads(chain.launcher.path(first["evaluation"]["uri"]).read_text())
    document["data"]["test_set"] = hashlib.sha256("\n".join(sorted(rest["image_id"])).encode()).hexdigest()
    chain.launcher.path(second["evaluation"]["uri"]).write_text(json.dumps(document))

    ran = chain.launcher.run(adapter("pool"), _pool_input(evaluated, first, second))

    assert ran.code == 0, ran.log
    assert [name for name, path in ran.paths.items() if not path.exists()] == []
    assert len(pd.read_parquet(ran.paths["pooled"])) == len(images)
    assert _metadata(ran.output, "pooled")["rows"] == len(images)


def _pool_input(evaluated: dict[str, Any], *folds: dict[str, Any]) -> dict[str, Any]:
    outputs = evaluated["outputs"]["artifacts"]
    outputs["pooled"] = json.loads(json.dumps(outputs["scores"]).replace("scores", "pooled"))
    wanted = adapter("pool").component_spec.outputs or {}
    return {
        "inputs": {
            "artifacts": {
                "images": evaluated["inputs"]["artifacts"]["images"],
                "scores": {"artifacts": [fold["scores"] for fold in folds]},
                "evaluations": {"artifacts": [fold["evaluation"] for fold in folds]},
            },
            "parameterValues": {"policy": evaluated["inputs"]["parameterValues"]["policy"], "seed": 0},
        },
        "outputs": {
            **evaluated["outputs"],
            "artifacts": json.loads(
                json.dumps({name: outputs[name] for name in (*wanted, "executor-logs")}).replace("/evaluate/", "/pool/")
            ),
        },
    }


def _metadata(output: dict[str, Any], artifact: str) -> dict[str, Any]:
    return output["artifacts"][artifact]["artifacts"][0]["metadata"]
