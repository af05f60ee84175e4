"""What a machine without a control plane says of the cluster tier: one line, and an error where nothing may be left out."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.machine

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(("no_skips", "code"), [("0", pytest.ExitCode.OK), ("1", pytest.ExitCode.USAGE_ERROR)])
def test_one_line_tells_what_was_left_out(no_skips: str, code: int, tmp_path: Path) -> None:
    hidden = {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path), "LLMSERVE_TESTBED": str(tmp_path), "KUBEBUILDER_ASSETS": ""}
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "tests/cluster/test_rbac.py", "-k", "taken_away"],
        cwd=ROOT,
        env={**os.environ, **hidden, "LLMSERVE_NO_SKIPS": no_skips, "PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == code, run.stdout + run.stderr
    told = [line for line in (run.stdout + run.stderr).splitlines() if "left out" in line]
    assert len(told) == 1
    assert "tests were left out: no control plane here" in told[0]
    assert "make testbed" in told[0]
    assert "SKIPPED" not in run.stdout
