"""Take away from a cluster what `lesionflow doctor --deep` made there, as far as this account may."""

from collections.abc import Callable
from typing import Any, cast

import kfp

from lesionflow.errors import ClusterError, UserError
from lesionflow.kubeflow.runs.runs import find_experiment, where_equal


class Cleaning:
    """Deletes, and remembers what is gone and what is left, and why."""

    def __init__(self, client: kfp.Client) -> None:
        self._client = client
        self.gone: list[str] = []
        self.left: dict[str, list[str]] = {}
        """Why something is left -> what."""

    def delete(self, what: str, how: Callable[..., Any], *ids: str) -> None:
        """Call `how` with `ids`."""
        try:
            how(*ids)
        except (UserError, ClusterError) as error:
            self._keep(what, str(error).replace(" ".join(ids), "it"))
        else:
            self.gone.append(what)

    def kept(self) -> list[str]:
        """What is left, each with the reason."""
        return [f"{', '.join(what)} ({why.rstrip('.')})" for why, what in self.left.items()]

    def _keep(self, what: str, why: str) -> None:
        self.left.setdefault(why, []).append(what)

    def delete_unused(self, pipeline: str, experiment: str) -> None:
        """Delete a pipeline with its versions, and an experiment, unless the experiment has runs of somebody else."""
        both = f"pipeline and experiment {pipeline}"
        try:
            found = find_experiment(self._client, experiment)
            if found and self._client.list_runs(experiment_id=found.experiment_id, page_size=1).runs:
                self._keep(both, "other runs use them")
                return
            self._delete_pipelines(pipeline)
        except (UserError, ClusterError) as error:
            self._keep(both, str(error))
            return
        if found:
            self.delete(f"experiment {experiment}", self._client.delete_experiment, found.experiment_id)

    def _delete_pipelines(self, name: str) -> None:
        api = cast(Any, self._client)
        namespace = self._client.get_user_namespace() or None
        for pipeline in self._client.list_pipelines(filter=_named(name), namespace=namespace).pipelines or []:
            versions = self._client.list_pipeline_versions(pipeline.pipeline_id).pipeline_versions or []
            for version in versions:
                ids = (pipeline.pipeline_id, version.pipeline_version_id)
                self.delete(f"version {version.display_name}", api.delete_pipeline_version, *ids)
            self.delete(f"pipeline {name}", api.delete_pipeline, pipeline.pipeline_id)


def _named(name: str) -> str:
    return where_equal("display_name", name)
