"""A pipeline of minutes that needs no GPU and no data: what a training asks of a cluster, in small.

Its steps are the training's own, from fingerprint to the gate, and the contract step for what these do not show.
"""

import secrets

from kfp.dsl.graph_component import GraphComponent

from lesionflow.components.balance.component import balance
from lesionflow.components.contract.component import contract
from lesionflow.components.contract.contract import GIVEN, STRATEGY
from lesionflow.components.duplicates.component import duplicates
from lesionflow.components.fingerprint.component import fingerprint
from lesionflow.components.gate.component import gate
from lesionflow.components.ingest.component import ingest
from lesionflow.components.split.component import split
from lesionflow.pipelines.wiring import tasks_of, wired
from lesionflow.profile import ClusterProfile

NAME = "lesionflow-contract"
"""Name of the pipeline, in the user interface and as a resource."""

TASKS = {
    "contract": "contract",
    "fingerprint": "fingerprint",
    "ingest": "ingest",
    "duplicates": "duplicates",
    "split": "split",
    "split-2": "split-2",
    "balance": "balance",
    "contract-2": "contract-2",
    "gate": "gate",
}
"""kfp's name of each task -> the step's name for users, in order."""

JUDGES = "contract"
"""The task whose evaluation holds the verdict that the gate enforces."""

OWN = ("contract", "split-2", "contract-2")
"""Those of them that no other pipeline has."""

LISTEN = 30
"""Seconds for which the first step goes on writing, so that the log of a running step can be asked for."""


def new_nonce() -> str:
    """Makes a run reuse nothing of earlier ones."""
    return secrets.token_hex(8)


def define_contract_pipeline(profile: ClusterProfile) -> GraphComponent:
    """Wire the steps into one KFP pipeline whose tasks ask for what `profile` says of all but fine-tune tasks."""
    task = tasks_of(profile)

    def lesionflow_contract(nonce: str, fail_once: bool = False):
        """Check what a cluster does for a run; the gate at its end refuses, so it ends as failed.

        Args:
            nonce: of `new_nonce`.
            fail_once: whether the second contract step fails the first time. Not every Kubeflow tries it again, and
                then its run ends before the gate.
        """
        first = task(contract, nonce=nonce, seconds=LISTEN, **GIVEN)
        # As in a training: never cached, so that the caching of everything after it is right.
        data = task(fingerprint, source=first.outputs["Output"], weights="none").set_caching_options(False)
        images = task(ingest, source=first.outputs["Output"], fingerprint=data.outputs["Output"]).outputs["images"]
        found = task(duplicates, images=images, search=False)
        without = task(split, images=images)
        tables = task(split, images=images, duplicates=found.outputs["pairs"])
        balanced = task(balance, train=tables.outputs["train"], strategy=STRATEGY)
        again = task(
            contract,
            nonce=nonce,
            fail_once=fail_once,
            table=balanced.outputs["balanced"],
            measured=first.outputs["metrics"],
            page=balanced.outputs["picture"],
            **GIVEN,
        )
        again.set_retry(1, backoff_duration="5s", backoff_factor=1, backoff_max_duration="3600s")
        # A refusal ends the run, so it comes last.
        task(gate, evaluation=first.outputs["evaluation"]).after(again, without)

    description = "What a training asks of a cluster, in small: `lesionflow doctor --deep`."
    return wired(lesionflow_contract, NAME, description, profile)
