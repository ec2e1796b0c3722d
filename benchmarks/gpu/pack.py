"""Pack what a GPU machine without network needs into parts of 60 MiB or less; see README.md beside this.

usage: .venv/bin/python benchmarks/gpu/pack.py OUT [--images N] [--folds 5] [--data FOLDER]

OUT/wheels  for Python 3.12: what that machine lacks
OUT/a, b    shards of the images, starting weights, the folds' tables
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

DATA = Path(os.environ.get("LESIONFLOW_DATA", Path(__file__).resolve().parents[3] / "shared/data"))
WHEELS = (
    "keras==3.15.1",
    "pydantic==2.14.3",
    "pydantic-core==2.50.4",
    "annotated-types",
    "typing-inspection",
    "typing-extensions",
    "pyarrow==26.0.1",
    "tensorboardx==2.6.5",
    "rich==15.0.0",
    "namex",
    "optree",
)
PLATFORMS = (*(f"manylinux_2_{minor}_x86_64" for minor in (28, 27, 24, 17, 31, 34)), "manylinux2014_x86_64")
LIMIT = 60 * 2**20


def step(name: str, output: Path, inputs: dict[str, Path], values: dict[str, object]) -> None:
    """Run one step of the pipeline."""
    command = [str(Path(sys.executable).parent / "lesionflow"), "step", name, "--output", str(output)]
    command += [word for key, value in inputs.items() for word in ("--input", f"{key}={value}")]
    command += [word for key, value in values.items() for word in ("--set", f"{key}={value}")]
    subprocess.run(command, check=True)


def first_images(data: Path, count: int, out: Path) -> Path:
    """A folder with about `count` images of the zips and their rows, for a dry run."""
    out.mkdir(parents=True)
    wanted: set[str] = set()
    for part in sorted(data.glob("*.zip")):
        with zipfile.ZipFile(part) as opened:
            for name in opened.namelist()[: count // 2]:
                wanted.add(Path(name).stem)
                (out / Path(name).name).write_bytes(opened.read(name))
    lines = (data / "HAM10000_metadata.csv").read_text().splitlines()
    kept = [lines[0], *(line for line in lines[1:] if line.split(",")[1].strip('"') in wanted)]
    (out / "HAM10000_metadata.csv").write_text("\n".join(kept) + "\n")
    return out


def pack_tables(work: Path, images: Path, out: Path, folds: int) -> None:
    """Each fold's balanced training table, validation and test table."""
    for fold in range(folds):
        tables = work / f"split-{fold}"
        pairs = {"images": images, "duplicates": work / "duplicates/pairs"}
        step("split", tables, pairs, {"folds": folds, "fold": fold})
        for strategy in ("sqrt", "oversample"):
            balanced = work / f"balance-{fold}-{strategy}"
            step("balance", balanced, {"train": tables / "train"}, {"recipe": json.dumps({"balance": strategy})})
            shutil.copy(balanced / "balanced", out / f"train-{fold}-{strategy}.parquet")
        for side in ("validation", "test"):
            shutil.copy(tables / side, out / f"{side}-{fold}.parquet")


def pack_wheels(out: Path) -> None:
    """The wheels that the machine lacks, by name."""
    platforms = [word for name in PLATFORMS for word in ("--platform", name)]
    command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary=:all:"]
    command += ["--python-version", "3.12", "--implementation", "cp", *platforms, "-d", str(out), *WHEELS]
    subprocess.run(command, check=True)


def main() -> None:
    """Pack, and print the parts' sizes."""
    parser = argparse.ArgumentParser()
    parser.add_argument("out", type=Path)
    parser.add_argument("--images", type=int, default=0, help="so many images only, without the leak guard's search")
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--data", type=Path, default=DATA)
    arguments = parser.parse_args()
    out: Path = arguments.out.resolve()
    for part in ("a", "b"):
        (out / part / "images").mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary)
        data: Path = arguments.data / "ham10000-200x150"
        if arguments.images:
            data = first_images(data, arguments.images, work / "some")
        step("ingest", work / "ingest", {}, {"source": data, "fingerprint": "gpu"})
        images = work / "ingest/images"
        step("duplicates", work / "duplicates", {"images": images}, {"search": str(not arguments.images).lower()})
        pack_tables(work, images, out / "b", arguments.folds)
        shards = sorted(images.iterdir())
        for number, shard in enumerate(shards):
            shutil.copy(shard, out / ("a" if number < len(shards) // 3 else "b") / "images" / shard.name)
    shutil.copy(arguments.data / "weights/efficientnetv2b0_notop.weights.h5", out / "a")
    pack_wheels(out / "wheels")
    for part in ("wheels", "a", "b"):
        size = sum(file.stat().st_size for file in (out / part).rglob("*") if file.is_file())
        print(f"{part}: {size / 2**20:.1f} MiB{'' if size < LIMIT else '  TOO LARGE'}")


if __name__ == "__main__":
    main()
