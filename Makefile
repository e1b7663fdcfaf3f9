# Every target does the set-up it needs. CI runs `make test` and nothing else.

SHELL := /bin/sh
.DEFAULT_GOAL := help
.NOTPARALLEL:

BIN := .venv/bin
ARGS ?=
BENCH = $(if $(ONLY),--only $(ONLY)) $(if $(ROUNDS),--rounds $(ROUNDS)) \
	$(if $(SECONDS),--seconds $(SECONDS)) $(if $(LARGEST),--largest $(LARGEST)) $(if $(FOLDER),--folder $(FOLDER))

# The tests drive the installed program and the tools beside it.
export PATH := $(CURDIR)/$(BIN):$(CURDIR)/.tools/bin:$(PATH)
# They start it some hundred times: without saved bytecode each start compiles all of it.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help
help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: setup
setup: ## make .venv with the program in it, from the locks
	@sh scripts/setup.sh run

.PHONY: demo
demo: setup ## a hundred predictions, a flaky model server, one dead letter; ARGS="--help" tells more
	@exec $(BIN)/tirelessd demo $(ARGS)

.PHONY: run
run: setup ## serve examples/tirelessd.yaml, its data in ./data
	@mkdir -p data
	@exec env PYTHONPATH=examples $(BIN)/tirelessd serve --config examples/tirelessd.yaml $(ARGS)

.PHONY: test
test: lint types layers docstrings pytest ## all checks and all tests, as CI runs them; ARGS="-k drain" picks tests

.PHONY: pytest
pytest: test-setup ## the tests alone
	@sh scripts/prometheus.sh
	@sh scripts/tests.sh $(ARGS)

.PHONY: faults
faults: test-setup ## the fault experiments; ROWS=P1,S3 picks rows, FRESH=1 repeats green ones
	FAULTS=long FAULTS_ROWS=$(ROWS) FAULTS_FRESH=$(FRESH) sh scripts/faults.sh $(ARGS)

.PHONY: rollout
rollout: test-setup ## a kubelet of our own: restarts and rolling updates under load, pods in trouble; ROLLOUTS= UPDATES= shorten
	KUBELET=long ROLLOUTS=$(ROLLOUTS) UPDATES=$(UPDATES) $(BIN)/pytest tests/kubelet --ignore tests/kubelet/test_scaling.py $(ARGS)

.PHONY: scaling
scaling: test-setup ## real daemons scaled by the chart's recipe, before a real Prometheus; two minutes
	@sh scripts/prometheus.sh
	KUBELET=long $(BIN)/pytest tests/kubelet/test_scaling.py $(ARGS)

.PHONY: observe
observe: test-setup ## every alert fired by a fault before a real Prometheus, and a workload of three minutes
	@sh scripts/prometheus.sh
	rm -f build/live/seen.jsonl
	LIVE=long $(BIN)/pytest tests/live $(ARGS)
	$(BIN)/python -m tests.live.report

.PHONY: pictures
pictures: test-setup ## renew docs/dashboards from a workload and an outage
	@sh scripts/prometheus.sh
	$(BIN)/python -m tests.live.pictures build/pictures
	@sh scripts/pictures.sh build/pictures

.PHONY: soak
soak: test-setup ## half an hour of load, then twenty seeds of faults at once; MINUTES= SECONDS= SEEDS= shorten
	FAULTS=soak FAULTS_ROWS=$(ROWS) FAULTS_FRESH=$(FRESH) FAULTS_MINUTES=$(MINUTES) \
		FAULTS_SECONDS=$(SECONDS) FAULTS_SEEDS=$(SEEDS) sh scripts/faults.sh $(ARGS)

.PHONY: image
image: ## build the container image; ARGS="--build-arg BASE_IMAGE=..." is for the builder
	@sh scripts/image.sh $(ARGS)

.PHONY: image-test
image-test: test-setup ## build the image twice and run it as a pod would; root, on Debian
	@sh scripts/buildah.sh
	IMAGE_BUILT=yes $(BIN)/pytest tests/image --timeout=600 $(ARGS)

.PHONY: lint
lint: test-setup ## ruff's rules and format
	$(BIN)/ruff check
	$(BIN)/ruff format --check

.PHONY: types
types: test-setup ## mypy, strict
	$(BIN)/mypy

.PHONY: layers
layers: test-setup ## the import contracts
	$(BIN)/lint-imports --no-logo

.PHONY: docstrings
docstrings: test-setup ## interrogate
	$(BIN)/interrogate src bench grafana/source helm

.PHONY: format
format: test-setup ## format, and mend what ruff can mend
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

.PHONY: docs
docs: setup ## renew METRICS.md, docs/logs.md, docs/configuration.md and the chart's README
	$(BIN)/python -m tirelessd.observe.reference .
	$(BIN)/python -m tirelessd.settings.reference > docs/configuration.md
	$(BIN)/python -m helm.readme

.PHONY: grafana
grafana: setup ## renew the dashboards and rules in grafana/ from their source
	$(BIN)/python -m grafana.source

.PHONY: bench
bench: test-setup ## measure beside the bare handler; ONLY=single,batch picks scenarios
	@$(BIN)/python -m bench run $(BENCH)

.PHONY: bench-docs
bench-docs: test-setup ## write what make bench measured into docs/performance.md and docs/scaling.md
	@$(BIN)/python -m bench render

.PHONY: lock
lock: ## renew requirements/*.lock
	@sh scripts/lock.sh

.PHONY: clean
clean: ## remove what make has made, except ./data
	rm -rf .venv .venv-lock .venv-pictures .tools .setup.lock dist build/image
	rm -rf .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	find src tests examples bench grafana -name __pycache__ -type d -prune -exec rm -rf {} +

.PHONY: test-setup
test-setup:
	@sh scripts/setup.sh test
