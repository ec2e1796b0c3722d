"""`lesionflow clean`: forget old runs and what only they used."""

import json
import shutil
from pathlib import Path

from lesionflow.artifacts.summary import SUMMARY, Summary
from lesionflow.local.workspace import Workspace


def clean(workspace: Workspace, keep: int) -> tuple[int, int]:
    """Remove all but the `keep` newest runs, and artifacts and checkpoints that no kept run uses.

    The registry is never touched.

    Returns:
        Bytes freed and runs removed.

    Raises:
        UserError: a run is working there.
    """
    with workspace.locked():
        free = shutil.disk_usage(workspace.root).free
        runs = sorted(path for path in workspace.runs.glob("*") if path.is_dir())
        kept, removed = (runs[-keep:], runs[:-keep]) if keep else ([], runs)
        # What began before the oldest kept run stays only if a kept run still points to it.
        oldest = min((run.stat().st_ctime for run in kept), default=float("inf"))
        oldest = min([oldest, *((run / "logs").stat().st_mtime for run in kept)])
        used = {Path(path) for run in kept for path in _artifacts(run)}
        for folder in workspace.store.glob("lesionflow-*"):
            in_use = any(folder in path.parents for path in used)
            if not in_use and folder.stat().st_mtime < oldest:
                shutil.rmtree(folder)
        for checkpoint in workspace.checkpoints.glob("*"):
            if checkpoint.stat().st_mtime < oldest:
                shutil.rmtree(checkpoint)
        for entry in workspace.cache.glob("*.json"):
            outputs = json.loads(entry.read_text(encoding="utf-8")).values()
            uris = [output["uri"] for output in outputs if isinstance(output, dict)]
            if not all(Path(uri).exists() for uri in uris):
                entry.unlink()
        for run in removed:
            shutil.rmtree(run)
        if kept:
            workspace.show_latest(kept[-1])
        else:
            for link in (p for p in workspace.root.iterdir() if p.is_symlink()):
                link.unlink()
        return shutil.disk_usage(workspace.root).free - free, len(removed)


def _artifacts(run: Path) -> list[str]:
    summary = run / SUMMARY
    if not summary.is_file():
        return []
    return list(Summary.load(summary).artifacts.values())
