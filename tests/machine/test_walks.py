"""How little a new thing takes: each patch of ``tests/pure/walks/`` is the work by hand,
applied to a copy of the tree and tried there.

``tests/pure/walks/README.md`` says what stands in a patch's head and how to renew one.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
WALKS = sorted((ROOT / "tests" / "pure" / "walks").glob("*.patch"))
MADE = {"__pycache__", ".pytest_cache", ".hypothesis"}

pytestmark = pytest.mark.skipif(
    not (ROOT / ".git").exists() or not shutil.which("git") or not shutil.which("make"), reason="needs a checkout, git and make"
)


class Head(NamedTuple):
    """What stands above the diff."""

    says: str
    """What is added."""
    by_hand: int
    """How many files it may touch."""
    proof: str
    """A command that fails in the tree as it is and passes in the tree with the patch."""
    check: str = ""
    """A command that passes in the tree with the patch: the tests that must stay green."""


def head_of(patch: Path) -> Head:
    above, found, _ = patch.read_text().partition("diff --git ")
    assert found, f"{patch.name} holds no diff"
    return Head(**yaml.safe_load(above))


def run(command: str, tree: Path) -> subprocess.CompletedProcess[str]:
    """A shell command in ``tree``, whose package comes before the installed one."""
    env = {k: v for k, v in os.environ.items() if not k.startswith(("PYTEST_", "GIT_"))}
    env |= {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(tree),
        "GIT_CEILING_DIRECTORIES": str(tree.parent),
    }
    return subprocess.run(command, shell=True, cwd=tree, env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def done(command: str, tree: Path) -> str:
    result = run(command, tree)
    assert result.returncode == 0, f"{command}\n{result.stdout}"
    return result.stdout


def copy_of_the_tree(to: Path) -> Path:
    """What git tracks, or would: as it stands, committed or not."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file():
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, to / name)
    return to


def contents(tree: Path) -> dict[str, bytes]:
    paths = (p for p in tree.rglob("*") if p.is_file() and not MADE & set(p.parts))
    return {p.relative_to(tree).as_posix(): p.read_bytes() for p in paths}


@pytest.mark.parametrize("patch", WALKS, ids=lambda p: p.stem)
def test_walk(patch: Path, tmp_path: Path) -> None:
    head = head_of(patch)
    tree = copy_of_the_tree(tmp_path / "tree")
    before = contents(tree)
    assert run(head.proof, tree).returncode != 0, "the proof passes without the patch: it proves nothing"

    touched = {line.split("\t")[2] for line in done(f"git apply --numstat {patch}", tree).splitlines()}
    assert len(touched) <= head.by_hand, f"{head.says} takes {len(touched)} files: {sorted(touched)}"
    done(f"git apply --unidiff-zero {patch}", tree)
    done(f"make -s docs BIN={Path(sys.executable).parent} VENV=none -o none/.installed", tree)
    after = contents(tree)
    changed = {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
    assert touched <= changed
    assert {name for name in changed - touched if not name.startswith("docs/")} == set(), "only pages are made anew"

    done(head.proof, tree)
    if head.check:
        done(head.check, tree)


def test_a_patch_that_no_longer_fits_is_red(tmp_path: Path) -> None:
    """``git apply`` ends well in a folder that it takes for one outside of its repository; here it must not."""
    (tmp_path / "a.txt").write_text("one\n")
    (tmp_path / "bad.patch").write_text("diff --git a/a.txt b/a.txt\n--- a/a.txt\n+++ b/a.txt\n@@ -1 +1,2 @@\n two\n+three\n")
    assert run("git apply --unidiff-zero bad.patch", tmp_path).returncode != 0
