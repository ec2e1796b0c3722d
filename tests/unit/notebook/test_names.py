"""`import lesionflow as lf`: quick, lazy, and with every name that it promises."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import lesionflow as lf

PACKAGE = Path(lf.__file__)


def test_importing_takes_less_than_a_third_of_a_second():
    def microseconds() -> int:
        command = [sys.executable, "-X", "importtime", "-c", "import lesionflow"]
        said = subprocess.run(command, capture_output=True, text=True, check=True).stderr
        (found,) = re.findall(r"import time:\s+\d+ \|\s+(\d+) \| lesionflow$", said, re.MULTILINE)
        return int(found)

    assert min(microseconds() for _ in range(3)) < 300_000, "the fastest of three: other programs may have the cores"


def test_importing_loads_nothing_else():
    program = "import sys, lesionflow; print({n.split('.')[0] for n in sys.modules} & {'numpy', 'pandas', 'keras'})"

    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout

    assert said.strip() == "set()"


@pytest.mark.parametrize("name", lf.__all__)
def test_every_public_name_is_there_and_documented(name: str):
    assert getattr(lf, name).__doc__
    assert name in dir(lf)


def test_editors_and_python_are_told_the_same():
    tree = ast.parse(PACKAGE.read_text())
    block = next(node for node in tree.body if isinstance(node, ast.If))
    told = {
        alias.asname or alias.name: f"{node.module}:{alias.name}"
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }

    assert told == lf._WHERE
    assert sorted(told) == lf.__all__


def test_another_name_is_no_attribute():
    with pytest.raises(AttributeError, match="has no attribute 'evalute'"):
        _ = lf.evalute
