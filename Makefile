# Every target sets up what it needs; stamps in the virtual environments make a second run instant.
#   .venv         the services, the client, and (for tests) what checks them
#   .venv-triton  the local Triton
#   .venv-train   training, with PyTorch        .venv-peer  a published transcriber to compare with
.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:

PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
TRAIN := .venv-train/bin
PIP_INSTALL := -m pip install --disable-pip-version-check --no-warn-script-location

.PHONY: help
help: ## Show what can be made
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  \1\t\2/' | expand -t 20

## ---- setting up

.PHONY: setup
setup: .venv/serving.stamp triton ## Set up the services, the client and the local Triton

.venv/pip.stamp:
	@echo "setup: making .venv with $(PYTHON)"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' \
		|| { echo "setup: Python 3.11 is needed; name it with PYTHON=/path/to/python3.11"; exit 1; }
	@$(PYTHON) -m venv .venv
	@touch $@

.venv/serving.stamp: requirements/serving.txt pyproject.toml | .venv/pip.stamp
	@echo "setup: installing the services and the client"
	@$(BIN)/python $(PIP_INSTALL) --requirement requirements/serving.txt
	@$(BIN)/python $(PIP_INSTALL) --no-deps --editable .
	@touch $@

.venv/test.stamp: requirements/test.txt | .venv/serving.stamp
	@echo "setup: installing what the tests and checks need"
	@$(BIN)/python $(PIP_INSTALL) --requirement requirements/test.txt
	@touch $@

.PHONY: triton
triton: .venv/serving.stamp
	@$(BIN)/python -m services.triton.environment

.venv-train/train.stamp: requirements/training.txt
	@echo "setup: making .venv-train (PyTorch: this takes a while)"
	@test -x $(TRAIN)/python || $(PYTHON) -m venv .venv-train
	@$(TRAIN)/python $(PIP_INSTALL) --requirement requirements/training.txt
	@touch $@

.venv-peer/peer.stamp: requirements/peer.txt requirements/peer-model.txt
	@echo "setup: making .venv-peer"
	@test -x .venv-peer/bin/python || $(PYTHON) -m venv .venv-peer
	@.venv-peer/bin/python $(PIP_INSTALL) --no-deps --requirement requirements/peer.txt --requirement requirements/peer-model.txt
	@touch $@

## ---- using

.PHONY: demo up down status monitor
demo: setup ## Transcribe a sample recording and read a sample page, with a stack of its own
	@$(BIN)/python -m services.client.demo

up: setup ## Start Triton and the services in the background
	@$(BIN)/python -m services.local up

down: .venv/serving.stamp ## Stop them
	@$(BIN)/python -m services.local down

status: .venv/serving.stamp ## Show what runs
	@$(BIN)/python -m services.local status

monitor: .venv/serving.stamp ## Watch what runs: Prometheus and Alertmanager with the rules of monitoring/
	@$(BIN)/python -m services.local monitor

## ---- checking

.PHONY: test test-services test-pipelines check lint types fmt
test: test-services test-pipelines ## Run all tests, those of training in its own environment

test-services: .venv/test.stamp triton
	@.ci/system-packages test
	@$(BIN)/python -m pytest --ignore tests/pipelines --ignore tests/images/test_installed.py

test-pipelines: .venv-train/train.stamp
	@$(TRAIN)/python -m pytest tests/pipelines

check: lint types test ## Check style, types and tests

lint: .venv/test.stamp ## Check style and format
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

types: .venv/test.stamp ## Check types
	@$(BIN)/mypy

fmt: .venv/test.stamp ## Format the code and mend what can be mended
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

## ---- the chart

.PHONY: check-chart chart-readme
check-chart: .venv/test.stamp triton ## Lint, render and pack the Helm chart; hold every object to its schema and our rules
	@$(BIN)/python -m charts.document --check
	@$(BIN)/python -m pytest tests/charts

chart-readme: .venv/test.stamp ## Write the chart's README and descriptions out of values.yaml; copy monitoring/'s files into it
	@$(BIN)/python -m charts.document

.PHONY: fuzz
fuzz: .venv/test.stamp triton ## Send thousands of damaged files of every format to a stack of its own
	@$(BIN)/python -m tests.fuzz

.PHONY: check-images check-k8s
check-images: .venv/test.stamp ## Check the images, and that what the services' one installs works without the source tree
	@$(BIN)/python -m pytest tests/images

check-k8s: .venv/test.stamp ## Check the cluster: AWS templates, node pools, overlays, and Copyist's chart on top of them
	@$(BIN)/python -m pytest tests/k8s

## ---- models

.PHONY: train-piano release-piano eval-piano bench-amt
.PHONY: train-symbols release-symbols train-context release-context eval-omr eval-symbols bench-omr
train-piano: .venv-train/train.stamp ## Make the piano model's data and train it; resumes where it stopped
	@.ci/system-packages training
	@$(TRAIN)/python -m pipelines.training.piano.train

train-symbols: .venv-train/train.stamp ## Engrave pages and train the symbols model on them; resumes where it stopped
	@.ci/system-packages training
	@$(TRAIN)/python -m pipelines.engraving.make
	@$(TRAIN)/python -m pipelines.training.symbols.train

train-context: .venv-train/train.stamp ## Read the pages with the trained symbols model and train the context model on that
	@$(TRAIN)/python -m pipelines.training.context.candidates
	@$(TRAIN)/python -m pipelines.training.context.train

release-symbols: .venv-train/train.stamp ## Export the trained symbols model into the model repository
	@$(TRAIN)/python -m pipelines.release.symbols
	@$(TRAIN)/python -m pipelines.release.profiles symbols

release-context: .venv-train/train.stamp ## Export the trained context model into the model repository
	@$(TRAIN)/python -m pipelines.release.context

release-piano: .venv-train/train.stamp ## Export the trained piano model into the model repository
	@$(TRAIN)/python -m pipelines.release.piano
	@$(TRAIN)/python -m pipelines.release.profiles piano

eval-piano: .venv/test.stamp triton .venv-peer/peer.stamp ## Score the served piano model on real recordings
	@$(BIN)/python -m pipelines.evaluation.piano

eval-omr: .venv/test.stamp triton ## Score the served page models on engraved, scanned and photographed pages
	@$(BIN)/python -m pipelines.evaluation.omr

eval-symbols: .venv/test.stamp ## Score the finding and naming of single symbols on held-out rendered pages
	@$(BIN)/python -m pipelines.evaluation.detection

bench-amt: .venv/test.stamp triton .venv-peer/peer.stamp ## Time the audio service beside a published transcriber
	@$(BIN)/python -m loadtests.bench_amt

bench-omr: .venv/test.stamp triton ## Time the page service, stage by stage, and over a PDF of 20 pages
	@$(BIN)/python -m loadtests.bench_omr

.PHONY: bench-monitoring
bench-monitoring: .venv/test.stamp triton ## Time requests with monitoring on and off, pair by pair
	@$(BIN)/python -m loadtests.bench_monitoring

## ---- load

.PHONY: load
MODE ?= load
load: .venv/test.stamp triton ## Load the services (MODE=load|overload RATE=/s SECONDS= MIX= HOST= SEED=) and print latencies
	@$(BIN)/python -m loadtests.load --mode $(MODE) $(if $(RATE),--rate $(RATE)) $(if $(HOST),--host $(HOST)) \
		$(if $(SECONDS),--seconds $(SECONDS)) $(if $(MIX),--mix '$(MIX)') $(if $(SEED),--seed $(SEED))

.PHONY: test-release
test-release: .venv/test.stamp triton .venv-train/train.stamp ## Release good and bad candidates under load, then let drift retrain a model, on the real stack
	@.ci/system-packages test
	@$(BIN)/python -m loadtests.release $(if $(RATE),--rate $(RATE)) $(if $(SHARE),--share $(SHARE))
	@$(BIN)/python -m loadtests.release.loop

.PHONY: chaos-jobs
chaos-jobs: .venv/test.stamp triton ## Kill workers, services, Triton and the database under 50 jobs; all must be done, once
	@.ci/system-packages test
	@$(BIN)/python -m loadtests.chaos

.PHONY: test-drift
test-drift: .venv/test.stamp triton ## Send ordinary and changed traffic of every kind; each must raise the alert of its cause and no other
	@.ci/system-packages test
	@COPYIST_TEST_ALL_DRIFT=1 $(BIN)/python -m pytest tests/e2e/test_drift.py --durations 6

## ---- maintaining

.PHONY: pictures
pictures: .venv/test.stamp triton ## Draw the pictures of the documentation again
	@$(BIN)/python -m docs.pictures

# Where a build of PyTorch for CPUs alone is on offer (by PIP_FIND_LINKS), it is resolved with that; the
# build's name is dropped, so that the same lock installs the GPU build elsewhere.
# Torch is resolved anew each time, as without its build the locked version would be kept from elsewhere.
UV_COMPILE = $(BIN)/uv pip compile --quiet --no-header --no-annotate --python-version 3.11 \
	--no-emit-index-url --no-emit-find-links $(if $(PIP_FIND_LINKS),--find-links $(PIP_FIND_LINKS))

.PHONY: lock
lock: .venv/serving.stamp ## Lock the dependencies of pyproject.toml and requirements/*.in to exact versions
	@$(BIN)/python $(PIP_INSTALL) --quiet uv
	$(UV_COMPILE) pyproject.toml --output-file requirements/serving.txt
	$(UV_COMPILE) pyproject.toml --extra cluster --constraint requirements/serving.txt --output-file requirements/cluster.txt
	$(UV_COMPILE) pyproject.toml --extra test --constraint requirements/cluster.txt --output-file requirements/test.txt
	$(UV_COMPILE) pyproject.toml --extra test --extra training --constraint requirements/test.txt --upgrade-package torch \
		--output-file requirements/training.txt
	sed -i 's/^\(torch==[^+]*\)+cpu$$/\1/' requirements/training.txt
	$(UV_COMPILE) requirements/triton.in --output-file requirements/triton.txt
	$(UV_COMPILE) requirements/peer.in --output-file requirements/peer.txt
	$(UV_COMPILE) requirements/build.in --output-file requirements/build.txt
