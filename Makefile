# What a developer types. Everything longer than a line is in scripts/.
# Needed: Go 1.26 or newer, git, make and a shell. All else is found or installed by what needs it.

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
PROGRAMS := ./cmd/gantry ./cmd/gantry-runner ./cmd/gantry-agent ./cmd/gantry-dispatcher ./cmd/gantry-exec

.DEFAULT_GOAL := help
.PHONY: help build run test e2e chaos chaos-bugs bench bench-scale bench-pods fleet generate lint clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## build the programs into bin/, statically linked: gantry-runner goes into images that have no libc
	@mkdir -p bin
	CGO_ENABLED=0 go build -trimpath -ldflags '-X main.version=$(VERSION)' -o bin/ $(PROGRAMS)

run: build ## start a server, plan and apply examples/hello, keep serving until Ctrl-C (ONCE=1: stop after the run)
	@scripts/run

test: ## vet and test all modules with the race detector
	@scripts/test

e2e: build ## test the freshly built programs from outside, then make chaos
	@scripts/e2e

chaos: build ## break a busy installation and judge what is left (FAULTS=1000 for long, SEED=… for the same again)
	@scripts/chaos

chaos-bugs: build ## plant six bugs in the program and see that make chaos finds each
	@scripts/chaos -planted

bench: build ## compare speed with the bare Terraform CLI and write docs/performance.md (GATE=1: fail if a limit is missed)
	@scripts/bench

bench-scale: build ## measure a server with a million past runs, and its memory over many runs, and write docs/performance-scale.md
	@scripts/bench -n '' -rounds 0 -cloud '' -agent 0 -memory 10000 -past 1000000 -out docs/performance-scale.md

bench-pods: ## measure what Pods of runs cost a dispatcher and its cluster (GATE=1: fail below 80 % of a record, RECORD=1: write it anew)
	@go test -count=1 -timeout 30m -run '^$$' -bench . -benchtime 1x ./test/kubescale

fleet: build ## measure how agents are chosen and what thousands of them cost (GATE=1: fail if a limit is missed)
	@scripts/fleet

generate: ## write the generated files (schemas/*.json)
	go run ./schemas/generate

lint: ## run golangci-lint (the pinned version is installed into bin/tools)
	@scripts/lint

clean: ## delete what was built
	rm -rf bin dist
