"""Lists as the stand-in server answers them: filtered, sorted, in pages."""

import base64
import binascii
import json
import re
from collections.abc import Mapping
from typing import Any

import kfp_server_api
from kfp_api.strict import ApiError, model, timestamp

_OPERATIONS = {1: "EQUALS", 2: "NOT_EQUALS", 3: "GREATER_THAN", 5: "GREATER_THAN_EQUALS", 6: "LESS_THAN",
               7: "LESS_THAN_EQUALS", 8: "IN", 9: "IS_SUBSTRING"}  # fmt: skip
_VALUES = ("int_value", "long_value", "string_value", "timestamp_value", "int_values", "long_values", "string_values")


def listing(name: str, key: str, items: list[dict[str, Any]], query: Mapping[str, str]) -> dict[str, Any]:
    """One page of `items`: filtered, sorted, cut.

    Args:
        name: the model of an item; its fields may be filtered and sorted by.
        key: what the answer calls the list; mostly, but not always, in snake case.
        items: all that could be listed, oldest first.
        query: `filter`, `sort_by`, `page_size`, `page_token` of the request.

    Raises:
        ApiError: 400.
    """
    fields = set(getattr(kfp_server_api, name).openapi_types)
    for predicate in _predicates(query.get("filter", "")):
        if predicate["key"] not in fields:
            raise ApiError(400, f"filter: {name} has no field {predicate['key']!r}")
        items = [item for item in items if _holds(predicate, item.get(predicate["key"]))]
    words = query.get("sort_by", "").split()
    if words and (words[0] not in fields or words[1:] not in ([], ["asc"], ["desc"])):
        raise ApiError(400, f"sort_by: {query['sort_by']!r}")
    if words:
        items = sorted(items, key=lambda item: str(item.get(words[0], "")))  # stable: the oldest first among equals
        if words[1:] == ["desc"]:
            items.reverse()
    if not re.fullmatch(r"\d{1,4}", size := query.get("page_size") or "0"):
        raise ApiError(400, f"page_size: {size!r}")
    start = _start(query)
    end = start + min(int(size) or 20, 200)
    answer: dict[str, Any] = {key: items[start:end], "total_size": len(items)}
    if end < len(items):
        token = [end, query.get("filter", ""), query.get("sort_by", "")]
        answer["next_page_token"] = base64.urlsafe_b64encode(json.dumps(token).encode()).decode()
    # As KFP's gateway does: empty lists and zeros are left out, so the client's model holds None.
    return {field: value for field, value in answer.items() if value}


def _start(query: Mapping[str, str]) -> int:
    if not query.get("page_token"):
        return 0
    try:
        start, *same = json.loads(base64.urlsafe_b64decode(query["page_token"]))
    except (binascii.Error, ValueError):
        raise ApiError(400, "page_token: not one of this server's") from None
    if same != [query.get("filter", ""), query.get("sort_by", "")]:
        raise ApiError(400, "page_token: of another query")
    return start


def _predicates(text: str) -> list[dict[str, Any]]:
    if not text:
        return []
    try:
        decoded = json.loads(text)
    except ValueError:
        raise ApiError(400, f"filter: not JSON: {text!r}") from None
    # Protocol buffers' JSON knows both spellings and enums as numbers; the SDK uses the other one in each case.
    decoded = json.loads(re.sub(r'"(\w+)":', lambda word: f'"{_snake(word[1])}":', json.dumps(decoded)))
    for predicate in decoded.get("predicates", []):
        predicate["operation"] = _OPERATIONS.get(predicate.get("operation"), predicate.get("operation"))
    model("V2beta1Filter", decoded, "filter")
    for predicate in decoded.get("predicates", []):
        if sum(field in predicate for field in _VALUES) != 1 or "key" not in predicate:
            raise ApiError(400, f"filter: a predicate has a key and exactly one value: {predicate}")
    return decoded.get("predicates", [])


def _snake(name: str) -> str:
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()


def _holds(predicate: Mapping[str, Any], actual: Any) -> bool:
    value = next(predicate[field] for field in _VALUES if field in predicate)
    operation = predicate["operation"]
    if operation == "IN":
        return actual in value["values"]
    if operation == "IS_SUBSTRING":
        return str(value) in str(actual or "")
    if operation in ("EQUALS", "NOT_EQUALS"):
        return (actual == value) == (operation == "EQUALS")
    if "timestamp_value" in predicate and actual:
        actual, value = timestamp(actual, "item"), timestamp(value, "filter")
    if actual is None:
        return False
    return {
        "GREATER_THAN": actual > value,
        "GREATER_THAN_EQUALS": actual >= value,
        "LESS_THAN": actual < value,
        "LESS_THAN_EQUALS": actual <= value,
    }[operation]
