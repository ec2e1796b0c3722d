"""`lesionflow schedule` as a user types it, against a stand-in server (see `kfp_api.server`)."""

import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from kfp_api.server import KfpApiServer

from lesionflow.cli import main as cli
from lesionflow.policy import load_policy
from lesionflow.profile import load_profile
from lesionflow.recipe import load_recipe


@pytest.fixture
def schedule(
    api: KfpApiServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Any:
    """Run `lesionflow schedule ...`: a function of its arguments that returns exit code, output and errors."""
    for name in ("KF_PIPELINES_ENDPOINT", "KFP_EXISTING_TOKEN", "CRON_SCHEDULE_TIMEZONE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str | Path) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["lesionflow", "schedule", *map(str, arguments), "--endpoint", api.url])
        with pytest.raises(SystemExit) as stop:
            sys.exit(cli.main())
        output = capsys.readouterr()
        return int(stop.value.code or 0), output.out, output.err

    return run


def only(api: KfpApiServer) -> dict[str, Any]:
    (run,) = api.recurring_runs.values()
    return run


def test_apply_then_nothing_to_do(api: KfpApiServer, schedule: Any, schedule_file: Any) -> None:
    code, out, err = schedule("apply", schedule_file())
    assert (code, err) == (0, "")
    assert "created, disabled" in out
    assert "enabled" in out
    assert out.count("03:00") == 3
    assert "UTC" in out
    assert only(api)["status"] == "ENABLED"
    code, out, _ = schedule("apply", schedule_file())
    assert code == 0
    assert "weekly is as schedule.yaml says, nothing to do" in out


def test_five_fields_are_translated_and_said_so(api: KfpApiServer, schedule: Any, schedule_file: Any) -> None:
    _, out, _ = schedule("apply", schedule_file(cron="0 3 * * 1"))
    assert "'0 3 * * 1' is sent as '0 0 3 * * 1'" in out
    assert only(api)["trigger"]["cron_schedule"]["cron"] == "0 0 3 * * 1"


def test_diff_shows_and_changes_nothing(api: KfpApiServer, schedule: Any, schedule_file: Any) -> None:
    code, out, _ = schedule("diff", schedule_file())
    assert code == 0
    assert "weekly is not on the server" in out
    assert "apply would create it, disabled" in out
    assert "create the experiment lesionflow" in out
    schedule("apply", schedule_file())
    before = dict(only(api))
    api.requests.clear()
    changed = schedule_file(cron="0 0 4 * * 1", version="v2", parameters="{source: gs://example/data, seed: 1}")
    code, out, _ = schedule("diff", changed)
    rows = {line.split()[0]: line.split()[1:] for line in out.splitlines() if line.strip()}
    assert code == 0
    assert rows["version"] == ["latest", "v2"]
    assert rows["parameters.seed"] == ["—", "1"]
    assert "0 0 4 * * 1" in " ".join(rows["cron"])
    assert not {"service_account", "paused", "experiment", "pipeline"} & set(rows)
    assert max(len(line) for line in out.splitlines()) <= 80
    assert {method for method, *_ in api.requests} == {"GET"}
    assert only(api) == before


def test_the_file_wins_over_pause_and_says_so(api: KfpApiServer, schedule: Any, schedule_file: Any) -> None:
    schedule("apply", schedule_file())
    code, out, _ = schedule("pause", "weekly")
    assert code == 0
    assert "write `paused: true`" in out
    assert only(api)["status"] == "DISABLED"
    _, out, _ = schedule("diff", schedule_file())
    assert "apply would enable it" in out
    _, out, _ = schedule("apply", schedule_file())
    assert "the server had paused it, schedule.yaml does not" in out
    assert only(api)["status"] == "ENABLED"
    _, out, _ = schedule("apply", schedule_file(paused="true"))
    assert "It is paused" in out
    assert only(api)["status"] == "DISABLED"
    _, out, _ = schedule("resume", "weekly")
    assert "enabled" in out
    assert only(api)["status"] == "ENABLED"
    code, _, _ = schedule("delete", "weekly")
    assert code == 0
    assert not api.recurring_runs


def test_lost_answers_do_not_stop_a_pause(api: KfpApiServer, schedule: Any, schedule_file: Any) -> None:
    schedule("apply", schedule_file())
    api.fail_next("POST", ":disable", "drop")
    assert schedule("pause", "weekly")[0] == 0
    assert only(api)["status"] == "DISABLED"


def test_list_shows_ours_with_their_last_run(api: KfpApiServer, schedule: Any, schedule_file: Any) -> None:
    assert "There is none" in schedule("list")[1]
    schedule("apply", schedule_file())
    schedule("apply", schedule_file(name="'[often]'", cron="", interval="12h", version="v2", paused="true"))
    (identifier, weekly), _ = api.recurring_runs.items()
    api.recurring_runs["other"] = {**weekly, "display_name": "other", "description": "made in the user interface"}
    for index, state in enumerate(["FAILED", "SUCCEEDED"]):
        api.runs[f"run{index}"] = {
            "run_id": f"run{index}", "recurring_run_id": identifier, "state": state,
            "created_at": f"2029-01-0{index + 1}T03:00:05Z", "scheduled_at": f"2029-01-0{index + 1}T03:00:00Z",
        }  # fmt: skip
    code, out, _ = schedule("list", "--timezone", "Asia/Tokyo")
    rows = {line.split()[0]: line for line in out.splitlines()}
    assert code == 0
    assert set(rows) == {"name", "weekly", "[often]"}
    assert "next (Asia/Tokyo)" in rows["name"]
    assert "03:00" in rows["weekly"]
    assert "latest" in rows["weekly"]
    assert "every 12h" in rows["[often]"]
    assert "paused" in rows["[often]"]
    assert "v2" in rows["[often]"]
    assert "✓ 2029-01-02" in rows["weekly"]


def test_what_others_made_is_left_to_them(api: KfpApiServer, schedule: Any, schedule_file: Any) -> None:
    schedule("apply", schedule_file())
    only(api)["description"] = "made in the user interface"
    for command in ("delete", "pause", "resume"):
        code, _, err = schedule(command, "weekly")
        assert code == 2
        assert "was not made by" in err
    assert only(api)["status"] == "ENABLED"
    _, out, _ = schedule("diff", schedule_file())
    assert "not made from a file" in out
    schedule("apply", schedule_file())
    ours = only(api)
    assert "[lesionflow " in ours["description"]
    theirs = {**ours, "recurring_run_id": "theirs", "description": "made in the user interface"}
    api.recurring_runs["theirs"] = theirs
    schedule("pause", "weekly")
    assert (ours["status"], theirs["status"]) == ("DISABLED", "ENABLED")
    code, _, err = schedule("resume", "weekly")
    assert code == 2
    assert "several schedules named 'weekly'" in err


def test_a_recipe_and_a_policy_may_be_files_whose_contents_are_sent(
    api: KfpApiServer, schedule: Any, schedule_file: Any, tmp_path: Path
) -> None:
    (tmp_path / "mine.yaml").write_text("name: mine\nbatch_size: 8\n")
    (tmp_path / "gate.yaml").write_text("clauses:\n- {kind: average, metric: accuracy, at_least: 0.8}\n")
    file = schedule_file(parameters="{source: gs://b/d, recipe: mine.yaml, policy: gate.yaml}")
    assert schedule("apply", file)[0] == 0
    sent = only(api)["runtime_config"]["parameters"]
    assert load_recipe(sent["recipe"]).batch_size == 8
    assert load_policy(sent["policy"]).headline.metric == "accuracy"
    assert "nothing to do" in schedule("apply", file)[1]

    (tmp_path / "mine.yaml").write_text("name: mine\nbatch_size: 16\n")
    assert "created, disabled" in schedule("apply", file)[1]
    assert load_recipe(only(api)["runtime_config"]["parameters"]["recipe"]).batch_size == 16


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"pipeline": "none"}, "there is no pipeline 'none'"),
        ({"version": "v3"}, "no version 'v3'; the newest is 'v2'"),
        ({"version": "00000000-0000-0000-0000-000000000000"}, "no version '00000000"),
        ({"parameters": "{sorce: x}"}, "did you mean source?"),
        ({"parameters": "{source: /home/me/data}"}, "source /home/me/data is a path of this machine, which pods"),
        ({"parameters": "{source: gs://b/d, weights: mine.h5}"}, "weights mine.h5 is a path of this machine"),
        ({"parameters": "{source: gs://b/d, weights: /opt/weights/../x}"}, "leads out of its folder"),
        ({"parameters": "{source: gs://b/d, recipe: mine.yaml}"}, "recipe mine.yaml is no preset, and there is no"),
        ({"parameters": "{source: gs://b/d, recipe: '{\"name\": 1}'}"}, "The recipe in the given text is not valid"),
        ({"parameters": "{source: gs://b/d, policy: mine.yaml}"}, "policy mine.yaml is no preset, and there is no"),
        (
            {"parameters": "{source: gs://b/d, policy: '{\"clauses\": [7]}'}"},
            "The policy in the given text is not valid",
        ),
        (
            {
                "parameters": "{source: gs://b/d, policy: '{clauses: [{kind: average, metric: accuracy, at_least: 1}, "
                "{kind: champion, metric: accuracy, worse_by_at_most: 0.1}]}'}"
            },
            "Clause 2 of the policy (champion: difference of accuracy to the champion) needs one model",
        ),
        ({"pipeline_root": "/home/me/root"}, "pipeline_root /home/me/root is a path of this machine"),
        ({"cron": "0 3 * * 9"}, "day of week"),
    ],
)
def test_a_wrong_file_ends_with_code_2(
    api: KfpApiServer, schedule: Any, schedule_file: Any, changes: dict[str, str], says: str
) -> None:
    code, _, err = schedule("apply", schedule_file(**changes))
    assert code == 2
    assert says in err
    assert err.count("\n") == 1
    assert "schedule.yaml: " in err
    assert "Traceback" not in err
    assert not api.recurring_runs
    assert not api.experiments


def test_a_version_may_be_named_by_its_id(api: KfpApiServer, schedule: Any, schedule_file: Any) -> None:
    (second,) = [identifier for identifier, version in api.versions.items() if version["name"] == "v2"]
    schedule("apply", schedule_file(version=second))
    assert only(api)["pipeline_version_reference"]["pipeline_version_id"] == second
    assert "nothing to do" in schedule("apply", schedule_file(version="v2"))[1]


@pytest.mark.parametrize(("fault", "code", "says"), [(401, 2, "401"), (500, 1, "500"), ("drop", 1, "closed")])
def test_a_broken_server_is_explained(
    api: KfpApiServer, schedule: Any, schedule_file: Any, fault: Any, code: int, says: str
) -> None:
    api.fail_next("GET", "recurringruns", fault, times=9)
    received, _, err = schedule("apply", schedule_file())
    assert received == code
    assert says in err
    assert "Traceback" not in err


def test_what_is_not_there_is_said_to_be(schedule: Any) -> None:
    assert "There is no schedule 'none'" in schedule("pause", "none")[2]
    code, _, err = schedule("list", "--timezone", "Mars/Base")
    assert code == 2
    assert "expected a name such as UTC" in err


def test_the_sample_runs_as_the_account_that_the_manifests_make(
    api: KfpApiServer, client: Any, schedule: Any, package: Path
) -> None:
    root = Path(__file__).parents[3]
    text = (root / "manifests" / "base" / "pipeline-pods.yaml").read_text()
    made = [each["metadata"]["name"] for each in yaml.safe_load_all(text) if each["kind"] == "ServiceAccount"]
    client.pipeline_uploads.upload_pipeline(str(package), name="lesionflow-training-generic")
    code, _, err = schedule("apply", root / "docs" / "schedule.yaml")
    assert (code, err) == (0, "")
    assert [only(api)["service_account"]] == made


def test_who_follows_the_pipeline_of_all_profiles_is_told(
    api: KfpApiServer, client: Any, schedule: Any, schedule_file: Any, package: Path
) -> None:
    client.pipeline_uploads.upload_pipeline(str(package), name="lesionflow-training")
    told = "a pipeline that `submit` uploads no more to"
    for command in ("diff", "apply"):
        code, out, _ = schedule(command, schedule_file(pipeline="lesionflow-training"))
        assert (code, told in out) == (0, True), out
    assert told in schedule("list")[1]
    schedule("apply", schedule_file())
    assert told not in schedule("list")[1]
    assert told not in schedule("diff", schedule_file())[1]


def test_a_schedule_that_names_no_account_has_the_profiles(
    api: KfpApiServer, schedule: Any, schedule_file: Any
) -> None:
    schedule("apply", schedule_file())
    assert only(api)["service_account"] == load_profile("generic").service_account
    only(api)["service_account"] = "pipeline-runner"
    assert "pipeline-runner" in schedule("diff", schedule_file(cron="0 0 4 * * 1"))[1]


def test_names_are_no_markup(api: KfpApiServer, schedule: Any, schedule_file: Any) -> None:
    """What rich would take for the end of a tag that nobody began."""
    code, out, err = schedule("apply", schedule_file(name="'[/x]'", experiment="'[/b]'"))
    assert (code, err) == (0, "")
    only(api)["runtime_config"]["parameters"]["[/p]"] = "[/v]"
    only(api)["trigger"] = {"cron_schedule": {"cron": "[/c]"}}
    code, out, err = schedule("diff", schedule_file(name="'[/x]'", experiment="'[/b]'", version="v2"))
    assert (code, err) == (0, "")
    for words in ("[/x], on the server", "[/p]", "[/v]", "[/c]"):
        assert words in out
    code, out, err = schedule("list")
    assert (code, err, "[/x]" in out, "[/c]" in out) == (0, "", True, True), out


def test_what_another_pipeline_means_by_a_name_is_not_judged(
    api: KfpApiServer, client: Any, schedule: Any, schedule_file: Any, package: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other.yaml"
    other.write_text(package.read_text().replace("name: lesionflow-training", "name: other"))
    client.pipeline_uploads.upload_pipeline(str(other), name="other")
    assert schedule("apply", schedule_file(pipeline="other", parameters="{source: a table}"))[0] == 0
