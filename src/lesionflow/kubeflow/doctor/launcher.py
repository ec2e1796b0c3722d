"""Which object store KFP's launcher uses for a pipeline root, by the ConfigMap `kfp-launcher` of the namespace.

As KFP 2.17 reads it (backend/src/v2/config).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import urlsplit

import yaml

from lesionflow.errors import UserError

CONFIG_MAP = "kfp-launcher"
DEFAULT_ROOT = "minio://mlpipeline/v2/artifacts"
DEFAULT_ENDPOINT = "seaweedfs.kubeflow:9000"
DEFAULT_SECRET = "mlpipeline-minio-artifact"
KEYS = ("accesskey", "secretkey")


@dataclass(frozen=True)
class UsedStore:
    """An S3-compatible store as pods use it."""

    user: str
    """Who uses it, in words."""
    setting: str
    """Where its address is set, in words."""
    endpoint: str
    """URL or host:port; empty for Amazon's."""
    secret: str = ""
    """Name of the Secret with its credentials; empty if they come from elsewhere."""
    keys: Sequence[str] = KEYS
    """Names of the access key and of the secret key in that Secret."""


def root_of(config: Mapping[str, str]) -> str:
    """The pipeline root of runs that name none.

    Args:
        config: data of the ConfigMap; empty if there is none.
    """
    return config.get("defaultPipelineRoot") or DEFAULT_ROOT


def store_of(config: Mapping[str, str], root: str) -> UsedStore | None:
    """The store in which the launcher keeps what is below a pipeline root.

    Args:
        config: data of the ConfigMap; empty if there is none.
        root: the pipeline root.

    Returns:
        None if it is on gs://, or on Amazon's S3 by the role of the pods.

    Raises:
        UserError: KFP's launcher would fail of `providers`.
    """
    address = urlsplit(root)
    if address.scheme not in ("s3", "minio"):
        return None
    given = _providers(config).get(address.scheme)
    if address.query or (given is None and address.scheme == "s3"):
        return None
    if given is None:
        return UsedStore("KFP's launcher", "by KFP itself", DEFAULT_ENDPOINT, DEFAULT_SECRET)
    default = _mapping(_field(_mapping(given), "default"))
    override = _override(given, address.netloc, address.path.strip("/") + "/")
    credentials = _mapping(_field(override or default, "credentials"))
    if not _mapping(_field(default, "credentials")) or not credentials:
        raise _wrong(f"{address.scheme} names no credentials")
    endpoint = str(_field(override, "endpoint") or _field(default, "endpoint") or "")
    where = f"in `providers` of the ConfigMap {CONFIG_MAP}"
    if _field(credentials, "fromEnv"):
        return UsedStore("KFP's launcher", where, endpoint)
    reference = _mapping(_field(credentials, "secretRef"))
    names = [str(_field(reference, name) or "") for name in ("secretName", "accessKeyKey", "secretKeyKey")]
    if not all(names):
        raise _wrong(f"{address.scheme} needs fromEnv: true, or secretRef with secretName, accessKeyKey, secretKeyKey")
    return UsedStore("KFP's launcher", where, endpoint, names[0], tuple(names[1:]))


def _providers(config: Mapping[str, str]) -> Mapping[str, Any]:
    try:
        return _mapping(yaml.safe_load(config.get("providers") or "{}"))
    except yaml.YAMLError as error:
        raise _wrong(" ".join(str(error).split())) from None


def _override(given: Any, bucket: str, prefix: str) -> Mapping[str, Any]:
    """The first override of this bucket and a prefix of this one; empty if there is none."""
    for one in cast(list[Any], _field(_mapping(given), "overrides") or []):
        its_prefix = str(_field(_mapping(one), "keyPrefix") or "")
        if _field(_mapping(one), "bucketName") == bucket and prefix.startswith(its_prefix):
            return _mapping(one)
    return {}


def _field(section: Mapping[str, Any], name: str) -> Any:
    """KFP reads the names of fields without regard to case."""
    return next((value for key, value in section.items() if str(key).lower() == name.lower()), None)


def _mapping(value: Any) -> Mapping[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise _wrong(f"expected fields, found {value!r:.60}")
    return cast(Mapping[str, Any], value)


def _wrong(why: str) -> UserError:
    return UserError(
        f"KFP's launcher cannot use `providers` of the ConfigMap {CONFIG_MAP}: {why}; correct it as in "
        "manifests/base/kfp-launcher.yaml"
    )
