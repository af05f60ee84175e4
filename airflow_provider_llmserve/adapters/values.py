"""What the bytes of a tensor say, without numpy: all zero, or not a number somewhere."""

from __future__ import annotations

CHECKED = {"F16": 0x7C, "BF16": 0x7F, "F32": 0x7F}
"""Bits of the highest byte that are all set in an infinity or NaN."""
WIDTH = {"F16": 2, "BF16": 2, "F32": 4}


def all_zero(data: bytes) -> bool:
    """Whether every byte is zero."""
    return not data.strip(b"\0")


def has_non_finite(data: bytes, dtype: str) -> bool:
    """Whether a little-endian F16, BF16 or F32 value in ``data`` is infinite or not a number.

    IEEE 754: all exponent bits set. F16 has all five of them in the highest byte; BF16 and F32 keep the eighth as the top
    bit of the next one, which is looked at only where the highest byte is suspect (a finite weight there exceeds 1e38).
    """
    width, mask = WIDTH[dtype], CHECKED[dtype]
    high = data[width - 1 :: width]
    suspect = bytes(b for b in range(256) if b & mask == mask)
    if len(high.translate(None, suspect)) == len(high):
        return False
    if dtype == "F16":
        return True
    second = data[width - 2 :: width]
    return any(h & mask == mask and s & 0x80 for h, s in zip(high, second, strict=False))
