"""The cross-validation pipeline: the training pipeline's steps once per fold, judged on all folds together."""

from typing import Any, cast

from kfp import dsl
from kfp.dsl.graph_component import GraphComponent

from lesionflow.components.gate.component import gate
from lesionflow.components.pool.component import pool
from lesionflow.components.split.component import split
from lesionflow.errors import UserError
from lesionflow.pipelines.training import TASKS as TRAINING_TASKS
from lesionflow.pipelines.wiring import ingest_source, tasks_of, train_and_evaluate, wired
from lesionflow.profile import ClusterProfile
from lesionflow.runtime.events import in_fold

NAME = "lesionflow-cross-validation"
"""Name of the pipeline, in the user interface and as a resource."""

EACH_FOLD = {
    task: step
    for task, step in TRAINING_TASKS.items()
    if step.split("-")[0] in ("split", "balance", "finetune", "evaluate")
}
"""kfp's name of each task in the loop -> the step's name for users, in order."""

BEFORE, AFTER = ("fingerprint", "ingest", "duplicates"), ("pool", "gate")
TASKS = {step: step for step in BEFORE} | EACH_FOLD | {step: step for step in AFTER}
"""The same of all tasks; those of `EACH_FOLD` run once per fold."""


JUDGES = "pool"
"""The task whose evaluation holds the verdict that the gate enforces."""


def steps_of(folds: int) -> list[str]:
    """The names of all steps for users, in order."""
    looped = [in_fold(fold, folds) + step for fold in range(1, folds + 1) for step in EACH_FOLD.values()]
    return [*BEFORE, *looped, *AFTER]


def check_folds(folds: int, fixed_test: str = "", registry: str | None = None) -> None:
    """Refuse what is no cross-validation.

    Raises:
        UserError: fewer than two folds, or beside them a fixed test set, or a registry that nothing would reach.
    """
    if folds < 2:
        raise UserError(f"--folds is {folds}; a cross-validation needs 2 or more, without it one model is trained.")
    if fixed_test:
        raise UserError(
            "--folds and --fixed-test exclude each other, as each fold is the test set once; leave one of them out."
        )
    if registry is not None:
        raise UserError(
            "--folds and --registry exclude each other, as a cross-validation promotes nothing; leave one of them out."
        )


def define_cross_validation_pipeline(profile: ClusterProfile, folds: int) -> GraphComponent:
    """Wire the steps into one KFP pipeline whose tasks ask for what `profile` says.

    Args:
        profile: of the cluster. Its deadline is of the training of one model; here it is `folds` times as
            long, as a cluster may have GPUs for only one fold at a time.
        folds: how many, 2 or more.
    """
    deadline = min(profile.active_deadline_seconds * folds, 2**31 - 1)
    profile = profile.model_copy(update={"active_deadline_seconds": deadline})
    task = tasks_of(profile)

    def lesionflow_cross_validation(
        source: str,
        recipe: str = "published",
        weights: str = "imagenet",
        seed: int = 0,
        policy: str = "default",
        validation_share: float = 0.1,
        test_share: float = 0.2,
        duplicate_pairs: str = "",
        stored_size: int = 256,
        max_quarantine: float = 0.01,
        checkpoints: str = "",
        leak_guard: bool = True,
        taxonomy: str = "ham10000",
    ):
        """Train and evaluate once per fold, pool the out-of-fold predictions, judge. Promotes nothing.

        Args:
            source: folder, gs:// or s3:// prefix with images and metadata.
            recipe: a preset (best, published, quick), or a recipe as JSON.
            weights: imagenet, none, or the path, gs:// or s3:// URI of a weights file.
            seed: of the folds, the batch order and the augmentation.
            policy: what the gate judges by: default (macro-F1 of at least 0.70), or a policy as JSON.
            validation_share: share of the images for validation, were it no cross-validation.
            test_share: share of the images for the test set, likewise; the rest of a fold's images is split in the
                proportion of training to validation that the two leave.
            duplicate_pairs: optional CSV (a path, gs:// or s3:// URI) of image pairs that must stay on one side.
            stored_size: shorter side of the stored images, pixels.
            max_quarantine: largest share of damaged or surplus items that is tolerated.
            checkpoints: folder, gs:// or s3:// prefix for per-epoch checkpoints; empty for none.
            leak_guard: whether to look for near-duplicates, and keep them on one side of the split.
            taxonomy: of the classes: ham10000, isic2019, or a taxonomy as JSON.
        """
        data = ingest_source(
            task,
            {"duplicate_pairs": duplicate_pairs},
            source=source,
            weights=weights,
            stored_size=stored_size,
            max_quarantine=max_quarantine,
            leak_guard=leak_guard,
            taxonomy=taxonomy,
        )
        with dsl.ParallelFor(list(range(folds)), name="fold", parallelism=profile.parallel_folds) as fold:
            tables = task(
                split,
                images=data.images,
                seed=seed,
                validation_share=validation_share,
                test_share=test_share,
                duplicate_pairs=duplicate_pairs,
                folds=folds,
                fold=fold,
                duplicates=data.pairs,
            )
            _, evaluated = train_and_evaluate(
                task,
                data,
                tables,
                recipe=recipe,
                weights=weights,
                seed=seed,
                checkpoints=checkpoints,
                policy=policy,
            )
        pooled = task(
            pool,
            images=data.images,
            scores=_of_all_folds(evaluated, "scores"),
            evaluations=_of_all_folds(evaluated, "evaluation"),
            policy=policy,
            seed=seed,
        )
        task(gate, evaluation=pooled.outputs["evaluation"])  # a refusal raises, so the run fails

    description = f"Dermatoscopic images in, an honest metric of the training method out: {folds} folds."
    return wired(lesionflow_cross_validation, NAME, description, profile)


def _of_all_folds(task: dsl.PipelineTask, output: str) -> Any:
    return dsl.Collected(cast(Any, task.outputs[output]))
