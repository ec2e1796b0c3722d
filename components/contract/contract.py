"""Check what Kubeflow Pipelines hands to a step and what the step can reach, one after the other, and say what held."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lesionflow import storage
from lesionflow.components.contract.handed_over import HandedOver
from lesionflow.components.contract.sample import write_evaluation, write_sample
from lesionflow.errors import UserError
from lesionflow.runtime.files import write_json
from lesionflow.storage import Address

GIVEN: dict[str, Any] = {"text": '{"a": {"b": "it\'s \\"ü\\""}}', "whole": 7, "share": 0.25, "flag": False}
"""The parameters that must arrive as they are: quotes and braces as in a recipe, and a value that is false."""

STRATEGY = "sqrt"
"""The balance step's, which its table has as metadata."""

HELD = "contract held: "
"""Begins the line in the log that says that a check held."""


ON_PURPOSE = "Fails this first time on purpose"
"""Begins what a step says that was told to fail once."""


def contract(
    evaluation: str | Path,
    metrics: str | Path,
    folder: str,
    values: Mapping[str, Any],
    artifacts: Mapping[str, HandedOver],
    fail_once: bool = False,
    seconds: int = 0,
) -> str:
    """Check what arrived and what can be reached.

    Args:
        evaluation: JSON file to write: an evaluation that the gate refuses.
        metrics: JSON file to write, with one metric.
        folder: where in the object store this step may write; a local folder if it is run on this machine.
        values: the parameters, which must be `GIVEN`.
        artifacts: the optional input artifacts that were given: table and page of balance, metrics of this step.
        fail_once: fail unless `folder` says that an earlier attempt has failed.
        seconds: how long to go on writing to the log.

    Returns:
        Where the data set of `write_sample` was put.

    Raises:
        UserError: what did not hold.
    """
    _check_values(values)
    source = _check_store(folder)
    for name, handed_over in artifacts.items():
        _CHECKS[name](handed_over)
        _held(name)
    write_evaluation(evaluation)
    write_json(Path(metrics), {"share": GIVEN["share"]})
    if fail_once:
        _fail_once(f"{folder}-attempts")
    for second in range(seconds):
        print(f"contract: writing to its log for {seconds - second} s more", flush=True)
        time.sleep(1)
    return source


def _held(name: str) -> None:
    print(HELD + name, flush=True)


def _check_values(values: Mapping[str, Any]) -> None:
    for name, expected in GIVEN.items():
        value = values[name]
        if (value, type(value)) != (expected, type(expected)):
            raise UserError(
                f"The parameter {name} arrived as {value!r}, a {type(value).__name__}; expected {expected!r}, "
                f"a {type(expected).__name__}."
            )
        _held(name)


def _check_store(folder: str) -> str:
    """Write, list, read and conditionally write in the object store, as the other steps do."""
    source = f"{folder}-data"
    files = write_sample(source)
    found = {file.name: file.size for file in storage.list_files(source)}
    if found != {name: len(content) for name, content in files.items()}:
        raise UserError(
            f"Of {len(files)} files written to {source}, {len(found)} are listed, or their sizes differ; "
            "the object store must list what was just written."
        )
    for name in list(files)[:2]:
        if storage.read_bytes(Address.parse(source) / name) != files[name]:
            raise UserError(f"{source}/{name} does not hold what was just written there; expected the same bytes.")
    print(f"contract: wrote {len(files)} files to {source}", flush=True)
    _held("store")
    storage.check_swaps(f"{folder}-swaps")
    _held("swaps")
    return source


def _check_table(table: HandedOver) -> None:
    strategy = table.metadata.get("strategy")
    if strategy != STRATEGY:
        raise UserError(
            f"The metadata of the table arrived as {dict(table.metadata)!r:.200}; expected strategy {STRATEGY!r}."
        )
    if not Path(table.path).is_file():
        raise UserError(f"The table is not at {table.path}, where the executor says it is.")


def _check_measured(metrics: HandedOver) -> None:
    if metrics.metadata.get("share") != GIVEN["share"]:
        raise UserError(f"The metric arrived as {dict(metrics.metadata)!r:.200}; expected share {GIVEN['share']}.")


def _check_page(page: HandedOver) -> None:
    start = Path(page.path).read_text(encoding="utf-8")[:100].lower() if Path(page.path).is_file() else "nothing"
    if not start.startswith("<!doctype html>"):
        raise UserError(f"The page at {page.path} begins with {start[:40]!r}; expected the HTML that balance wrote.")


_CHECKS = {"table": _check_table, "measured": _check_measured, "page": _check_page}


def _fail_once(folder: str) -> None:
    marker = Address.parse(folder) / "first"
    if storage.exists(marker):
        _held("retry")
        return
    storage.write_bytes(marker, b"failed on purpose")
    raise UserError(f"{ON_PURPOSE}, so that it is seen whether a step is tried again.")
