"""Kubernetes quantities: the one parser."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.spec_strategies import json_values

from airflow_provider_llmserve.specs.quantity import SPELT, quantity

FACTORS = {
    "n": Fraction(1, 10**9), "u": Fraction(1, 10**6), "m": Fraction(1, 1000), "": Fraction(1),
    "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "P": 10**15, "E": 10**18,
    "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40, "Pi": 2**50, "Ei": 2**60,
    "e3": 1000, "E3": 1000, "e+3": 1000, "E-3": Fraction(1, 1000), "e0": 1,
}  # fmt: skip


@pytest.mark.parametrize(
    ("value", "amount"),
    [
        ("500m", "0.5"), ("2", 2), (2, 2), (0.5, "0.5"), ("2Gi", 2 * 1024**3), ("1.5k", 1500), ("1Ki", 1024), ("0", 0),
        ("1e3", 1000), ("1E3", 1000), ("1E", 10**18), ("100u", "0.0001"), ("1n", "1e-9"), ("5.", 5), (".5", "0.5"),
        ("-1", -1), ("+1Mi", 2**20), (" 2 ", 2), ("875492.8461Ei", "1009374529398142720565418.3936"),
    ],
)  # fmt: skip
def test_amounts(value: Any, amount: Any) -> None:
    assert quantity(value) == Decimal(amount)


@pytest.mark.parametrize(
    "value",
    [
        "", "x", "5X", "1K", "1ki", "1mi", "1 Gi", "Gi", ".", "-", "1e", "1e1000", "1e3Ki", "1_000", "NaN", "Infinity", "٣", "1\n2",
        None, True, [], {}, float("nan"), float("inf"),
    ],
)  # fmt: skip
def test_what_is_no_quantity(value: Any) -> None:
    assert quantity(value) is None


@given(st.decimals(-(10**6), 10**6, places=4), st.sampled_from(sorted(FACTORS)))
def test_a_suffix_multiplies(number: Decimal, suffix: str) -> None:
    found = quantity(f"{number:f}{suffix}")
    assert found is not None
    assert Fraction(found) == Fraction(number) * FACTORS[suffix]


@given(st.from_regex(SPELT, fullmatch=True, alphabet=st.characters(codec="ascii")))
def test_whatever_a_spec_may_say_is_read(text: str) -> None:
    assert quantity(text) is not None


@given(json_values | st.text("0123456789.eE+-mkKMGi", max_size=12))
def test_nothing_breaks_the_reading(value: Any) -> None:
    found = quantity(value)
    assert found is None or found.is_finite()
