"""How does the cost of each step grow with the number of images?

    python benchmarks/scale.py DATA [IMAGES ...]        by default 2500 10000 40000

DATA is a folder with HAM10000's zips and metadata. It is repeated under new image and lesion ids (a
corner of each copy is painted over, so that the content differs too) into a temporary folder, which is
removed in the end. Each step runs in a process of its own, as in a run; fine-tuning is one epoch of the
`tiny` backbone at 96 px. It and the search for near-duplicates run once with the default budget of memory for
decoded images and once with SMALL_BUDGET bytes. The copies, each with its corner painted, are near-duplicates of
their originals: past the data's own number of images the search finds every one of them, which no real data
asks of it. Printed is one table in Markdown:

seconds, CPU s   of the whole process and its children, Python's start and imports included
peak             the most that the step's process ever had resident (VmHWM), and the most that its children
                 together had of their own beside it (looked at ten times a second)
read, written    bytes through read() and write(), messages between processes included; of written, or to disk if
                 that is more (mapped files)

with a least-squares line through the sizes, taken on to 400,000 images (ISIC 2024's size), then what
an image costs at the largest size against the smallest. Fixed costs make that ratio small, so the second
ratio leaves them out: seconds for each further image, at the upper end against the lower.
"""

import csv
import io
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from lesionflow.data.pixel_store import VARIABLE

SIZES = (2_500, 10_000, 40_000)
PROJECTED = 400_000
SMALL_BUDGET = 64_000_000
RECIPE = json.dumps(
    {
        "backbone": "tiny",
        "input_size": 96,
        "batch_size": 64,
        "head": {"epochs": 1, "learning_rate": 0.003, "trainable": 0},
    }
)
SMALL = f", {SMALL_BUDGET // 10**6} MB"
STEPS = (
    *("fingerprint", "ingest", "duplicates", f"duplicates{SMALL}"),
    *("split", "balance", "finetune", f"finetune{SMALL}", "evaluate"),
)


def repeat(data: Path, images: int, target: Path) -> None:
    """Write `images` images and their metadata: the originals in random order, then copies of them."""
    with (data / "HAM10000_metadata.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    archives = [zipfile.ZipFile(path) for path in sorted(data.glob("*.zip"))]
    members = {Path(name).stem: (archive, name) for archive in archives for name in archive.namelist()}
    order = np.random.default_rng(0).permutation(len(rows))
    target.mkdir()
    with (
        (target / "HAM10000_metadata.csv").open("w", newline="") as table,
        zipfile.ZipFile(target / "HAM10000_images_part_1.zip", "w") as out,
    ):
        writer = csv.DictWriter(table, list(rows[0]))
        writer.writeheader()
        for number in range(images):
            copy, index = divmod(number, len(rows))
            row = rows[order[index]]
            archive, name = members[row["image_id"]]
            encoded = archive.read(name)
            image_id = f"ISIC_{number:07d}"
            writer.writerow({**row, "image_id": image_id, "lesion_id": f"{row['lesion_id']}_{copy}"})
            out.writestr(f"{image_id}.jpg", _painted(encoded, copy) if copy else encoded)
    for archive in archives:
        archive.close()


def _painted(encoded: bytes, copy: int) -> bytes:
    with Image.open(io.BytesIO(encoded)) as image:  # noqa: TID251  only its JPEG can be saved with the same quality
        image.paste((copy * 37 % 256, copy * 101 % 256, copy % 256), (0, 0, 16, 16))
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality="keep")  # as large as the original
    return buffer.getvalue()


def run_step(name: str, folder: Path) -> None:
    """The logic of one step, in a process of its own."""
    path = {key: str(folder / key) for key in ("images", "train", "balanced", "validation", "test", "model")}
    if name == "fingerprint":
        from lesionflow.components.fingerprint.fingerprint import fingerprint

        fingerprint(str(folder / "source"), "none")
    elif name == "ingest":
        from lesionflow.components.ingest.ingest import ingest

        ingest(str(folder / "source"), "f", path["images"], str(folder / "quarantine"), str(folder / "card.html"))
    elif name.startswith("duplicates"):
        from lesionflow.components.duplicates.duplicates import find_duplicates

        find_duplicates(path["images"], folder / "pairs.csv", folder / "sheet.html")
    elif name == "split":
        from lesionflow.components.split.split import split_images

        split_images(path["images"], {fold: path[fold] for fold in ("train", "validation", "test")})
    elif name == "balance":
        from lesionflow.components.balance.balance import balance_table

        balance_table(path["train"], path["balanced"], folder / "balance.html", recipe="published")
    elif name.startswith("finetune"):
        from lesionflow.components.finetune.finetune import finetune

        checkpoints = str(folder / f"checkpoints-{name}")
        finetune(
            *(path["images"], path["balanced"], path["validation"], path["model"]),
            *("head", RECIPE, "none", "f", 0, checkpoints),
        )
    elif name == "evaluate":
        from lesionflow.components.evaluate.evaluate import evaluate

        inputs = (path["images"], path["balanced"], path["validation"], path["test"], path["model"])
        outputs = ("evaluation", "metrics", "classification", "report", "scores", "model_card")
        evaluate(*inputs, **{output: folder / output for output in outputs})  # pyright: ignore[reportArgumentType]


def measure(name: str, folder: Path) -> dict[str, float]:
    """Run a step and watch it."""
    environment = {**os.environ, "TMPDIR": str(folder)}
    if name.endswith(SMALL):
        environment[VARIABLE] = str(SMALL_BUDGET)
    started = time.perf_counter()
    process = subprocess.Popen([sys.executable, __file__, "--step", name, folder], env=environment, stdout=sys.stderr)
    of_children = [0]
    done = threading.Event()

    def watch() -> None:
        while not done.wait(0.1):
            tables = [_proc(pid, "smaps_rollup") for pid in _descendants(process.pid)]
            of_children.append(sum(t.get("Private_Dirty", 0) + t.get("Private_Clean", 0) for t in tables))

    watcher = threading.Thread(target=watch)
    watcher.start()
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.perf_counter() - started
    done.set()
    watcher.join()
    if process.returncode:
        sys.exit(f"{name} failed with code {process.returncode}")
    own: dict[str, int] = json.loads((folder / "measured.json").read_text())
    return {
        "seconds": seconds,
        "CPU s": used.ru_utime + used.ru_stime,
        "peak, MiB": (own["VmHWM"] + max(of_children)) / 2**10,
        "read, MB": own["rchar"] / 1e6,
        "written, MB": max(own["wchar"], own["write_bytes"]) / 1e6,
    }


def _descendants(pid: int) -> Iterator[int]:
    try:
        children = [path.read_text().split() for path in Path(f"/proc/{pid}/task").glob("*/children")]
    except OSError:  # it has just ended
        return
    for child in (int(child) for some in children for child in some):
        yield child
        yield from _descendants(child)


def _proc(pid: int | str, table: str) -> dict[str, int]:
    """The numbers of a table of the kernel's about a process; nothing once it has ended."""
    try:
        rows = [line.split() for line in Path(f"/proc/{pid}/{table}").read_text().splitlines()]
    except OSError:
        return {}
    return {row[0].rstrip(":"): int(row[1]) for row in rows if len(row) > 1 and row[1].isdecimal()}


def main() -> None:
    """Measure every step at every size and print the table."""
    data = Path(sys.argv[1])
    sizes = [int(size) for size in sys.argv[2:]] or list(SIZES)
    measured: dict[tuple[str, int], dict[str, float]] = {}
    for images in sizes:
        with tempfile.TemporaryDirectory(prefix="lesionflow-scale-") as scratch:
            folder = Path(scratch)
            repeat(data, images, folder / "source")
            for step in STEPS:
                measured[step, images] = measure(step, folder)
                print(f"{images:,} {step}: {measured[step, images]['seconds']:.1f} s", file=sys.stderr, flush=True)
    columns = list(measured[STEPS[0], sizes[0]])
    print(f"| step | images | {' | '.join(columns)} |\n|---|---:|{'---:|' * len(columns)}")
    for step in STEPS:
        rows: list[tuple[str, dict[str, Any]]] = [(f"{size:,}", measured[step, size]) for size in sizes]
        if len(sizes) > 1:
            lines = {name: np.polyfit(sizes, [row[name] for _, row in rows], 1) for name in columns}
            rows.append((f"*{PROJECTED:,}*", {name: np.polyval(line, PROJECTED) for name, line in lines.items()}))
        for size, row in rows:
            print(f"| {step} | {size} | {' | '.join(f'{row[name]:,.1f}' for name in columns)} |")
    if len(sizes) > 1:
        print(f"\nIn italics: the least-squares line through the sizes measured.\n{ratios(sizes, measured)}")


def ratios(sizes: list[int], measured: dict[tuple[str, int], dict[str, float]]) -> str:
    """CPU time of all steps but those repeated with SMALL_BUDGET: for an image, and for each further image."""
    total = [sum(measured[step, size]["CPU s"] for step in STEPS if not step.endswith(SMALL)) for size in sizes]
    text = f"CPU seconds per image, {sizes[-1]:,} images against {sizes[0]:,}: "
    text += f"ratio {total[-1] / sizes[-1] / (total[0] / sizes[0]):.2f}"
    if len(sizes) > 2:
        slopes = np.diff(total) / np.diff(sizes)
        text += f"; per further image, {sizes[-2]:,} to {sizes[-1]:,} against {sizes[0]:,} to {sizes[1]:,}: "
        text += f"ratio {slopes[-1] / slopes[0]:.2f}"
    return text


if __name__ == "__main__":
    if sys.argv[1] == "--step":
        run_step(sys.argv[2], Path(sys.argv[3]))
        after = {**_proc("self", "io"), **_proc("self", "status")}
        Path(sys.argv[3], "measured.json").write_text(json.dumps(after))
    else:
        main()
