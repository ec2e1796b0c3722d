# ---
# jupyter:
#   jupytext:
#     text_representation: {extension: .py, format_name: percent}
#   kernelspec: {display_name: Python 3, language: python, name: python3}
# ---

# %% [markdown]
# # In a notebook
#
# Everything that the pipeline does, as functions that return objects. No Kubeflow is needed. This page was executed when
# the site was built, on synthetic data: its metrics say nothing about skin. Open `docs/notebook.py` in Jupyter with
# [jupytext](https://jupytext.readthedocs.io), or copy what you need.

# %%
import os
import tempfile

import lesionflow as lf

scratch = tempfile.TemporaryDirectory()  # so that this page leaves nothing behind; you want to keep what you make
os.chdir(scratch.name)

# %% [markdown]
# ## Images
#
# `ingest` reads a folder, zips, or a bucket; decodes every image once; sets damaged ones aside with the reason. Here
# `synth` makes a small data set to play with. With your own: `lf.ingest("folder")`.

# %%
images = lf.ingest(lf.synth("synthetic", images=210, size=(64, 48)))
images

# %%
images.metadata.head(3)

# %% [markdown]
# ## Split
#
# By lesion, and stratified by class. Near-duplicates under different lesion ids are found by their content and kept on one
# side; `parts.duplicates()` shows them.

# %%
parts = lf.split(images, seed=0)
parts

# %% [markdown]
# ## Train
#
# `finetune` runs the three steps of a recipe: the head, then part of the backbone, then all of it. A recipe is the name of a
# preset (`quick`, `published`, `best`, `demo`), a file, or an object. This one is tiny, so that the page builds in a minute;
# leave `recipe` out for one that learns something.

# %%
tiny = lf.Recipe(
    name="tiny",
    backbone="tiny",
    input_size=32,
    batch_size=16,
    balance="sqrt",
    head={"epochs": 1, "learning_rate": 0.01, "trainable": 0},
    partial={"epochs": 4, "learning_rate": 0.01, "trainable": 0.5},
    full={"epochs": 1, "learning_rate": 0.001, "trainable": 1},
)
model = lf.finetune(parts, recipe=tiny)
model

# %% [markdown]
# A call that was interrupted goes on after its last epoch. A cell that is run again finds what it made: each artifact lies
# in a folder under `lesionflow-runs/notebook` that is named by what it was made from.
#
# ## Evaluate
#
# On test lesions that the model has never seen. Each metric comes with its 95 % interval, by a bootstrap over lesions.

# %%
evaluation = lf.evaluate(model, parts.test)
evaluation

# %%
evaluation.metrics.macro_f1.interval

# %% [markdown]
# `evaluation.scores` has the probability of each class for each test image, and `evaluation.report("report.html")` writes
# the whole report, a page without scripts, and shows it:

# %%
evaluation.report("report.html")

# %% [markdown]
# ## Judge
#
# A policy is a list of clauses, all of which must hold. The gate of a run judges by one; here any number can be tried on
# the same evaluation.

# %%
policy = lf.Policy(
    clauses=[
        {"kind": "average", "metric": "macro_f1", "at_least": 0.3},
        {"kind": "class", "class": "mel", "metric": "recall", "by": "lower", "at_least": 0.5},
    ]
)
policy.judge(evaluation)

# %% [markdown]
# ## Compare
#
# Differences between models on the same test images, paired, with intervals. Runs of the `lesionflow` command and versions
# in a model registry can be named by their folder, too.

# %%
another = lf.finetune(parts, recipe=tiny, seed=1)
lf.compare(evaluation, lf.evaluate(another, parts.test))

# %% [markdown]
# ## Predict
#
# `lf.load_model("lesionflow-runs/registry")` opens the champion of a model registry; a version or a model folder works too.

# %%
lf.load_model(model.path).predict(["synthetic/HAM10000_images_part_1.zip"]).head(3)

# %% [markdown]
# ## Measure any predictions
#
# Of any program, with intervals that respect lesions: true classes, probabilities, and the lesion (or patient) of each
# image.

# %%
scores = evaluation.scores
lf.measure(scores["dx"], scores, groups=scores["lesion_id"])
