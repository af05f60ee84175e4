"""Kubernetes quantities: ``500m`` of a processor, ``2Gi`` of memory."""

from __future__ import annotations

import re
from decimal import Context, Decimal
from typing import Any

SPELT = r"\d+(\.\d+)?(m|k|Ki|[MGTPE]i?)?"
"""What a spec may say: of all that Kubernetes reads, what people write."""

_READ = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+))([eE][+-]?\d{1,3}|[KMGTPE]i|[numkMGTPE]|)", re.ASCII)
_UNITS = {
    **{letter: Decimal(1000) ** n for n, letter in enumerate("num", -3)},
    "": Decimal(1),
    **{letter: Decimal(1000) ** n for n, letter in enumerate("kMGTPE", 1)},
    **{f"{letter}i": Decimal(1024) ** n for n, letter in enumerate("KMGTPE", 1)},
}
_LONGEST_UNIT = len(str(1024**6))


def quantity(value: Any) -> Decimal | None:
    """A quantity in base units; None for anything else.

    The grammar is the API server's (``apimachinery/pkg/api/resource/quantity.go``): a signed decimal number, then a binary or
    decimal suffix or an exponent (``1E`` is an exa, ``1E3`` a thousand).
    """
    match = _READ.fullmatch(str(value).strip())
    if match is None:
        return None
    number, unit = match.groups()
    if unit not in _UNITS:
        return Decimal(number + unit)
    exactly = Context(prec=len(number) + _LONGEST_UNIT)  # Decimal's own 28 digits would round
    return exactly.multiply(Decimal(number), _UNITS[unit])
