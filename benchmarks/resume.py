"""Does a training that is killed and told to end, again and again, end with the weights of one that was not?

    python benchmarks/resume.py [--kills 20] [--terms 20] [--seed 0] [--backbone tiny|efficientnetv2b0]

On small synthetic data; the recipe has everything with a state to save. The victims:

task    the second fine-tune step in a process of its own, with a folder for its checkpoints. The signal
        comes at a random moment of the training, one in ten while the process still loads. A quarter of
        the SIGKILLs comes when a random share of a checkpoint is written (the process does it to
        itself: from outside, the moment is too short to hit)
run     a whole `lesionflow run`, at a random moment of its second or third fine-tune step; a tenth of the
        signals

Each training suffers several signals, each in another process, and may then finish. Its weights and its
history are compared, bit for bit, with those of an undisturbed one. An epoch counts as repeated when the log
had told of its end; the epoch under way is what a SIGKILL costs, so none may be. Exit code 1 if anything
differs, is repeated, or does not end.
"""

import argparse
import json
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
import zipfile
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from threading import Timer
from typing import Any

import h5py
import numpy as np
import pandas as pd

from lesionflow.recipe import Augmentation, Phase, Recipe

LIMIT = 600.0
"""Seconds after which a process counts as hung."""
WEIGHTS = "start.weights.h5"
SAVING = "SIGKILL while saving"
AT_ONCE = 5
"""Most signals that one training suffers."""
EPOCH = re.compile(r"^(\w+) epoch (\d+)/\d+:", re.MULTILINE)
STEADY = ["phase", "epoch", "loss", "accuracy", "val_loss", "val_macro_f1", "learning_rate"]
"""Columns of the history that two equal trainings share."""


@dataclass
class Tally:
    """What happened."""

    signals: Counter[tuple[str, str]] = field(default_factory=Counter[tuple[str, str]])
    """By victim and signal; each was followed by a restart."""
    repeated: Counter[tuple[str, str]] = field(default_factory=Counter[tuple[str, str]])
    """Finished epochs that were trained again after it."""
    slowest: float = 0.0
    """Seconds from SIGTERM to the end of the task."""
    trainings: int = 0
    equal: int = 0


@dataclass(frozen=True)
class Site:
    """The data, and what an undisturbed run made of it."""

    folder: Path
    artifacts: dict[str, str]
    models: dict[str, Path]
    """Phase -> model."""
    seconds: float
    """Of training in the partial step, without the tracing."""

    def run(self, output: Path) -> list[str]:
        """The command of a whole run."""
        command = [str(Path(sys.executable).with_name("lesionflow")), "run", "--data", str(self.folder / "data")]
        command += ["--recipe", str(self.folder / "recipe.json"), "--min-f1", "0.0001"]
        command += ["--weights", str(self.folder / WEIGHTS)]
        return [*command, "--output", str(output)]


def prepare(folder: Path, backbone: str) -> Site:
    """Write data and recipe, and run the pipeline undisturbed."""
    from lesionflow.data.synthetic.dataset import write_synthetic
    from lesionflow.models.classifier import backbone_of, build_core

    tiny = backbone == "tiny"
    recipe = Recipe(
        backbone="tiny" if tiny else "efficientnetv2b0",
        input_size=48,
        batch_size=32,
        balance="sqrt",
        schedule="cosine",
        augmentation=Augmentation(vertical_flip=True, crop=0.8),
        mix="cutmix",
        ema=0.9,
        head=Phase(epochs=1, learning_rate=3e-3, trainable=0.0),
        partial=Phase(epochs=12 if tiny else 3, learning_rate=3e-3, trainable=0.75),
        full=Phase(epochs=6 if tiny else 1, learning_rate=1e-3, trainable=1.0),
    )
    write_synthetic(folder / "data", images=210, size=(64, 48), seed=1)
    (folder / "recipe.json").write_text(recipe.model_dump_json())
    # As if published: with starting weights the normalizations stay frozen, as in a training of the real ones.
    backbone_of(build_core(recipe.backbone, recipe.input_size, recipe.dropout, 7)).save_weights(folder / WEIGHTS)
    output = folder / "undisturbed"
    finish(Site(folder, {}, {}, 0.0).run(output))
    artifacts: dict[str, str] = json.loads((output / "summary.json").read_text())["artifacts"]
    steps = Path(artifacts["model"]).parents[1]
    models = {
        json.loads((model / "training.json").read_text())["phase"]: model for model in steps.glob("finetune*/model")
    }
    history = pd.read_csv(models["partial"] / "history.csv")
    return Site(folder, artifacts, models, float(history.loc[history["phase"] == "partial", "seconds"].iloc[1:].sum()))


def finish(command: list[str]) -> None:
    """Let a command run to its end."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=LIMIT)
    if done.returncode not in (0, 3):
        sys.exit(f"{' '.join(command[:2])} failed with code {done.returncode}:\n{done.stdout}")


def same(expected: Path, found: Path) -> bool:
    """Whether two models have the same weights and history, bit for bit."""
    histories = [pd.read_csv(model / "history.csv")[STEADY] for model in (expected, found)]
    a, b = arrays(expected), arrays(found)
    return histories[0].equals(histories[1]) and a.keys() == b.keys() and all(np.array_equal(a[n], b[n]) for n in a)


def arrays(model: Path) -> dict[str, np.ndarray]:
    """The weights in a model's archive, by name."""
    found: dict[str, np.ndarray] = {}

    def take(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset):
            found[name] = np.asarray(item)

    with zipfile.ZipFile(model / "model.keras") as archive, archive.open("model.weights.h5") as file:
        h5py.File(file).visititems(take)
    return found


def repeated(before: str, after: str) -> int:
    """How many epochs, of whose end the logs so far had told, an attempt trained again."""
    return len(set(EPOCH.findall(before)) & set(EPOCH.findall(after)))


def disturb_tasks(site: Site, signals: list[str], tally: Tally, dice: random.Random) -> None:
    """Trainings of the partial step, until every signal has hit one."""
    while signals:
        with tempfile.TemporaryDirectory(dir=site.folder) as temporary:
            place, log = Path(temporary), ""
            task = {
                **{name: site.artifacts[name] for name in ("images", "train", "validation")},
                **{"model": str(place / "model"), "phase": "partial", "start": str(site.models["head"])},
                **{"recipe": (site.folder / "recipe.json").read_text()},
                "checkpoint_folder": str(place / "checkpoints"),
            }
            last = ("task", "")
            for name in [*signals[:AT_ONCE], ""]:
                code, said, waited = live(task, name, dice, site.seconds)
                tally.repeated[last] += repeated(log, said)
                log, last = log + said, ("task", name)
                if code == 0:
                    break  # undisturbed, or the signal came too late: it is for the next training
                allowed = (128 + signal.SIGTERM, -signal.SIGTERM) if name == "SIGTERM" else (-signal.SIGKILL,)
                if code not in allowed:
                    sys.exit(f"after {name or 'nothing'} the task ended with code {code}:\n{said}")
                tally.signals[last] += 1
                tally.slowest = max(tally.slowest, waited if name == "SIGTERM" else 0.0)
                signals.remove(name)
            else:
                raise AssertionError("the last attempt ends")
            tally.trainings += 1
            tally.equal += same(site.models["partial"], place / "model")
        print(f"{sum(tally.signals.values())} signals, {tally.trainings} trainings", file=sys.stderr, flush=True)


def live(task: dict[str, Any], name: str, dice: random.Random, seconds: float) -> tuple[int, str, float]:
    """One attempt of a task, which gets the signal `name` at a random moment; "" for none.

    Returns:
        Exit code, what it said, and the seconds from the signal to its end.
    """
    saving = (dice.randint(1, 6), dice.random()) if name == SAVING else None
    early = dice.random() < 0.1
    # Half of the time, as an attempt that goes on has less to train than the first: some signals still come too late.
    delay = dice.uniform(1, 5) if early else dice.uniform(0, seconds / 2)
    sent: list[float] = []

    def send() -> None:
        sent.append(time.monotonic())
        process.send_signal(signal.Signals[name])

    command = [sys.executable, __file__, "--victim", json.dumps({"task": task, "saving": saving})]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    shot, hung = Timer(delay, send), Timer(LIMIT, process.kill)
    armed = bool(name) and not saving
    with process, ExitStack() as stack:
        stack.callback(shot.cancel)
        stack.callback(hung.cancel)
        hung.start()
        if armed and early:
            shot.start()
        assert process.stdout is not None
        said = ""
        for line in process.stdout:
            said += line
            if line == "first batch\n" and armed and not early:
                shot.start()
        code = process.wait()
    if not name and code:
        sys.exit(f"an undisturbed task ended with code {code}:\n{said}")
    return code, said, time.monotonic() - sent[0] if sent else 0.0


def victim(task: dict[str, Any], saving: tuple[int, float] | None) -> None:
    """The step as the adapter calls it, with a word when it has begun to train.

    Args:
        task: arguments of the step.
        saving: the number of the checkpoint in whose writing to die, and the share of it that gets written.
    """
    from lesionflow.components.finetune.finetune import finetune
    from lesionflow.runtime.step import run_step
    from lesionflow.training import callbacks

    trained, write, count = callbacks.BatchProgress.on_train_batch_end, Path.write_bytes, Counter[str]()

    def tell(progress: Any, batch: int, logs: Any = None) -> None:
        trained(progress, batch, logs)
        count["batches"] += 1
        if count["batches"] == 1:
            print("first batch", flush=True)

    def write_some(path: Path, data: Any) -> int:
        count["states"] += path.name.startswith(".state.")
        if saving is None or count["states"] < saving[0]:
            return write(path, data)
        write(path, data[: int(len(data) * saving[1])])
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError("SIGKILL did not come")

    callbacks.BatchProgress.on_train_batch_end = tell  # pyright: ignore[reportAttributeAccessIssue]
    Path.write_bytes = write_some  # pyright: ignore[reportAttributeAccessIssue]
    run_step("finetune-partial", finetune, **task)


def disturb_runs(site: Site, signals: list[str], tally: Tally, dice: random.Random) -> None:
    """Whole runs, two signals each."""
    while signals:
        with tempfile.TemporaryDirectory(dir=site.folder) as temporary:
            output, log, last = Path(temporary, "out"), "", ("run", "")
            for name in signals[:2]:
                phase, epoch = dice.choice([("partial", 2), ("partial", 6), ("full", 1)])
                runs = len([*output.glob("runs/*")])  # the newest is the last attempt's until this one has its folder
                process = subprocess.Popen(site.run(output), stdout=subprocess.DEVNULL)
                deadline = time.monotonic() + LIMIT
                while process.poll() is None and time.monotonic() < deadline:
                    begun = len([*output.glob("runs/*")]) > runs
                    if begun and re.search(rf"^{phase} epoch {epoch}/", logs(output), re.MULTILINE):
                        break
                    time.sleep(0.1)
                time.sleep(dice.uniform(0, 0.3))
                process.send_signal(signal.Signals[name])
                code = process.wait(LIMIT)
                tally.repeated[last] += repeated(log, logs(output))
                log, last = log + logs(output), ("run", name)
                if code in (0, 3):
                    break  # too late
                if code != (128 + signal.SIGTERM if name == "SIGTERM" else -signal.SIGKILL):
                    sys.exit(f"after {name} the run ended with code {code}")
                tally.signals[last] += 1
                signals.remove(name)
            finish(site.run(output))
            tally.repeated[last] += repeated(log, logs(output))
            artifacts: dict[str, str] = json.loads((output / "summary.json").read_text())["artifacts"]
            tally.trainings += 1
            tally.equal += same(site.models["full"], Path(artifacts["model"]))
        print(f"{sum(tally.signals.values())} signals, {tally.trainings} trainings", file=sys.stderr, flush=True)


def logs(output: Path) -> str:
    """What the fine-tune steps of the newest run have said."""
    runs = sorted(output.glob("runs/*"))
    return "".join(path.read_text() for path in sorted(runs[-1].glob("logs/finetune-*.log"))) if runs else ""


def main() -> None:
    """Disturb, compare, print."""
    if sys.argv[1:2] == ["--victim"]:
        return victim(**json.loads(sys.argv[2]))
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kills", type=int, default=20, help="SIGKILLs")
    parser.add_argument("--terms", type=int, default=20, help="SIGTERMs")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--backbone", choices=("tiny", "efficientnetv2b0"), default="tiny")
    options = parser.parse_args()
    dice, tally = random.Random(options.seed), Tally()
    saving = options.kills // 4
    to_runs = ["SIGKILL"] * (options.kills // 10) + ["SIGTERM"] * (options.terms // 10)
    to_tasks = [SAVING] * saving + ["SIGKILL"] * (options.kills - saving - options.kills // 10)
    to_tasks += ["SIGTERM"] * (options.terms - options.terms // 10)
    for signals in (to_runs, to_tasks):
        dice.shuffle(signals)
    with tempfile.TemporaryDirectory() as temporary:
        site = prepare(Path(temporary), options.backbone)
        disturb_tasks(site, to_tasks, tally, dice)
        disturb_runs(site, to_runs, tally, dice)
    print(f"{options.backbone}, seed {options.seed}")
    print(f"{'victim':8}{'signal':24}{'signals':>8}{'restarts':>10}{'finished epochs repeated':>26}")
    for (kind, name), count in sorted(tally.signals.items()):
        print(f"{kind:8}{name:24}{count:8}{count:10}{tally.repeated[kind, name]:26}")
    print(f"slowest end of a task after SIGTERM: {tally.slowest:.1f} s")
    print(
        f"trainings that ended with the weights and history of the undisturbed one: {tally.equal} of {tally.trainings}"
    )
    sys.exit(tally.equal < tally.trainings or sum(tally.repeated.values()) > 0)


if __name__ == "__main__":
    main()
