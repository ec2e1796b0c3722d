"""What the stand-in server accepts: bodies and pipeline packages, checked more strictly than KFP does."""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import kfp_server_api
import yaml
from google.protobuf import json_format
from kfp.kubernetes import kubernetes_executor_config_pb2
from kfp.pipeline_spec import pipeline_spec_pb2

_INT64 = {"max_concurrency", "interval_second", "long_value"}
"""Declared as text in the generated models, since JSON has no 64-bit numbers; a number is accepted as well."""


CODES = {400: 3, 401: 16, 403: 7, 404: 5, 409: 6, 429: 8, 500: 13}
"""HTTP status -> gRPC's, which KFP's answers hold."""


class ApiError(Exception):
    """An answer that is not 2xx, as KFP's gateway words it: the whole chain of reasons, and the innermost alone.

    What its own JSON reader refuses has no details; `inner` is None then.
    """

    def __init__(self, status: int, message: str, inner: str | None = "") -> None:
        super().__init__(message)
        self.status, self.inner = status, inner

    def body(self) -> dict[str, Any]:
        """What is sent."""
        code, message = CODES[self.status], str(self)
        if self.inner is None:
            return {"code": code, "message": message}
        kind = "type.googleapis.com/google.rpc.Status"
        return {
            "code": code,
            "message": message,
            "details": [{"@type": kind, "code": code, "message": self.inner or message}],
        }


class UnknownField(ApiError):
    """A field that a model has not; KFP says where in the body it stands."""

    def __init__(self, field: str) -> None:
        super().__init__(400, f'unknown field "{field}"', None)
        self.field = field

    def at(self, body: bytes) -> ApiError:
        """The same in the words of KFP, whose columns begin with 1."""
        column = body.find(f'"{self.field}"'.encode()) + 1
        return ApiError(400, f"proto: (line 1:{column}): {self}", None)


def model(name: str, data: Any, path: str = "body") -> None:
    """Refuse `data` unless it is exactly an object of the generated model `name`.

    Raises:
        ApiError: 400, for an unknown field, a wrong type or a wrong enum value.
    """
    kind = getattr(kfp_server_api, name)
    choices = getattr(kind, "allowable_values", None)
    if choices is not None:
        if data not in choices:
            raise ApiError(400, f"{path}: {data!r} is none of {', '.join(choices)}")
        return
    if not isinstance(data, Mapping):
        raise ApiError(400, f"{path}: expected an object, received {data!r}")
    fields = {wire: kind.openapi_types[field] for field, wire in kind.attribute_map.items()}
    for key, value in data.items():
        if key not in fields:
            raise UnknownField(key)
        if value is not None:
            _value(fields[key], value, f"{path}.{key}", int64=key in _INT64)


def _value(kind: str, value: Any, path: str, int64: bool) -> None:
    if listed := re.fullmatch(r"list\[(.*)\]", kind):
        if not isinstance(value, list):
            raise ApiError(400, f"{path}: expected a list, received {value!r}")
        for index, item in enumerate(value):
            _value(listed[1], item, f"{path}[{index}]", int64)
    elif mapped := re.fullmatch(r"dict\(str, (.*)\)", kind):
        if not isinstance(value, Mapping):
            raise ApiError(400, f"{path}: expected an object, received {value!r}")
        for key, item in value.items():
            _value(mapped[1], item, f"{path}.{key}", int64)
    elif kind == "datetime":
        timestamp(value, path)
    elif kind in ("str", "int", "bool", "object"):
        right = {"str": str, "int": int, "bool": bool, "object": object}[kind]
        number = int64 and isinstance(value, int | str) and re.fullmatch(r"-?\d+", str(value))
        if not number and (int64 or not isinstance(value, right) or (kind == "int" and isinstance(value, bool))):
            raise ApiError(400, f"{path}: expected {kind}, received {value!r}")
    else:
        model(kind, value, path)


def timestamp(value: Any, path: str) -> datetime:
    """An RFC 3339 time.

    Raises:
        ApiError: 400, if it is none.
    """
    try:
        when = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        raise ApiError(400, f"{path}: expected an RFC 3339 time, received {value!r}") from None
    if when.tzinfo is None:
        raise ApiError(400, f"{path}: {value!r} has no time zone")
    return when


def request(name: str, body: Any, allowed: set[str], required: set[str]) -> dict[str, Any]:
    """The body of a create request.

    Raises:
        ApiError: 400, also for fields that only the server may set, and for missing ones.
    """
    model(name, body)
    given = {key: value for key, value in body.items() if value is not None}
    if surplus := given.keys() - allowed:
        raise ApiError(400, f"body: not for a client to set: {', '.join(sorted(surplus))}")
    if missing := {key for key in required if given.get(key) in (None, "")}:
        raise ApiError(400, f"body: required and missing or empty: {', '.join(sorted(missing))}")
    return given


def package(text: bytes) -> dict[str, Any]:
    """The `pipeline_spec` that the server keeps of an uploaded YAML package.

    Raises:
        ApiError: 400, if either document does not parse strictly.
    """
    try:
        documents = [document for document in yaml.safe_load_all(text) if document is not None]
        if not 1 <= len(documents) <= 2:
            raise ApiError(400, f"a package has one or two documents, this one {len(documents)}")
        spec = json_format.ParseDict(documents[0], pipeline_spec_pb2.PipelineSpec())
        if not spec.pipeline_info.name:
            raise ApiError(400, "the pipeline spec has no pipelineInfo.name")
        if len(documents) == 1:
            return documents[0]
        json_format.ParseDict(documents[1], pipeline_spec_pb2.PlatformSpec())
        for executor in documents[1]["platforms"]["kubernetes"].get("deploymentSpec", {}).get("executors", {}).values():
            json_format.ParseDict(executor, kubernetes_executor_config_pb2.KubernetesExecutorConfig())
    except (yaml.YAMLError, json_format.ParseError, KeyError, AttributeError) as error:
        raise ApiError(400, f"invalid pipeline package: {error}") from None
    return {"pipeline_spec": documents[0], "platform_spec": documents[1]}


_TYPES: dict[str, tuple[type, ...]] = {
    "STRING": (str,),
    "NUMBER_INTEGER": (int,),
    "NUMBER_DOUBLE": (int, float),
    "BOOLEAN": (bool,),
    "LIST": (list,),
    "STRUCT": (dict,),
}


def inputs(spec: dict[str, Any], given: Mapping[str, Any]) -> None:
    """Check runtime parameters against a pipeline's own.

    Raises:
        ApiError: 400, for an unknown, missing or badly typed parameter.
    """
    spec = spec.get("pipeline_spec", spec)
    known = spec.get("root", {}).get("inputDefinitions", {}).get("parameters", {})
    for name, value in given.items():
        if name not in known:
            raise ApiError(400, f"parameter {name!r} is not required by the pipeline")
        kind = known[name]["parameterType"]
        if not isinstance(value, _TYPES[kind]) or (isinstance(value, bool) and kind != "BOOLEAN"):
            raise ApiError(400, f"parameter {name!r} must be {kind}, received {value!r}")
    for name, definition in known.items():
        if name not in given and "defaultValue" not in definition and not definition.get("isOptional"):
            inner = f"parameter {name} is not optional, yet has neither default value nor user provided value"
            raise ApiError(400, f"Invalid input error: {inner}", inner)
