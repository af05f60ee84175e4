"""Generated histories: a small model of each controller, played at random; each recorded history is a run of that model.

``LLMSERVE_WORLDS`` says how many; a fault names its seed, which plays it again: ``support.worlds.run.run(SEED)``.
"""

from __future__ import annotations

import os

import pytest
from support.history import load, recorded
from support.worlds.moves import POD_MOVES, PRIMARY_MOVES, Watch, pod_seen, primary_move
from support.worlds.run import faults, run

from airflow_provider_llmserve.readiness.fields import name_of, uid_of
from airflow_provider_llmserve.readiness.state import State
from airflow_provider_llmserve.runtimes import runtimes_of

RUNS = int(os.environ.get("LLMSERVE_WORLDS", "100"))
CHUNK = 100


@pytest.mark.parametrize("first", range(0, RUNS, CHUNK))
def test_no_verdict_of_a_generated_history_is_false(first: int) -> None:
    """Never Ready while a pod without the mark serves or a name is unanswered; never impossible while it goes on to heal; and
    every run ends. A hundred runs make every move of the model, and end in every way."""
    ran = [run(seed) for seed in range(first, first + CHUNK)]
    found = {one.seed: list(faults(one)) for one in ran}
    assert {seed: wrong for seed, wrong in found.items() if wrong} == {}
    assert set().union(*(one.moves for one in ran)) == POD_MOVES | PRIMARY_MOVES
    assert {one.verdicts[-1][1].state for one in ran} == {State.READY, State.SUPERSEDED}


@pytest.mark.parametrize("name", recorded())
def test_a_recorded_history_is_a_run_of_the_model(name: str) -> None:
    """So the model can do all that the real controllers were seen to do."""
    history, watch, before = load(name), Watch(), None
    runtime = next(r for r in runtimes_of() if r.PRIMARY.kind == history.kind)
    made: set[str] = set()
    for _, observed in history.snapshots(history.times(every=1e9)):
        made |= watch.look([p for p in observed.of("Pod") if pod_seen(p).mark])
        live = observed.get(history.kind, name_of(history.want))
        if live is not None and before is not None and uid_of(live) == uid_of(before):
            made.add(primary_move(before, live, (runtime.mark_in(before), runtime.mark_in(live))))
        before = live
    assert made <= POD_MOVES | PRIMARY_MOVES
