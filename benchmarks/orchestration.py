"""What orchestration costs: a whole run's wall time against the sum of its steps' own work.

Runs `lesionflow run` once with the arguments given to this script (--output should be a fresh folder)
and prints both and their ratio. A step's own work is the time inside its logic, from call to return; process
starts, kfp, caching, watching and the summary are the rest.

    python benchmarks/orchestration.py --data FOLDER --weights FILE --recipe quick --output NEW
"""

import json
import subprocess
import sys
import time
from pathlib import Path


def main() -> None:
    """Run, measure, print."""
    output = Path(sys.argv[sys.argv.index("--output") + 1])
    started = time.perf_counter()
    code = subprocess.run([Path(sys.executable).with_name("lesionflow"), "run", *sys.argv[1:]]).returncode
    wall = time.perf_counter() - started
    if code not in (0, 3):
        sys.exit(f"the run failed with code {code}")
    summary = json.loads((output / "summary.json").read_text())
    steps = {name: step["seconds"] for name, step in summary["steps"].items()}
    work = sum(steps.values())
    for name, seconds in steps.items():
        print(f"{name:<18}{seconds:10.2f} s")
    print(f"{'steps own work':<18}{work:10.2f} s")
    print(f"{'whole command':<18}{wall:10.2f} s")
    print(f"orchestration: {wall - work:.2f} s, ratio whole/work {wall / work:.3f} ({(wall / work - 1) * 100:.1f} %)")


if __name__ == "__main__":
    main()
