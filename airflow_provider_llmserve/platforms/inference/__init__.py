"""Asking served models: an evaluation's requests, and the Open Inference Protocol."""
