# Firewatch's commands. Each is a line or two: what they do stands in tests/cluster/ and in cargo.
# CLUSTER=current: uses the cluster of the KUBECONFIG at hand instead of the local one. KEEP=1: tests leave theirs running.
.DEFAULT_GOAL := help
.PHONY: help build check test-core test-component test-e2e test test-full cluster-up cluster-down postgres-up postgres-down \
	images install uninstall demo bench bench-analysis bench-intake load docs record scenarios clean-incidents clean
S := tests/cluster
export CLUSTER KEEP JOBS

help: ## Shows this
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## Builds everything
	cargo build --locked --workspace

check: ## Format, lints, the core's purity, CRDs, scripts
	$S/test.sh check

test-core: ## Tests that need nothing: core, sandbox runner, plugin
	$S/test.sh core

test-component: ## Tests with Postgres and a real API server
	$S/test.sh component

test-e2e: ## Tests with the chart installed in the cluster
	$S/test.sh e2e

test: ## All of these in order, from nothing; what CI runs
	$S/test.sh check core component e2e

test-full: ## And what takes longer
	$S/test.sh check core component e2e full

cluster-up: ## Brings up a local Kubernetes (kubeconfig: target/cluster/kubeconfig)
	$S/up

cluster-down: ## Takes it down and leaves nothing of it
	$S/down

postgres-up: ## Starts a Postgres of its own
	$S/postgres up

postgres-down: ## Takes it down, with its data
	$S/postgres down

images: ## Builds the images and loads them into the cluster
	$S/images.sh

install: images ## Installs the chart with the images just built
	$S/install.sh up

uninstall: ## Uninstalls the chart; the CRDs, and with them the incidents, stay
	$S/install.sh down

demo: ## The whole story, from nothing (DEMO_APPROVE=yes: without asking)
	$S/demo.sh

bench-analysis: ## Measures the analysis of a namespace of 50, 500 and 5,000 pods; prints a table
	cargo bench --locked --quiet -p firewatch-core --bench analysis

bench-intake: ## Measures the intake: parse, authenticate, tell repeats apart; alerts a second on one core, beside a listener without work; prints a table
	cargo run --locked --quiet --profile image --example intake_load bench

load: cluster-up install ## Storms against the intake, then incidents against the loop (LOAD_SECONDS=10, LOAD_INCIDENTS=20); prints tables, fails where something is lost
	eval "$$($S/env.sh)" && cargo run --locked --quiet --profile image --example intake_load storm

clean-incidents: ## Removes the namespaces and incidents that scenarios and load left in the cluster
	$S/clean-incidents.sh

bench: bench-analysis bench-intake install ## Measures from apply to Diagnosed, beside bare sandbox Jobs of as many rounds; prints a table
	eval "$$($S/env.sh)" && cargo run --locked --quiet --example bench_diagnosis

docs: ## Writes docs/diagnosis.md from the analyzers' own documentation
	cargo run --locked --quiet -p firewatch-core --example diagnosis_guide > docs/diagnosis.md

scenarios: cluster-up install ## Runs scenarios live and prints a scoreboard (ONLY="crashloop cpu_spike", JOBS=3; without ONLY: all)
	$S/scenarios.sh $(ONLY)

record: ## Records the evidence of scenarios again, live (ONLY="crashloop cpu_spike"; without: all)
	$S/record.sh $(ONLY)

clean: cluster-down postgres-down ## Removes what was built and started; the cache of slow products stays
	cargo clean
