"""Shared by all tests: Airflow gets a home of its own, before anything imports it."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile

_home = tempfile.mkdtemp(prefix="llmserve-tests-")
atexit.register(shutil.rmtree, _home, ignore_errors=True)
os.environ["AIRFLOW_HOME"] = _home
os.environ["AIRFLOW__CORE__LOAD_EXAMPLES"] = "False"

from hypothesis import settings  # noqa: E402

# A deadline would be a timing assert: the suite must not turn red because a machine is busy.
settings.register_profile("llmserve", deadline=None)
settings.load_profile("llmserve")
