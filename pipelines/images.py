"""The container images that a graph's tasks run in."""

import copy
from collections.abc import Mapping

from kfp.dsl.graph_component import GraphComponent

from lesionflow.runtime.provenance import IMAGE_VARIABLE


def with_images(pipeline: GraphComponent, images: Mapping[str, str]) -> GraphComponent:
    """A copy of `pipeline` in which each image named in `images` is replaced; each task is told its image."""
    renamed = copy.deepcopy(pipeline)
    for executor in renamed.pipeline_spec.deployment_spec["executors"].values():
        if "container" in executor:
            container = executor["container"]
            container["image"] = images.get(container["image"], container["image"])
            # A protobuf Struct, which is no dict.
            container.get_or_create_list("env").add_struct().update(
                {"name": IMAGE_VARIABLE, "value": container["image"]}
            )
    return renamed
