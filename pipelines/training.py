"""The training pipeline, readable as a list of steps."""

from kfp.dsl.graph_component import GraphComponent

from lesionflow.components.export.component import export
from lesionflow.components.gate.component import gate
from lesionflow.components.preflight.component import preflight
from lesionflow.components.promote.component import promote
from lesionflow.components.split.component import split
from lesionflow.pipelines.wiring import ingest_source, tasks_of, train_and_evaluate, wired
from lesionflow.profile import ClusterProfile

NAME = "lesionflow-training"
"""Name of the pipeline, in the user interface and as a resource."""

TASKS = {
    "preflight": "preflight",
    "fingerprint": "fingerprint",
    "ingest": "ingest",
    "duplicates": "duplicates",
    "split": "split",
    "balance": "balance",
    "finetune": "finetune-head",
    "finetune-2": "finetune-partial",
    "finetune-3": "finetune-full",
    "evaluate": "evaluate",
    "gate": "gate",
    "export": "export",
    "promote": "promote",
}
"""kfp's name of each task -> the step's name for users, in order."""

JUDGES = "evaluate"
"""The task whose evaluation holds the verdict that the gate enforces."""


def define_training_pipeline(profile: ClusterProfile) -> GraphComponent:
    """Wire the steps into one KFP pipeline whose tasks ask for what `profile` says."""
    task = tasks_of(profile)

    def lesionflow_training(
        source: str,
        registry: str,
        recipe: str = "published",
        weights: str = "imagenet",
        seed: int = 0,
        policy: str = "default",
        validation_share: float = 0.1,
        test_share: float = 0.2,
        duplicate_pairs: str = "",
        fixed_test: str = "",
        stored_size: int = 256,
        max_quarantine: float = 0.01,
        checkpoints: str = "",
        leak_guard: bool = True,
        replace_champion: str = "better",
        taxonomy: str = "ham10000",
    ):
        """Train, judge and promote.

        Args:
            source: folder, gs:// or s3:// prefix with images and metadata.
            registry: folder, gs:// or s3:// prefix that receives the model if it passes the gate.
            recipe: a preset (best, published, quick), or a recipe as JSON.
            weights: imagenet, none, or the path, gs:// or s3:// URI of a weights file.
            seed: of the split, the batch order and the augmentation.
            policy: what the gate judges by: default (macro-F1 of at least 0.70), or a policy as JSON.
            validation_share: share of the images for validation.
            test_share: share of the images for the test set.
            duplicate_pairs: optional CSV (a path, gs:// or s3:// URI) of image pairs that must stay on one side.
            fixed_test: optional list (likewise) of the test images.
            stored_size: shorter side of the stored images, pixels.
            max_quarantine: largest share of damaged or surplus items that is tolerated.
            checkpoints: folder, gs:// or s3:// prefix for per-epoch checkpoints; empty for none.
            leak_guard: whether to look for near-duplicates, and keep them on one side of the split.
            replace_champion: better (than the champion, by the gate's metric), or always.
            taxonomy: of the classes: ham10000, isic2019, or a taxonomy as JSON.
        """
        # Never cached: what a registry holds may have changed.
        ready = task(preflight, registry=registry, policy=policy).set_caching_options(False)
        data = ingest_source(
            task,
            {"duplicate_pairs": duplicate_pairs, "fixed_test": fixed_test},
            source=source,
            weights=weights,
            stored_size=stored_size,
            max_quarantine=max_quarantine,
            leak_guard=leak_guard,
            taxonomy=taxonomy,
            before=ready,
        )
        tables = task(
            split,
            images=data.images,
            seed=seed,
            validation_share=validation_share,
            test_share=test_share,
            duplicate_pairs=duplicate_pairs,
            fixed_test=fixed_test,
            duplicates=data.pairs,
        )
        model, evaluated = train_and_evaluate(
            task,
            data,
            tables,
            recipe=recipe,
            weights=weights,
            seed=seed,
            checkpoints=checkpoints,
            policy=policy,
            registry=registry,
            champion=ready.output,
        )
        # A refusal raises, so the run fails, and what comes after the gate is not done.
        judged = task(gate, evaluation=evaluated.outputs["evaluation"])
        exported = task(export, model=model, evaluation=evaluated.outputs["evaluation"]).after(judged)
        task(
            promote,
            model=exported.outputs["bundle"],
            evaluation=evaluated.outputs["evaluation"],
            report=evaluated.outputs["report"],
            train=tables.outputs["train"],
            validation=tables.outputs["validation"],
            scores=evaluated.outputs["scores"],
            model_card=evaluated.outputs["model_card"],
            registry=registry,
            replace_champion=replace_champion,
        ).set_caching_options(False).after(judged)  # never cached: somebody may have put back another champion

    description = "Dermatoscopic images in, a gated skin-lesion classifier out."
    return wired(lesionflow_training, NAME, description, profile)
