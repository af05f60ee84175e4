"""Digest, names, marker and hand-over of an adapter."""

from __future__ import annotations

import hashlib
import json
import re
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_llmserve.adapters.base_model import canonical, is_local, same_base
from airflow_provider_llmserve.adapters.handover import Handover, read_handover
from airflow_provider_llmserve.adapters.manifest import Entry, Manifest, files_in, folder
from airflow_provider_llmserve.adapters.naming import MAX_STEM, check_stem, stem_of, url_warnings, versioned
from airflow_provider_llmserve.adapters.peft import folder_findings, parse_config, with_base
from airflow_provider_llmserve.errors import BadInput

KUBEAI_NAME = re.compile(r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")
ONE = Entry("adapter_config.json", 3, "a" * 64)
TWO = Entry("adapter_model.safetensors", 5, "b" * 64)


def test_digest_of_known_files():
    """Part of the published layout: a change moves every adapter."""
    manifest = Manifest.of([TWO, ONE], "org/base", 8)
    text = f'[["adapter_config.json",3,"{"a" * 64}"],["adapter_model.safetensors",5,"{"b" * 64}"]]'
    assert manifest.digest == hashlib.sha256(text.encode()).hexdigest()
    assert manifest.size == 8


def test_digest_is_of_the_files_alone():
    a = Manifest.of([ONE, TWO], "org/base", 8)
    assert a.digest == Manifest.of([TWO, ONE], "other", 16).digest
    for changed in (Entry(ONE.path, 4, ONE.sha256), Entry(ONE.path, 3, "c" * 64), Entry("x", 3, ONE.sha256)):
        assert Manifest.of([changed, TWO], "org/base", 8).digest != a.digest


def test_marker_reads_back():
    manifest = Manifest.of([TWO, ONE], "org/base", 8)
    assert files_in(manifest.to_bytes()) == manifest.files
    assert json.loads(manifest.to_bytes())["digest"] == manifest.digest


@given(st.binary(max_size=40) | st.text(max_size=20).map(str.encode))
def test_no_marker_crashes_it(raw):
    assert files_in(raw) is None


@pytest.mark.parametrize("raw", [b"[]", b"{}", b'{"files": 1}', b'{"files": [1]}', b'{"files": [{"path": "a"}]}', b"[" * 100_000])
def test_other_markers_are_none(raw):
    assert files_in(raw) is None


@given(st.text(max_size=90))
def test_every_stem_makes_a_name_that_kubeai_takes(text):
    try:
        stem = stem_of(text)
    except BadInput:
        assert not re.search("[a-z0-9]", text.rstrip("/").rpartition("/")[2].lower())
        return
    assert check_stem(stem) == stem
    assert KUBEAI_NAME.match(versioned(stem, "3f9a2c1d" + "0" * 56))


@pytest.mark.parametrize(
    ("folder", "stem"),
    [("/data/run-1/Tuned_v2/", "tuned-v2"), ("s3://b/x/tuned", "tuned"), ("--A--", "a"), ("a" * 80, "a" * MAX_STEM)],
)
def test_stem_of_a_folder(folder, stem):
    assert stem_of(folder) == stem


@pytest.mark.parametrize("stem", ["", "-a", "a-", "A", "a_b", "a.b", "a/b", "..", "a" * (MAX_STEM + 1), "a\n"])
def test_a_given_name_is_taken_as_it_is_or_refused(stem):
    with pytest.raises(BadInput, match="lower-case letters"):
        check_stem(stem)


def test_layout():
    assert versioned("tuned", "3f9a2c1d55") == "tuned-3f9a2c1d"
    assert folder("tuned", "3f9a") == "tuned/sha256-3f9a"


@pytest.mark.parametrize(
    ("url", "warned"), [("s3://b/a-b_c.d/e", False), ("s3://b/date=1", True), ("s3://b/a b", True), ("file:///a b", False)]
)
def test_urls_that_newer_kubeai_refuses(url, warned):
    assert bool(url_warnings(url)) is warned


@pytest.mark.parametrize(
    ("source", "given", "expected"),
    [
        ("/a/tuned", {}, Handover("/a/tuned", "tuned", None)),
        ("/a/tuned", {"name": "support", "base_model": "hf://o/m"}, Handover("/a/tuned", "support", "o/m")),
        ({"path": "/a/x", "base_model": "o/m", "name": "n", "loss": 1}, {}, Handover("/a/x", "n", "o/m")),
        (
            {"path": "/a/x", "base_model": "o/m", "name": "n"},
            {"name": "mine", "base_model": "hf://O/M"},
            Handover("/a/x", "mine", "O/M"),
        ),
    ],
)
def test_hand_over(source, given, expected):
    assert read_handover(source, **given) == expected


@pytest.mark.parametrize(
    ("source", "given", "finding"),
    [
        (None, {}, "expected a folder or URL, got None"),
        ("", {}, "expected a folder or URL"),
        (["/a"], {}, "expected a folder or URL"),
        ({"uri": "/a"}, {}, "path: expected"),
        ({"path": "/a", "base_model": 1}, {}, "base_model: expected"),
        ({"path": "/a", "name": 1}, {}, "name: expected"),
        ({"path": "/a", "base_model": "o/m"}, {"base_model": "o/m2"}, "an adapter fits one base"),
        ({"path": "/a/x", "name": "Not OK"}, {}, "lower-case letters"),
        ("s3://bucket/---", {}, "give name="),
    ],
)
def test_hand_over_refused(source, given, finding):
    with pytest.raises(BadInput, match=re.escape(finding)):
        read_handover(source, **given)


@given(st.text(max_size=30))
def test_canonical_is_stable(name):
    once = canonical(name)
    assert same_base(name, name)
    assert isinstance(is_local(name), bool)
    assert same_base(once, name)


@pytest.mark.parametrize(
    ("names", "findings"),
    [
        ({"adapter_config.json", "adapter_model.safetensors", "optimizer.pt"}, []),
        ({"adapter_model.safetensors"}, ["no adapter_config.json"]),
        ({"adapter_config.json"}, ["no adapter_model.safetensors"]),
        ({"adapter_config.json", "adapter_model.bin"}, ["a pickle"]),
        ({"adapter_config.json", "adapter_model.safetensors", "adapter_model.bin"}, []),
        (set(), ["no adapter_config.json", "no adapter_model.safetensors"]),
    ],
)
def test_folder(names, findings):
    found = folder_findings(names)
    assert len(found) == len(findings)
    assert all(text in f for text, f in zip(findings, found, strict=True))


@given(st.binary(max_size=60))
def test_no_config_crashes_it(raw):
    with suppress(BadInput):
        assert isinstance(parse_config(raw), dict)


@pytest.mark.parametrize("raw", [b"[]", b"1", b"{", b"[" * 100_000, b" " * (1024 * 1024 + 1)])
def test_config_refused(raw):
    with pytest.raises(BadInput, match=r"adapter_config\.json"):
        parse_config(raw)


def test_the_copys_base_changes_nothing_else():
    assert json.loads(with_base({"r": 8, "base_model_name_or_path": "/a"}, "o/m")) == {"r": 8, "base_model_name_or_path": "o/m"}
