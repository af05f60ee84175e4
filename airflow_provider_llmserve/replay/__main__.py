"""``python -m airflow_provider_llmserve.replay DIR``: judge every history under a folder.

The last four lines are figures: ``false_ready`` and ``false_failed`` count histories with at least one such verdict,
``wrong_cause`` obstacles named wrongly or not at all, ``late_ready_s`` is the longest wait from proven to Ready.
Exit status 1 where one of the first three is not 0, 2 where nothing could be read.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from airflow_provider_llmserve.replay.history import History
from airflow_provider_llmserve.replay.judge import Judgement, Moment, judge, read_causes

CAUSES = Path(__file__).resolve().parents[2] / "tests" / "pure" / "cases" / "causes.json"
"""The table of a checkout. An installed package has none: the words are those of the recordings, not ours."""


def histories(folder: Path) -> list[Path]:
    """Files of histories under ``folder``, or the file itself."""
    if folder.is_file():
        return [folder]
    return sorted(p for p in folder.rglob("*") if p.name.endswith((".jsonl", ".jsonl.gz")))


def main(argv: Sequence[str] | None = None) -> int:
    """Judge every history of a folder and print the figures. Returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m airflow_provider_llmserve.replay", description=__doc__)
    parser.add_argument("folder", type=Path, help="a folder of histories (.jsonl, .jsonl.gz), or one of them")
    parser.add_argument("-v", "--verbose", action="store_true", help="print every verdict that differs from the one before it")
    parser.add_argument(
        "--causes", type=Path, help="the recordings' causes and our words for them (JSON); a checkout has a table"
    )
    options = parser.parse_args(argv)
    table = options.causes or (CAUSES if CAUSES.exists() else None)
    if table is None:
        print("no table of causes: each recorded cause stands for itself alone; give --causes FILE", file=sys.stderr)
    paths = histories(options.folder)
    if not paths:
        print(f"{options.folder}: no histories (.jsonl or .jsonl.gz) there", file=sys.stderr)
        return 2
    try:
        causes = read_causes(table) if table else {}
    except (ValueError, OSError) as e:
        print(e, file=sys.stderr)
        return 2
    found = []
    for path in paths:
        try:
            judgement = judge(History.read(path), causes=causes)
        except (ValueError, LookupError, OSError) as e:
            print(f"{path}: {e}", file=sys.stderr)
            return 2
        found.append(judgement)
        print(_account(path, judgement, options.verbose))
    ready = sum(bool(j.false_ready) for j in found)
    failed = sum(bool(j.false_failed) for j in found)
    wrong = sum(len(j.wrong_cause) for j in found)
    late = max((j.late for j in found if j.late is not None), default=0.0)
    print(f"histories={len(found)}\nfalse_ready={ready}\nfalse_failed={failed}\nwrong_cause={wrong}\nlate_ready_s={late:.1f}")
    return 1 if ready or failed or wrong else 0


def _account(path: Path, j: Judgement, verbose: bool) -> str:
    late = "" if j.late is None else f", at most {j.late:.1f} s late"
    lines = [f"{path.parent.name}/{j.history}: Ready {_second(j.ready_at)}, proven {_second(j.proven_at)}{late}"]
    lines += [f"    false Ready at {_said(m)}" for m in _changes(j.false_ready)]
    lines += [f"    Ready, and the recorded request was answered, at {_said(m)}" for m in _changes(j.contradicted)]
    lines += [f"    false Failed at {_said(m)}" for m in _changes(j.false_failed)]
    lines += [f"    cause {named}" for named in j.named]
    lines += [f"    wrong cause {wrong}" for wrong in j.wrong_cause]
    if verbose:
        lines += [f"      {_said(m)}" for m in _changes(j.moments)]
    return "\n".join(lines)


def _second(t: float | None) -> str:
    return "never" if t is None else f"at {t:.1f} s"


def _said(m: Moment) -> str:
    v = m.verdict
    return (
        f"{m.t:.1f}: {v.state.value} {v.reason} ({v.reason_class.value}): {v.summary}  [truth: {m.truth.state} {m.truth.cause}]"
    )


def _changes(moments: Sequence[Moment]) -> list[Moment]:
    """The first of each run of moments with the same verdict and truth."""
    kept: list[Moment] = []
    before = None
    for m in moments:
        key = (m.verdict.state, m.verdict.reason, m.verdict.reason_class, m.verdict.summary, m.truth)
        if key != before:
            kept.append(m)
        before = key
    return kept


if __name__ == "__main__":
    sys.exit(main())
