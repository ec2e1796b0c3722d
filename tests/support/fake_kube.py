"""Kubernetes' side of a run whose steps a test scripts, in place of `run_reader.KubeRuns`.

What the Kubernetes API itself does is tested against a real one; this is for what a kubelet and Argo would have made.
"""

from collections.abc import Iterator
from typing import Any

from kfp_api import argo
from kfp_api.scripted import PHASES, Scene

from lesionflow.kubeflow.kube.cluster_access import Missing


class FakeKube:
    """What Kubernetes would tell of a run, scene by scene; in place of `run_reader.KubeRuns`.

    Attributes:
        logs: name of a pod -> what its step has written; None while its container has not started.
        error: raised instead of an answer, if it is set.
    """

    def __init__(self, *scenes: Scene, folds: int = 0, compressed: bool = False, message: str = "") -> None:
        self.scenes, self.folds, self.compressed, self.message = list(scenes), folds, compressed, message
        self.logs: dict[str, str | None] = {}
        self.error: Exception | None = None
        self.looks = 0

    def workflow(self, run_id: str) -> dict[str, Any] | None:
        """The Workflow as it is now; each look is one scene further, the last one stays."""
        if self.error is not None:
            raise self.error
        if not self.scenes:
            return None
        state, steps = self.scenes[min(self.looks, len(self.scenes) - 1)]
        self.looks += 1
        return argo.workflow(
            steps,
            run_id,
            PHASES[state],
            name=argo.FOLDED if self.folds else argo.NAME,
            folds=self.folds,
            compressed=self.compressed,
            message=self.message,
        )

    def why_pending(self, run_id: str) -> list[str]:
        return []

    def why_failed(self, run_id: str) -> list[str]:
        return []

    def log(self, pod: str, follow: bool, time_limits: tuple[float, float]) -> Any:
        """A stream of lines."""
        if pod not in self.logs:
            raise Missing(f"the pod {pod} is gone")
        text = self.logs[pod]
        return None if text is None else _Stream(text)


class _Stream:
    def __init__(self, text: str) -> None:
        self._text = text

    def __iter__(self) -> Iterator[bytes]:
        yield from self._text.encode().splitlines(keepends=True)

    def close(self) -> None:
        """As a connection is."""
