"""What `lesionflow run` leaves behind and how it ends."""

import json

import pytest
from command import lesionflow, summary_of


def test_a_passing_run_leaves_summary_report_model_logs_and_a_champion(unbroken, first_run):
    summary, run = summary_of(first_run), first_run

    assert summary["verdict"] == "passed"
    assert summary["data"]["synthetic"] is True
    assert summary["gate"]["metric"] == "macro_f1"
    assert (
        summary["gate"]["value"] == summary["metrics"]["averages"]["macro_f1"]["value"] >= summary["gate"]["threshold"]
    )
    assert {step["status"] for step in summary["steps"].values()} == {"done"}
    assert len(summary["steps"]) == 13
    assert "<html" in (run / "report.html").read_text()
    assert (run / "model" / "model.keras").is_file()
    assert {"kfp.log", "ingest.log", "finetune-partial.log", "evaluate.log"} <= {
        p.name for p in (run / "logs").iterdir()
    }
    champion = json.loads((unbroken / "registry" / "champion.json").read_text())
    version = unbroken / "registry" / "versions" / champion["version"]
    assert (version / "model.keras").is_file()
    assert (version / "saved_model" / "1" / "saved_model.pb").is_file()


def test_the_same_run_again_reuses_every_step_but_the_three_that_must_look(site, unbroken):
    result = site.run(unbroken, "--min-f1", "0.05")

    assert result.returncode == 0, result.stdout
    steps = summary_of(unbroken)["steps"]
    assert {name for name, step in steps.items() if step["status"] == "done"} == {"preflight", "fingerprint", "promote"}
    assert summary_of(unbroken)["metrics"]["averages"]["macro_f1"]["value"] > 0


def test_a_refused_model_ends_with_code_3_and_is_not_promoted(site, unbroken, tmp_path):
    result = site.run(unbroken, "--min-f1", "0.999", "--registry", tmp_path / "registry")

    summary = summary_of(unbroken)
    assert result.returncode == 3, result.stdout + result.stderr
    assert (summary["verdict"], summary["status"]) == ("failed", "refused")
    assert summary["gate"]["reasons"]
    assert "Verdict: failed" in result.stdout
    assert summary["steps"]["finetune-full"]["status"] == "reused"
    assert summary["steps"]["promote"]["status"] == "waiting"
    assert not (tmp_path / "registry").exists()


def test_changed_data_is_noticed_though_its_path_is_the_same(site, unbroken, tmp_path):
    import shutil

    copy = tmp_path / "data"
    shutil.copytree(site.data, copy)
    assert lesionflow("step", "fingerprint", "--set", f"source={copy}", "--set", "weights=none",
                      "--output", tmp_path / "before", cwd=tmp_path).returncode == 0  # fmt: skip
    metadata = copy / "HAM10000_metadata.csv"
    metadata.write_text(metadata.read_text().replace("male", "female", 1))

    result = lesionflow("step", "fingerprint", "--set", f"source={copy}", "--set", "weights=none",
                        "--output", tmp_path / "after", cwd=tmp_path)  # fmt: skip

    assert result.returncode == 0, result.stdout + result.stderr

    def digest(name: str) -> str:
        (file,) = (tmp_path / name / "store").glob("step-fingerprint-*/fingerprint/executor_output.json")
        return json.loads(file.read_text())["parameterValues"]["Output"]

    assert digest("before") != digest("after")


def test_a_step_alone_gives_the_metrics_of_the_run(unbroken, tmp_path):
    summary = summary_of(unbroken)
    inputs: list[str] = []
    for name in ("images", "train", "validation", "test", "model"):
        inputs += ["--input", f"{name}={summary['artifacts'][name]}"]

    result = lesionflow("step", "evaluate", *inputs, "--output", tmp_path / "alone", cwd=tmp_path)

    assert result.returncode == 0, result.stdout + result.stderr
    alone = json.loads((tmp_path / "alone" / "evaluation").read_text())
    assert alone["metrics"] == summary["metrics"]


def test_a_step_that_fails_before_it_writes_anything_says_why(tmp_path):
    (tmp_path / "evaluation").write_text("{}")

    result = lesionflow("step", "gate", "--input", f"evaluation={tmp_path / 'evaluation'}",
                        "--output", tmp_path / "alone", cwd=tmp_path)  # fmt: skip

    assert result.returncode == 2
    assert "is not an evaluation" in result.stdout
    assert "Traceback" not in result.stdout + result.stderr


def test_predict_follows_the_champion(site, unbroken, tmp_path):
    import zipfile

    with zipfile.ZipFile(site.data / "HAM10000_images_part_1.zip") as archive:
        name = archive.namelist()[0]
        (tmp_path / "lesion.jpg").write_bytes(archive.read(name))

    result = lesionflow("predict", "--model", unbroken / "registry", tmp_path / "lesion.jpg", cwd=tmp_path)

    assert result.returncode == 0, result.stderr
    header, row = (tmp_path / "predictions.csv").read_text().splitlines()
    assert header == "image_id,akiec,bcc,bkl,df,mel,nv,vasc,predicted,abstain,error"
    assert row.startswith("lesion,")
    assert sum(map(float, row.split(",")[1:8])) == pytest.approx(1, abs=1e-4)


def test_clean_keeps_what_the_kept_run_uses(site, tmp_path):
    output = tmp_path / "out"
    bad = site.run(output, "--duplicate-pairs", "nowhere.csv")
    assert bad.returncode == 2
    assert len(list((output / "runs").iterdir())) == 1

    result = lesionflow("clean", "--keep", "0", "--output", output, cwd=tmp_path)

    assert result.returncode == 0, result.stderr
    assert list((output / "runs").iterdir()) == []
