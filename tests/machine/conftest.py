"""Servers that machine tests share."""

from support.s3 import s3

__all__ = ["s3"]
