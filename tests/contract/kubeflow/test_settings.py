"""Where settings come from."""

from pathlib import Path

import pytest

from lesionflow.errors import UserError
from lesionflow.kubeflow.client.settings import ClusterSettings


def test_flags_before_environment_before_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("lesionflow.yaml").write_text("endpoint: https://file.example.com\nnamespace: file\nexperiment: file\n")
    monkeypatch.setenv("KFP_NAMESPACE", "environment")
    monkeypatch.setenv("KF_PIPELINES_DEFAULT_EXPERIMENT_NAME", "environment")

    settings = ClusterSettings.load(experiment="flag", namespace=None)

    assert settings.endpoint == "https://file.example.com"
    assert settings.namespace == "environment"
    assert settings.experiment == "flag"


def test_files_are_looked_for_in_order(tmp_path: Path) -> None:
    user = tmp_path / "config" / "lesionflow" / "config.yaml"
    user.parent.mkdir(parents=True)
    user.write_text("namespace: users\n")
    assert ClusterSettings.load().namespace == "users"
    Path("lesionflow.yaml").write_text("namespace: folders\n")
    assert ClusterSettings.load().namespace == "folders"
    Path("other.yaml").write_text("namespace: named\n")
    assert ClusterSettings.load(Path("other.yaml")).namespace == "named"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("endpont: https://kubeflow.example.com\n", ["`endpont`", "endpoint"]),
        ("token: hunter2\n", ["secrets do not belong", "KFP_EXISTING_TOKEN"]),
        ("dex_password: hunter2\n", ["secrets do not belong", "LESIONFLOW_DEX_PASSWORD"]),
        ("- endpoint\n", ["received list"]),
        ("{\n", ["line 2"]),
        ("components: {}\n---\nplatforms: {}\n", ["line"]),
        ("components: {}\npipelineInfo: {name: x}\n", ["a compiled pipeline", "--config"]),
        ("namespace: ''\n", ["`namespace`"]),
        ("endpoint: ftp://kubeflow.example.com\n", ["`endpoint`", "https://"]),
        ("endpoint: https://me:hunter2@kubeflow.example.com\n", ["no password"]),
    ],
)
def test_a_wrong_file_is_one_sentence(text: str, words: list[str]) -> None:
    Path("settings.yaml").write_text(text)
    with pytest.raises(UserError) as refused:
        ClusterSettings.load(Path("settings.yaml"))
    for word in ["settings.yaml", *words]:
        assert word in str(refused.value)
    assert "hunter2" not in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_wrong_value_says_where_it_came_from(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match=r"^--endpoint: "):
        ClusterSettings.load(endpoint="ftp://x")
    monkeypatch.setenv("KF_PIPELINES_ENDPOINT", "ftp://x")
    with pytest.raises(UserError, match="environment variable KF_PIPELINES_ENDPOINT"):
        ClusterSettings.load()


def test_a_missing_file_that_was_named() -> None:
    with pytest.raises(UserError, match=r"no\.yaml cannot be read"):
        ClusterSettings.load(Path("no.yaml"))


def test_secrets_are_not_in_the_settings_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KFP_EXISTING_TOKEN", "hunter2")
    monkeypatch.setenv("LESIONFLOW_DEX_PASSWORD", "hunter2")
    settings = ClusterSettings.load()
    assert "hunter2" not in f"{settings!r} {settings} {settings.model_dump_json()}"


def test_https_unless_said_otherwise() -> None:
    assert ClusterSettings.load(endpoint="kubeflow.example.com/").endpoint == "https://kubeflow.example.com"
