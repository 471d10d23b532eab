# `make` alone explains itself. Everything a fresh Debian machine lacks is installed by the targets that need it.
.DEFAULT_GOAL := help
.PHONY: help check format test unit build clean
SHELL := /bin/bash
BIN := node_modules/.bin

help: ## show this
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

node_modules: package.json package-lock.json
	npm ci --no-audit --no-fund
	@touch node_modules

check: node_modules ## format, lint, types, unit tests and the rules of the house: the gate of every commit
	$(BIN)/biome check .
	$(BIN)/tsc -p .
	$(BIN)/vitest run --project unit --reporter dot

format: node_modules ## write the code as the formatter wants it
	$(BIN)/biome check --write .

unit: node_modules ## the tests that need nothing but Node
	$(BIN)/vitest run --project unit

build: node_modules ## dist/iab.mjs: one file that needs nothing but Node
	node build.mjs

clean: ## remove what was built; the lab stays (see lab-down)
	rm -rf dist coverage node_modules
