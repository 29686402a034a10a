# What the README's commands call. `make` alone explains each.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.ONESHELL:
.SUFFIXES:
MAKEFLAGS += --no-print-directory --no-builtin-rules

VENV := target/tools/venv/bin
LAB := target/debug/lifeboat-lab
# Python's tools first: `cargo lambda`, aws and sam are found there.
export PATH := $(CURDIR)/$(VENV):$(PATH)
# sam must not report on its use.
export SAM_CLI_TELEMETRY := 0
# The two validators want a region; nothing is called in it.
export AWS_DEFAULT_REGION ?= us-east-1

SCENARIO ?= region-outage
MODE ?= kill
SYNC ?=
RECORD ?=
ALIAS ?=
STALL ?= 0
WITNESS ?= both
HEALS ?= settled
RUNS ?= 5
SMOKE ?=
PARTS ?=
# What the bench of backups runs, as a release.
BENCHED := lifeboat retention-sweep verify-backup lifeboat-core lifeboat-archive lifeboat-lab-gateway
FUNCTIONS := $(notdir $(wildcard functions/*))
TEMPLATES := $(wildcard infra/*.yaml)

DRILL_FLAGS := --mode $(MODE) $(if $(filter-out 0 no,$(SYNC)),--sync) $(if $(filter-out 0 no,$(RECORD)),--switch-by-record) $(if $(filter-out 0 no,$(ALIAS)),--alias) --stall $(STALL) --witness $(WITNESS) --heals $(HEALS)

.PHONY: help
help: ## Explain the targets (this)
	@if [ -t 1 ]; then bold=$$'\e[1m'; plain=$$'\e[0m'; else bold=; plain=; fi
	echo "Lifeboat: a dark region becomes served users again. Start with: make drill"
	echo
	sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1\t\2/p' Makefile | while IFS=$$'\t' read -r name text; do
	  printf '  %s%-13s%s %s\n' "$$bold" "$$name" "$$plain" "$$text"
	done

.PHONY: setup
setup: ## Install what is missing (apt packages, Python tools in target/tools); quick when done
	@bash lab/setup.sh

.PHONY: build
build: setup ## Build the programs that drills run
	@cargo build --workspace --bins

.PHONY: drill
drill: build ## Rehearse a disaster: SCENARIO=region-outage|partition|witness-lost|peer-lost|standby-blind|slow-primary|multi-az-failover|double-start|abort|promotion-stuck|approval|backup-cycle|corrupt-backup MODE=kill|hang WITNESS=both|active|standby|neither HEALS=settled|waiting SYNC=1 RECORD=1 ALIAS=1 STALL=ms
	@exec $(LAB) drill $(SCENARIO) $(DRILL_FLAGS)

.PHONY: lab
lab: build ## Start the lab and leave it up until Ctrl-C; prints its addresses and commands to try
	@exec $(LAB) up

.PHONY: bench
bench: bench-drills bench-backups ## Measure everything that SPECIFICATION.md promises: the two below, one after the other

.PHONY: bench-drills
bench-drills: build ## RUNS=5 drills in a row with MODE=kill, then as many with MODE=hang: median RTO and its parts
	@exec $(VENV)/python lab/bench.py --runs $(RUNS) --lab $(LAB)

.PHONY: bench-backups
bench-backups: ## Backups beside pg_restore, gzip and pgBackRest: PARTS="read take keep plan sweep wal damage" RUNS=5
	@bash lab/setup.sh bench
	cargo build --release $(addprefix -p ,$(BENCHED)) --bins --examples
	exec $(VENV)/python lab/bench_backups --bin target/release --runs $(RUNS) $(if $(PARTS),--only $(PARTS))

.PHONY: test
test: setup ## Everything that is tested: Rust, the emulator's mends, the templates, the drills
	@bash .ci/tests

.PHONY: fuzz
fuzz: ## Fuzz the readers of backup artifacts: FUZZ_SECONDS=60 for each of four targets
	@bash shared/archive/fuzz/run.sh $(or $(FUZZ_SECONDS),60)

.PHONY: lint
lint: ## Formatting, clippy, documentation, licences and bans of dependencies, templates
	@bash lab/setup.sh deny
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings -A rustdoc::private_intra_doc_links" cargo doc --workspace --no-deps --document-private-items --quiet
	target/tools/cargo-deny/bin/cargo-deny check --hide-inclusion-graph bans licenses sources
	# The command's ways to credentials must not make the functions larger.
	if cargo tree $(addprefix -p ,$(FUNCTIONS)) -e normal --prefix none | grep -E '^aws-sdk-sso'; then
	  echo "a function links SSO: take the feature sso off what it depends on" >&2; exit 1
	fi
	$(MAKE) templates

.PHONY: advisories
advisories: ## Known vulnerabilities in dependencies (fetches the RustSec database)
	@bash lab/setup.sh deny
	target/tools/cargo-deny/bin/cargo-deny check advisories

.PHONY: templates
templates: setup ## cfn-lint, sam validate, and AWS's authorization data against infra/
	@$(VENV)/cfn-lint $(TEMPLATES) && echo "cfn-lint: $(words $(TEMPLATES)) templates, nothing found"
	$(VENV)/python tests/templates $(TEMPLATES)
	$(VENV)/python -m unittest discover -s tests/templates/tests
	for template in $(TEMPLATES); do
	  $(VENV)/sam validate --lint --template-file $$template
	done

.PHONY: machines
machines: setup ## The state machines against Step Functions' rules, and two readers that are not ours
	@cd lab/emulator
	$(CURDIR)/$(VENV)/python -m lab_emulator.asl $(abspath $(wildcard infra/statemachines/*.asl.json))
	$(CURDIR)/$(VENV)/python -m unittest discover -s tests -p 'test_readers.py'

.PHONY: lambda
lambda: setup ## Build the functions for AWS Lambda into target/lambda: ARCH=x86_64|arm64
	@cargo lambda build --release $(if $(filter arm64,$(ARCH)),--arm64) $(addprefix -p ,$(FUNCTIONS))

.PHONY: dist
dist: ## Make a release in target/dist: static programs, archives, Debian packages, SBOM, checksums: ARCH=x86_64|arm64 (both)
	@bash lab/setup.sh dist
	bash packaging/dist.sh $(ARCH)

.PHONY: import
import: setup ## Take over what a deleted stack has kept, before deploying again: REGIONS="us-east-1 us-west-2"
	@$(VENV)/python infra/import_kept.py $(REGIONS)

.PHONY: deploy
deploy: lambda ## Deploy the stacks into each region of AWS: REGIONS="us-east-1 us-west-2" ARCH=x86_64|arm64 WITNESS=us-east-2 APPS=queue HEALTH_CHECK_SWITCH=ENABLED HOSTED_ZONES=Z1
	@bash infra/deploy.sh $(or $(ARCH),x86_64) $(REGIONS)

# Over stacks that are there nothing is built or deployed.
.PHONY: aws-smoke
aws-smoke: setup $(if $(findstring --existing,$(SMOKE)),,build lambda) ## What only AWS can prove, in a sandbox account: REGIONS="us-east-1 us-west-2" SMOKE="--account ID" (--help)
	@$(VENV)/python infra/smoke --regions $(or $(REGIONS),us-east-1 us-west-2) $(SMOKE)

.PHONY: watch
watch: setup ## Serve the functions on 127.0.0.1:9001 for `cargo lambda invoke`, as region us-west-2 of the lab (see docs/drills.md)
	@exec cargo lambda watch --invoke-address 127.0.0.1 --invoke-port 9001 --ignore-changes --env-file lab/functions.env

.PHONY: clean-lab
clean-lab: ## Remove what a lab has left in target/lab (not the drills' reports)
	@if (exec 3<>/dev/tcp/127.0.0.1/4609) 2>/dev/null; then
	  echo "a lab is up: stop it first (Ctrl-C where it runs)" >&2; exit 1
	fi
	rm -rf target/lab
