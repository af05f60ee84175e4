"""Judging a served model: data set, metrics, gates and summary, without I/O."""
