"""What the pipelines have in common: how tasks are made, and the steps from a source to one split's evaluation."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast

from kfp import dsl
from kfp.dsl import PipelineTask
from kfp.dsl.graph_component import GraphComponent

from lesionflow.components.balance.component import balance
from lesionflow.components.duplicates.component import duplicates
from lesionflow.components.evaluate.component import evaluate
from lesionflow.components.finetune.component import finetune
from lesionflow.components.fingerprint.component import fingerprint
from lesionflow.components.ingest.component import ingest
from lesionflow.pipelines.placement import place
from lesionflow.profile import ClusterProfile

MakeTask = Callable[..., PipelineTask]
"""Calls an adapter with its arguments."""


def tasks_of(profile: ClusterProfile) -> MakeTask:
    """How the steps of a pipeline become tasks that ask for what `profile` says."""

    def make(component: object, **arguments: Any) -> PipelineTask:
        # Typed here, once: kfp's decorator hides that calling an adapter makes a task.
        task = cast(MakeTask, component)(**arguments)
        place(profile, task, trains=component is finetune)
        return task

    return make


def wired(graph: Callable[..., None], name: str, description: str, profile: ClusterProfile) -> GraphComponent:
    """The pipeline that a function wires, with the deadlines of a profile.

    Args:
        graph: makes the tasks; its parameters, and what its docstring says of them, are the pipeline's.
        name: of the pipeline, in the user interface and as a resource.
        description: for people.
        profile: of the cluster.
    """
    wire = dsl.pipeline(
        name=name,
        description=description,
        pipeline_config=dsl.PipelineConfig(
            active_deadline_seconds=profile.active_deadline_seconds,
            ttl_seconds_after_finished=profile.ttl_seconds_after_finished,
        ),
    )
    return cast(GraphComponent, wire(graph))


@dataclass(frozen=True)
class Ingested:
    """What every pipeline makes of its source before it splits."""

    digest: Any
    """The digest of everything that comes from outside."""
    images: Any
    """The artifact that ingest wrote."""
    pairs: Any
    """The near-duplicates that were found."""


def ingest_source(
    make: MakeTask,
    lists: Mapping[str, Any],
    *,
    source: Any,
    weights: Any,
    stored_size: Any,
    max_quarantine: Any,
    leak_guard: Any,
    taxonomy: Any,
    before: PipelineTask | None = None,
) -> Ingested:
    """The steps from a source to its images: fingerprint, ingest, duplicates.

    Args:
        make: of `tasks_of`.
        lists: further inputs of fingerprint, by their name there.
        source: here and below, the pipeline's parameters of these names.
        before: a task that must have succeeded before anything costly begins.
    """
    # Never cached: its answer is what makes the caching of everything after it right.
    data = make(fingerprint, source=source, weights=weights, taxonomy=taxonomy, **lists).set_caching_options(False)
    digest = data.outputs["Output"]
    ingested = make(
        ingest,
        source=source,
        fingerprint=digest,
        stored_size=stored_size,
        max_quarantine=max_quarantine,
        taxonomy=taxonomy,
    )
    if before is not None:
        ingested.after(before)
    images = ingested.outputs["images"]
    return Ingested(digest, images, make(duplicates, images=images, search=leak_guard).outputs["pairs"])


def train_and_evaluate(
    make: MakeTask,
    data: Ingested,
    tables: PipelineTask,
    *,
    recipe: Any,
    weights: Any,
    seed: Any,
    checkpoints: Any,
    policy: Any,
    registry: Any = "",
    champion: Any = "",
) -> tuple[Any, PipelineTask]:
    """The steps from one split to its evaluation: balance, three fine-tunes, evaluate.

    Args:
        make: of `tasks_of`.
        data: of `ingest_source`.
        tables: the split task.
        recipe: here and below, the pipeline's parameters of these names.
        champion: the version in use, as preflight found it; with `registry`, for a policy that compares with it.

    Returns:
        The model artifact, and the evaluate task.
    """
    balanced = make(balance, train=tables.outputs["train"], recipe=recipe)
    start: dict[str, Any] = {}  # the head step starts from `weights`
    for phase in ("head", "partial", "full"):
        tuned = make(
            finetune,
            phase=phase,
            images=data.images,
            train=balanced.outputs["balanced"],
            validation=tables.outputs["validation"],
            recipe=recipe,
            weights=weights,
            fingerprint=data.digest,
            seed=seed,
            checkpoints=checkpoints,
            **start,
        )
        tuned.set_display_name(f"finetune: {phase}")
        start["start"] = tuned.outputs["model"]
    evaluated = make(
        evaluate,
        images=data.images,
        train=balanced.outputs["balanced"],
        validation=tables.outputs["validation"],
        test=tables.outputs["test"],
        model=start["start"],
        policy=policy,
        seed=seed,
        registry=registry,
        champion=champion,
    )
    return start["start"], evaluated
