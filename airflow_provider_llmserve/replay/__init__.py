"""Recorded histories judged by our verdicts: ``python -m airflow_provider_llmserve.replay DIR``.

A history is what a real API server showed, second by second, while the real controllers worked, with the truth beside it. For
each one this says when we would have called it Ready, when it was so, every false Ready and false Failed, and which cause was
named when. It needs neither Airflow nor a cluster.
"""
