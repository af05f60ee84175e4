"""The safetensors header: what is refused, and that no bytes crash the parser."""

from __future__ import annotations

import json
import struct
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.adapters import safetensors

from airflow_provider_llmserve.adapters.safetensors import MAX_HEADER, PREFIX, header_length, parse_header
from airflow_provider_llmserve.adapters.values import all_zero, has_non_finite
from airflow_provider_llmserve.errors import BadInput

PAIR = {"a": ("F32", (2, 3), bytes(24)), "b": ("BF16", (2, 2), bytes(8))}


def read(data):
    """As the storage layer reads a file."""
    length = header_length(data[:PREFIX], len(data))
    return parse_header(data[PREFIX : PREFIX + length], len(data))


def file(header, data=b"", length=None):
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    return (len(raw) if length is None else length).to_bytes(8, "little") + raw + data


def entry(begin, end, dtype="F32", shape=None):
    return {"dtype": dtype, "shape": [(end - begin) // 4] if shape is None else shape, "data_offsets": [begin, end]}


def test_tensors_with_their_places():
    data = safetensors(PAIR)
    a, b = read(data)
    assert (a.name, a.dtype, a.shape, a.end - a.begin) == ("a", "F32", (2, 3), 24)
    assert (b.name, b.dtype, b.shape) == ("b", "BF16", (2, 2))
    assert a.end == b.begin
    assert b.end == len(data)


def test_tensors_come_in_file_order_whatever_the_headers():
    assert [t.name for t in read(file({"late": entry(4, 8), "early": entry(0, 4)}, bytes(8)))] == ["early", "late"]


@pytest.mark.parametrize(
    ("data", "finding"),
    [
        (b"", "too few"),
        (b"\x02\0\0\0\0\0\0", "too few"),
        (file({}, length=0), "no safetensors file"),
        (file({}, length=MAX_HEADER + 1), "no safetensors file"),
        (b"\xff" * 64, "no safetensors file"),
        (file({}, length=3), "truncated"),
        (file(b"[]"), "does not start with"),
        (file(b" {}"), "does not start with"),
        (file(b'{"a": '), "no JSON"),
        (file(b'{"\xff": 1}'), "no JSON"),
        (file(b'{"a":' + b"[" * 100_000), "no JSON"),
        (file(b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"a":{}}', bytes(4)), "twice"),
        (file({"a": 1}), "lacks dtype"),
        (file({"a": {"dtype": "F32", "shape": [1]}}), "lacks dtype"),
        (file({"a": entry(0, 4) | {"data_offsets": [0, 4, 8]}}, bytes(4)), "lacks dtype"),
        (file({"a": entry(0, 4) | {"shape": 1}}, bytes(4)), "lacks dtype"),
        (file({"a": entry(0, 4, dtype="F33")}, bytes(4)), "unknown dtype"),
        (file({"a": entry(0, 4, dtype=["F32"])}, bytes(4)), "unknown dtype"),
        (file({"a": entry(0, 4, shape=[-1])}, bytes(4)), "no sizes"),
        (file({"a": entry(0, 4, shape=[True])}, bytes(4)), "no sizes"),
        (file({"a": entry(0, 4, shape=[1.0])}, bytes(4)), "no sizes"),
        (file({"a": entry(0, 4, shape=[1] * 9)}, bytes(4)), "no sizes"),
        (file({"a": entry(0, 4, shape=[2**60, 2**60])}, bytes(4)), "no sizes"),
        (file({"a": entry(-4, 0)}, bytes(4)), "no sizes"),
        (file({"a": entry(0, 4, shape=[2])}, bytes(4)), "needs 8 bytes, its offsets span 4"),
        (file({"a": entry(4, 0, shape=[0])}, bytes(4)), "span -4"),
        (file({"a": entry(4, 8)}, bytes(8)), "a gap or an overlap"),
        (file({"a": entry(0, 4), "b": entry(0, 4)}, bytes(4)), "a gap or an overlap"),
        (file({"a": entry(0, 4), "b": entry(8, 12)}, bytes(12)), "a gap or an overlap"),
        (safetensors(PAIR)[:-1], "truncated"),
        (safetensors(PAIR) + b"\0", "bytes after the last tensor"),
    ],
)
def test_refused(data, finding):
    with pytest.raises(BadInput, match=finding):
        read(data)


@given(st.binary(max_size=200))
def test_no_bytes_crash_it(data):
    with pytest.raises(BadInput):
        read(data)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)
entries = st.fixed_dictionaries(
    {},
    optional={
        "dtype": st.sampled_from(["F32", "BF16", "I8", "X"]) | json_values,
        "shape": st.lists(st.integers(-1, 2**70), max_size=3) | json_values,
        "data_offsets": st.lists(st.integers(-1, 2**70), min_size=2, max_size=2) | json_values,
    },
)


@given(st.dictionaries(st.text(max_size=4), entries | json_values, max_size=3), st.binary(max_size=16))
def test_no_header_crashes_it_or_points_outside_the_file(header, data):
    whole = file(header, data)
    try:
        tensors = read(whole)
    except BadInput:
        return
    assert sum(t.end - t.begin for t in tensors) == len(data)
    assert all(0 <= t.begin <= t.end <= len(whole) for t in tensors)


@given(st.binary(min_size=1, max_size=12), st.integers(0, 60))
def test_a_good_file_with_bytes_changed_never_crashes(junk, at):
    data = safetensors(PAIR)
    with suppress(BadInput):
        read(data[:at] + junk + data[at + len(junk) :])


FORMATS = {"F32": ("<f", 4), "F16": ("<e", 2)}


@pytest.mark.parametrize("dtype", ["F32", "F16", "BF16"])
@given(values=st.lists(st.floats(width=16) | st.floats(width=32), max_size=6))
def test_non_finite_as_the_numbers_say(dtype, values):
    raw, expected = b"", False
    for value in values:
        if dtype == "BF16":
            raw += struct.pack("<f", value)[2:]
            kept = struct.unpack("<f", b"\0\0" + raw[-2:])[0]
        else:
            try:
                raw += struct.pack(FORMATS[dtype][0], value)
            except OverflowError:
                continue
            kept = value
        expected = expected or kept != kept or kept in (float("inf"), float("-inf"))
    assert has_non_finite(raw, dtype) is expected


def test_large_but_finite_is_finite():
    assert not has_non_finite(struct.pack("<f", 3.4e38), "F32")
    assert not has_non_finite(b"\x7f\x7f", "BF16")
    assert not has_non_finite(struct.pack("<e", 65504.0), "F16")


@given(st.binary(max_size=64))
def test_all_zero(data):
    assert all_zero(data) is (set(data) <= {0})
