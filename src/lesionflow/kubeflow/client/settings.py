"""How to reach a cluster: flags, then the environment, then a file. Each setting from the first that names it.

Not by pydantic-settings: it merges the sources before it validates, and forgets which of them a wrong value is from,
which an error has to name; and each source here has rules of its own (a secret from the environment only).
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

import yaml
from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator

from lesionflow.errors import UserError

_VARIABLES = {
    "endpoint": "KF_PIPELINES_ENDPOINT",
    "ui_endpoint": "KF_PIPELINES_UI_ENDPOINT",
    "experiment": "KF_PIPELINES_DEFAULT_EXPERIMENT_NAME",
    "namespace": "KFP_NAMESPACE",
    "token_file": "KF_PIPELINES_SA_TOKEN_PATH",
    "iap_client_id": "KF_PIPELINES_IAP_OAUTH2_CLIENT_ID",
    "dex_username": "LESIONFLOW_DEX_USERNAME",
}
"""The names that kfp's own client and command line read, where they have one."""

TOKEN_VARIABLE = "KFP_EXISTING_TOKEN"
DEX_PASSWORD_VARIABLE = "LESIONFLOW_DEX_PASSWORD"
_SECRETS = {"token": TOKEN_VARIABLE, "dex_password": DEX_PASSWORD_VARIABLE}


class ClusterSettings(BaseModel):
    """Where Kubeflow Pipelines is and who asks."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    endpoint: str = ""
    """URL of the API. Empty: the cluster this runs in, else through the API server of the kubeconfig."""
    ui_endpoint: str = ""
    """URL of the user interface, if it is another."""
    namespace: str = Field(default="kubeflow", min_length=1)
    """Where the runs' pods are. A multi-user Kubeflow also lists runs by it."""
    service_namespace: str = Field(default="kubeflow", min_length=1)
    """Where Kubeflow Pipelines itself is installed."""
    experiment: str = Field(default="lesionflow", min_length=1)
    kube_context: str | None = None
    """Context of the kubeconfig; its current one if None."""
    ca_file: Path | None = None
    """PEM file with the authority that signed the endpoint's certificate."""
    token_file: Path | None = None
    """File with a bearer token. Read anew for every request: the kubelet renews projected tokens."""
    token: SecretStr | None = None
    """A bearer token; from the environment only."""
    iap_client_id: str = ""
    """OAuth client of Google's Identity-Aware Proxy in front of the endpoint."""
    dex_username: str = ""
    dex_host: str = ""
    """Where Dex's login page is, if not on the endpoint's host: the password goes nowhere else."""
    dex_password_file: Path | None = None
    dex_password: SecretStr | None = None
    """From the environment only."""

    @field_validator("endpoint", "ui_endpoint")
    @classmethod
    def _is_address(cls, endpoint: str) -> str:
        """With https where no scheme is given, as kfp has it."""
        if not endpoint:
            return ""
        parts = urlsplit(endpoint if "//" in endpoint else f"https://{endpoint}")
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("expected an address such as https://kubeflow.example.com/pipeline")
        if "@" in parts.netloc:
            raise ValueError("there must be no password in the address; see `dex_username` and `token_file`")
        return parts.geturl().rstrip("/")

    @classmethod
    def load(cls, config: Path | None = None, **flags: Any) -> Self:
        """Collect the settings of one command.

        Args:
            config: a file that must exist; without it the first of `config_files` that does.
            **flags: fields given on the command line; None where one was not given.

        Raises:
            UserError: the file cannot be read, or a key or value in it is wrong.
        """
        given = {name: value for name, value in flags.items() if value is not None}
        environment = {
            name: os.environ[variable]
            for name, variable in (_VARIABLES | _SECRETS).items()
            if os.environ.get(variable, "").strip()
        }
        file = config or next((path for path in config_files() if path.is_file()), None)
        values = (_read(file) if file else {}) | environment | given
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            problem = error.errors(include_input=False, include_url=False)[0]
            name = str(problem["loc"][0])
            raise UserError(
                f"{_origin(name, given, environment, file)}: {problem['msg'].removeprefix('Value error, ')}."
            ) from None


def config_files() -> list[Path]:
    """Where settings are looked for when no file is named."""
    home = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    return [Path("lesionflow.yaml"), home / "lesionflow" / "config.yaml"]


def _read(file: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8")) or {}
        found = "a compiled pipeline" if "pipelineInfo" in content else type(content).__name__
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise UserError(f"The settings in {file} cannot be read: {reason}.") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        content, found = None, f"what is not YAML{f' at line {mark.line + 1}' if mark else ''}"
    if not isinstance(content, Mapping) or "pipelineInfo" in content:
        raise UserError(f"{file} must hold settings as `name: value` lines, received {found}; or use --config.")
    settings: dict[str, Any] = {str(key): value for key, value in content.items()}
    for name, variable in _SECRETS.items():
        if name in settings:
            raise UserError(f"{file} holds `{name}`; secrets do not belong there, use {variable} or `{name}_file`.")
    known = set(ClusterSettings.model_fields) - set(_SECRETS)
    for name in settings:
        if name not in known:
            raise UserError(f"{file} holds an unknown setting `{name}`; known are {', '.join(sorted(known))}.")
    return settings


def _origin(name: str, flags: Mapping[str, Any], environment: Mapping[str, Any], file: Path | None) -> str:
    if name in flags:
        return f"--{name.replace('_', '-')}"
    if name in environment:
        return f"The environment variable {(_VARIABLES | _SECRETS)[name]}"
    return f"`{name}` in {file}"
