# Every target works in a fresh clone: it installs what it needs first. `make help` lists them.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

# Node 24 comes with the npm package `node`; any Node that can run npm is enough to install it.
export PATH := $(CURDIR)/node_modules/.bin:$(PATH)
INSTALLED := node_modules/.package-lock.json
# Sources are read as they are (condition `source` of every workspace's exports); only users get dist/.
RUN := node --conditions=source --disable-warning=ExperimentalWarning
TESTS := $(RUN) e2e/run-in-netns.ts -- $(RUN) e2e/run-tests.ts

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

$(INSTALLED): package-lock.json
	npm ci --no-audit --no-fund
	@touch $@

.PHONY: setup
setup: $(INSTALLED) ## Install dependencies; build and download what tests and demo start (Envoy, control plane)
	$(RUN) e2e/setup.ts

##@ Code
.PHONY: build lint fmt typecheck check image
build: $(INSTALLED) ## Compile every workspace to dist/
	npm run --silent build

lint: $(INSTALLED) ## ESLint and Prettier, without changing anything
	npm run --silent lint

fmt: $(INSTALLED) ## Format everything with Prettier
	npm run --silent fmt

typecheck: $(INSTALLED) ## Check the types of sources and tests
	npm run --silent typecheck

check: $(INSTALLED) ## What needs no cluster and no Envoy: types, lint, unit tests, generated files
	$(RUN) e2e/run-tests.ts typecheck lint unit
	$(MAKE) --no-print-directory check-generate

image: build ## Write images/out/operator.tar (docker-archive, reproducible, no Docker) and its SBOM; IMAGE=repository:tag
	$(RUN) images/src/main.ts $(if $(IMAGE),--name $(IMAGE))

##@ Tests
.PHONY: test unit wire chart envoy api e2e e2e-node
test e2e e2e-node demo bench: export GATEWARDEN_RUN := dist
test: setup build ## Everything: types, lint and every layer of tests; ends with `N passed, N failed`
	$(TESTS)

unit: $(INSTALLED) ## Unit, contract, golden and property tests
	$(RUN) e2e/run-tests.ts unit

wire: $(INSTALLED) ## The xDS server against a real gRPC client
	$(TESTS) wire

chart: setup ## The Helm charts, rendered by Helm
	$(RUN) e2e/run-tests.ts chart

envoy: setup ## Against a real Envoy
	$(TESTS) envoy

api: setup ## Against a real API server
	$(TESTS) api

e2e: setup build ## Manifest to request, also on real pods (Linux, root; GATEWARDEN_SKIP_NODE=1 leaves these out); DRIVER=kind takes Docker
	$(TESTS) e2e node pods

e2e-node: setup build ## Its part on real pods: the charts installed with Helm, and scenarios through the Service of proxies in pods
	$(TESTS) node pods

##@ See it run
.PHONY: demo bench
demo: setup build ## Apply examples/, send requests, print what came back; KEEP=1 stays up
	$(RUN) e2e/demo/main.ts

bench: setup build ## Measure; prints a table beside the targets (docs/performance.md); BENCH="--quick"
	$(RUN) e2e/run-in-netns.ts -- $(RUN) bench/src/main.ts $(BENCH)

##@ Generated files
.PHONY: crds protos golden check-generate
crds: $(INSTALLED) ## Write crds/out and the generated parts of charts/ and docs/reference
	$(RUN) crds/src/generate.ts

protos: $(INSTALLED) ## Write the descriptor set of Envoy's API (Go)
	xds/proto/generate.sh

golden: setup ## Rewrite the expected outputs of the golden tests
	UPDATE=1 $(RUN) e2e/run-tests.ts golden chart

check-generate: $(INSTALLED) ## Fail when a generated file is not what its source makes
	$(RUN) crds/src/generate.ts --check
	xds/proto/generate.sh --check

.PHONY: clean
clean: ## Remove what was built here (the cache of test parts stays)
	rm -rf */dist node_modules bench/out images/out
