"""`lesionflow run --folds`: each image predicted once by a model that never saw its lesion."""

import json
import signal
import time
from pathlib import Path
from subprocess import Popen

import h5py
import numpy as np
import pandas as pd
import pytest
from command import RECIPE, Site, lesionflow, summary_of
from sklearn import metrics

EACH_FOLD = ("split", "balance", "finetune-head", "finetune-partial", "finetune-full", "evaluate")


@pytest.mark.timeout(900)
def test_a_killed_cross_validation_goes_on_and_pools_what_each_model_never_saw(site: Site, tmp_path: Path):
    output = tmp_path / "out"
    arguments = ("--folds", "2", "--min-f1", "0.05")
    process = site.start(output, *arguments)
    try:
        _wait_for_epochs(process, output, "finetune-partial", RECIPE["partial"]["epochs"] + 2)  # of the second fold
    finally:
        process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=90) == 128 + signal.SIGTERM
    interrupted = summary_of(output)
    assert interrupted["status"] == "interrupted"
    assert interrupted["steps"]["fold 1/2 evaluate"]["status"] == "done"
    assert interrupted["steps"]["fold 2/2 finetune-partial"]["status"] == "stopped"
    assert interrupted["steps"]["pool"]["status"] == "waiting"

    result = site.run(output, *arguments)

    assert result.returncode == 0, result.stdout + result.stderr
    summary = summary_of(output)
    expected = [f"fold {fold}/2 {step}" for fold in (1, 2) for step in EACH_FOLD]
    assert list(summary["steps"]) == ["fingerprint", "ingest", "duplicates", *expected, "pool", "gate"]
    reused = [name for name in expected if summary["steps"][name]["status"] == "reused"]
    assert reused == expected[: expected.index("fold 2/2 finetune-partial")]
    assert "Going on after epoch" in (output / "latest" / "logs" / "fold-2" / "finetune-partial.log").read_text()

    artifacts = summary["artifacts"]
    scores = pd.read_parquet(artifacts["scores"])
    metadata = pd.read_csv(site.folder / "data" / "HAM10000_metadata.csv").set_index("image_id")
    assert sorted(scores["image_id"]) == sorted(metadata.index)
    for fold in (1, 2):
        tested = set(scores.loc[scores["fold"] == fold, "lesion_id"])
        for side in ("train", "validation"):
            seen = pd.read_parquet(artifacts[f"fold {fold}: {side}"])
            assert not tested & set(metadata.loc[seen["image_id"], "lesion_id"])
    pooled = metrics.f1_score(scores["dx"], scores["predicted"], average="macro")
    assert summary["metrics"]["averages"]["macro_f1"]["value"] == pytest.approx(pooled)
    by_fold = [metrics.f1_score(rows["dx"], rows["predicted"], average="macro") for _, rows in scores.groupby("fold")]
    assert [fold["macro_f1"]["value"] for fold in summary["folds"]] == pytest.approx(by_fold)
    assert summary["verdict"] == "passed"
    assert summary["promoted"] is summary["published"] is None
    assert not (output / "registry").exists()
    assert "out-of-fold predictions of 2 models" in (output / "report.html").read_text()
    assert "Nothing is promoted" in result.stdout

    refused = site.run(output, "--folds", "2", "--min-f1", "0.99")
    assert refused.returncode == 3, refused.stdout + refused.stderr
    assert {summary_of(output)["steps"][name]["status"] for name in expected if "evaluate" not in name} == {"reused"}


def _wait_for_epochs(process: Popen[bytes], output: Path, step: str, epochs: int) -> None:
    """Until the step has finished so many epochs in all folds together."""
    deadline = time.monotonic() + 500
    while time.monotonic() < deadline:
        done = 0
        for file in output.glob("runs/*/progress/*.jsonl"):
            events = [json.loads(line) for line in file.read_text().splitlines() if line.endswith("}")]
            if events and events[0].get("step") == step:
                done += sum(event["event"] == "epoch" for event in events)
        if done >= epochs:
            return
        assert process.poll() is None, summary_of(output)["steps"]
        time.sleep(0.05)
    raise AssertionError(f"{step} never finished {epochs} epochs")


def test_a_fold_that_fails_ends_the_run(site: Site, tmp_path: Path):
    # As many tensors and values as the network has, which is all that is looked at before the run; not its shapes.
    with h5py.File(tmp_path / "weights.h5", "w") as file:
        for number in range(14):
            file[str(number)] = [0.0]
        file["14"] = np.zeros(6186)

    result = lesionflow(
        "run", "--data", site.data, "--recipe", site.recipe, "--weights", tmp_path / "weights.h5", "--folds", "3",
        "--output", tmp_path / "out", cwd=tmp_path,
    )  # fmt: skip

    assert result.returncode in (1, 2), result.stdout + result.stderr
    steps = summary_of(tmp_path / "out")["steps"]
    assert steps["fold 1/3 finetune-head"]["status"] == "failed"
    assert {step["status"] for name, step in steps.items() if name.startswith(("fold 2", "fold 3", "pool"))} == {
        "waiting"
    }


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--folds", "1"], "--folds is 1"),
        (["--folds", "0"], "--folds is 0"),
        (["--folds", "5", "--fixed-test", "list.csv"], "--fixed-test exclude each other"),
        (["--folds", "5", "--registry", "registry"], "--registry exclude each other"),
    ],
)
def test_what_is_no_cross_validation_is_refused_in_one_sentence(tmp_path: Path, options: list[str], words: str):
    result = lesionflow("run", "--output", tmp_path / "out", *options, cwd=tmp_path)

    assert result.returncode == 2
    assert words in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert not (tmp_path / "out").exists()
