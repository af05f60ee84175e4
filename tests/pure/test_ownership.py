"""The record of a serving run: written, read back, and what stays of the one before."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_llmserve.owner import Owner
from airflow_provider_llmserve.runtimes import record as records
from airflow_provider_llmserve.runtimes.record import Previous, Record
from airflow_provider_llmserve.specs import HuggingFaceServe, KubeAIText

ONE = Owner(dag_id="d", run_id="r1", task_id="t", map_index=3, try_number=2, ti_id="one")
TWO = Owner(dag_id="d", run_id="r2", task_id="t")
RETRIED = Owner(dag_id="d", run_id="r2", task_id="t", try_number=1, ti_id="earlier")
A = KubeAIText.parse({"url": "hf://a/b", "env": {"K": "ä"}})
B = KubeAIText.parse({"url": "hf://a/c", "secrets": ["conn:hf", "mine", "conn:aws"]})

owners = st.builds(
    Owner,
    instance=st.sampled_from(["", "i"]),
    dag_id=st.text(max_size=20),
    run_id=st.text(max_size=20),
    map_index=st.integers(-1, 5),
)
specs = st.sampled_from([A, B, HuggingFaceServe.parse({"path": "hf://a/b", "huggingface_task": "text_generation"})])
ttls = st.none() | st.integers(1, 10**9) | st.floats(min_value=0, exclude_min=True, allow_infinity=False, allow_nan=False)
proofs = st.none() | st.builds(Previous, specs, st.booleans(), owners, st.booleans(), ttls)
others = st.lists(st.tuples(st.text(max_size=9), st.text(max_size=9), st.text(max_size=9)), max_size=3).map(tuple)


@given(owners, specs, st.booleans(), st.booleans(), proofs, others, ttls, others)
def test_a_record_is_read_back_as_it_was_written(owner, spec, stopped, proven, previous, objects, ttl, stale) -> None:
    record = Record(
        owner, spec, stopped, proven, None if proven else previous, "2026-01-01T00:00:00+00:00", objects, ttl, stale, "kubeai"
    )

    assert records.read(records.write(record)) == record


def test_a_record_from_before_it_named_its_runtime_is_of_the_one_that_its_spec_asks_for() -> None:
    spec = HuggingFaceServe.parse({"path": "hf://a/b", "runtime": "inferenceservice"})
    written = records.write(Record(ONE, spec, runtime="other"))
    assert [records.read(data).runtime for data in (written, {k: v for k, v in written.items() if k != "runtime"})] == [
        "other",
        "inferenceservice",
    ]


def test_a_long_record_is_packed() -> None:
    files = [{"path": f"/f{i}", "content": "x" * 90_000} for i in range(10)]
    record = Record(ONE, KubeAIText.parse({"url": "hf://a/b", "files": files}), runtime="kubeai")
    written = records.write(record)

    assert sum(map(len, written.values())) < 64 * 1024
    assert records.read(written) == record


@given(
    st.dictionaries(
        st.sampled_from(["owner", "spec", "unproven", "applied", "objects", "stale", "ttl", "runtime", "other"]),
        st.text(max_size=60),
    )
)
def test_reading_never_fails(data) -> None:
    records.read(data)


@given(
    st.sampled_from(["spec", "unproven", "objects", "stale", "applied", "ttl"]),
    st.sampled_from(["[]", "{}", "null", "zlib:!", "1", "[1]", '{"kind":1}']),
)
def test_a_damaged_part_costs_no_more_than_itself(key, value) -> None:
    record = records.read({**records.write(Record(ONE, A)), key: value})

    assert record is not None
    assert record.owner == ONE


def test_a_spec_from_the_future_is_ours_without_a_spec() -> None:
    written = records.write(Record(ONE, A))
    written["spec"] = written["spec"].replace('"url"', '"url_of_tomorrow"')
    record = records.read(written)

    assert record is not None
    assert (record.owner, record.spec) == (ONE, None)


@pytest.mark.parametrize(
    ("replaced", "expected"),
    [
        (None, Record(TWO, B)),
        (Record(ONE, A, proven=True), Record(TWO, B, previous=Previous(A, False, ONE))),
        (Record(ONE, A, ttl=5.0), Record(TWO, B, previous=Previous(A, False, ONE, proven=False, ttl=5.0))),
        (Record(RETRIED, B), Record(TWO, B)),
        (Record(RETRIED, A), Record(TWO, B, previous=Previous(A, False, RETRIED, proven=False))),
        (Record(RETRIED, B, proven=True), Record(TWO, B, previous=Previous(B, False, RETRIED))),
        (Record(ONE, A, previous=Previous(A, True, ONE)), Record(TWO, B, previous=Previous(A, True, ONE))),
        (Record(ONE, A, previous=Previous(B, False, TWO)), Record(TWO, B, proven=True)),
        (Record(ONE, A, previous=Previous(B, False, TWO, proven=False)), Record(TWO, B)),
        (Record(ONE, A, previous=Previous(B, True, ONE, proven=False)), Record(TWO, B, previous=Previous(A, False, ONE, False))),
        (Record(ONE, None, proven=True), Record(TWO, B)),
    ],
    ids=[
        "nothing stood",
        "proven",
        "never proven",
        "left by an earlier try",
        "another spec of an earlier try",
        "proven by an earlier try",
        "kept of before",
        "put back",
        "put back, never proven",
        "kept of before, never proven",
        "unreadable",
    ],
)
def test_what_a_rollback_will_put_back(replaced, expected) -> None:
    assert records.succeed(replaced, TWO, B, False) == expected


def test_same_want_is_the_same_try_spec_and_stop() -> None:
    record = Record(ONE, A, stopped=True)

    assert record.same_want(ONE, A, True)
    assert not record.same_want(ONE.model_copy(update={"ti_id": "two"}), A, True)
    assert not record.same_want(ONE, B, True)
    assert not record.same_want(ONE, A, False)
    assert replace(record, proven=True, applied="later").same_want(ONE, A, True)


def test_connections_stand_for_one_secret_of_ours() -> None:
    assert records.connections(B) == ("hf", "aws")
    resolved = records.resolved(B, "m-llmserve")
    assert isinstance(resolved, KubeAIText)
    assert resolved.secrets == ("m-llmserve", "mine")
    assert records.resolved(A, "m") is A


def test_what_no_spec_has_any_more_is_kept_in_mind_until_it_may_go() -> None:
    claim, service, secret = (("v1", kind, "x") for kind in ("PersistentVolumeClaim", "Service", "Secret"))
    first = Record(ONE, A, others=(claim, service))
    second = Record(
        TWO, B, others=(service,), stale=Record(TWO, B, others=(service,)).gone_with(first), previous=Previous(A, False, ONE)
    )
    assert second.stale == (claim,)
    assert Record(TWO, A, others=(secret,)).gone_with(second) == (service, claim)
    assert Record(TWO, A, others=(claim,)).gone_with(second) == (service,)
    assert Record(ONE, A).puts_back(second)
    assert not Record(TWO, A).puts_back(second)
    assert not Record(ONE, A).puts_back(None)


def test_a_time_to_live_counts_from_the_write() -> None:
    assert str(Record(ONE, A, applied="2026-01-01T00:00:00+00:00", ttl=90).expires) == "2026-01-01 00:01:30+00:00"


@pytest.mark.parametrize("damaged", ["-1", "0", "NaN", "Infinity", '"60"', "true", "[60]", "{"])
def test_a_damaged_time_to_live_sweeps_nothing_away(damaged) -> None:
    record = records.read({**records.write(Record(ONE, A, applied="2026-01-01T00:00:00+00:00", ttl=60)), "ttl": damaged})
    assert record is not None
    assert (record.ttl, record.expires) == (None, None)


def test_without_a_readable_time_of_the_write_nothing_expires() -> None:
    assert Record(ONE, A, applied="soon", ttl=60).expires is None
    assert Record(ONE, A, applied="2026-01-01T00:00:00+00:00", ttl=1e300).expires is None
