"""The frozen words of a verdict, and the one way to make a verdict of them.

A *word* (``image_not_found``) is part of the public contract: sensors, dashboards and branches may compare it. The table is
``reason_table.py``; ``docs/reasons.md`` is made from it and from ``cause_table.py``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from airflow_provider_llmserve.readiness.cause_table import SECTIONS as SIGNS
from airflow_provider_llmserve.readiness.reason_table import SECTIONS, Reason
from airflow_provider_llmserve.readiness.state import Ask, Evidence, ReasonClass, State, Verdict

REASONS: Mapping[str, Reason] = MappingProxyType({row.word: row for _, rows in SECTIONS for row in rows})


def verdict(
    state: State,
    reason: str,
    summary: str,
    *,
    detail: str = "",
    advice: str | None = None,
    evidence: Sequence[Evidence] = (),
    ask: Sequence[Ask] = (),
    fatal: bool | None = None,
    log: Sequence[str] = (),
) -> Verdict:
    """A verdict with class, retry and (unless given) advice of the word ``reason``. KeyError for a word not in the table.

    ``fatal`` overrides the class where a count or a clock decides, which is so in four cases only: a container that has not
    failed often enough yet (False), a pull that failed only once (False), a pod unschedulable for longer than its grace (True),
    and a dead pod under KubeAI, which counts it as a replica and never makes another (True).
    """
    row = REASONS[reason]
    reason_class = row.reason_class
    if fatal is not None:
        reason_class = ReasonClass.IMPOSSIBLE if fatal else ReasonClass.WAITING
    return Verdict(
        state=state,
        reason=reason,
        reason_class=reason_class,
        summary=summary,
        detail=detail,
        advice=row.advice if advice is None else advice,
        evidence=tuple(evidence),
        retryable=row.retry,
        ask=tuple(ask),
        log=tuple(log),
    )


def trouble_state(*, fatal: bool, serving: bool) -> State:
    """The state of a run with something in its way.

    ``FAILED`` is kept for what does not heal by itself: trouble that may still pass is ``PROGRESSING`` while nothing serves,
    and ``DEGRADED`` where something does.
    """
    if serving:
        return State.DEGRADED
    return State.FAILED if fatal else State.PROGRESSING


def documentation() -> str:
    """The text of ``docs/reasons.md``."""
    lines = [
        "# Reasons",
        "",
        "Every verdict carries one of these words. They are part of the public contract; summaries and advice are for people and may",
        "change. Made from `reason_table.py` and `cause_table.py` in `airflow_provider_llmserve/readiness` by",
        "`python -m airflow_provider_llmserve.readiness.reasons`.",
        "",
        "- **waiting** never ends a wait before its deadline; **impossible** ends it at once; **stopped**: nothing runs, on purpose;",
        "  **done**: proven.",
        "- *retry*: whether the same task, run again unchanged, can succeed.",
        "- A word whose cause was read from a container that ended is waiting until the container has ended often enough: twice where",
        "  the cause lies in what was asked for (a bucket that does not exist, no credentials where none are named), five times where",
        "  the world may still mend it (a model that is uploaded late, a hub that comes back). A container that the kubelet says it",
        "  is about to end counts as ended.",
        "- A pull that failed once is waiting; from the first back-off on it has the class below.",
        "- A pod that no node takes is waiting for a grace of five minutes (a node pool that grows), then impossible.",
    ]
    for title, rows in SECTIONS:
        lines += ["", f"## {title}", "", "| word | class | retry | meaning | what to do |", "|---|---|---|---|---|"]
        for row in rows:
            retry = "yes" if row.retry else "no"
            lines.append(f"| `{row.word}` | {row.reason_class.value} | {retry} | {row.meaning} | {row.advice} |")
    lines += [
        "",
        "# Failure texts",
        "",
        "What the systems write, and the word for it; the first row that fits wins. *Beside* is the `reason` field next to the text,",
        "the exit code, or the HTTP status; `…` stands for anything; case is ignored.",
    ]
    for title, signs in SIGNS:
        lines += ["", f"## {title}", "", "| written by | where | beside | text | word |", "|---|---|---|---|---|"]
        for sign in signs:
            systems, places = ", ".join(sorted(sign.system)), ", ".join(sorted(sign.where))
            word = f"`{sign.reason}`" + (f": {sign.advice}" if sign.advice else "")
            lines.append(f"| {systems} | {places} | {_quoted(sign.beside)} | {_quoted(sign.texts)} | {word} |")
    return "\n".join(lines) + "\n"


def _quoted(texts: Sequence[str]) -> str:
    return ", ".join("nothing" if not text else f"`` {text} ``" if "`" in text else f"`{text}`" for text in texts)


if __name__ == "__main__":
    print(documentation(), end="")
