# `make` alone explains itself. Everything a fresh Debian machine lacks is installed by the targets that need it.
.DEFAULT_GOAL := help
.PHONY: help check format test unit golden build bench test-faults test-history lab lab-down lab-zfs test-zfs lab-zfs-down demo install clean
SHELL := /bin/bash
BIN := node_modules/.bin
PREFIX ?= /usr/local
DESTDIR ?=

help: ## show this
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

node_modules: package.json package-lock.json
	npm ci --no-audit --no-fund
	@touch node_modules

check: node_modules ## format, lint, types, dead exports, unit tests, rules of the house: the gate of every commit
	$(BIN)/biome check .
	$(BIN)/tsc -p .
	$(BIN)/knip --no-progress
	$(BIN)/vitest run --project unit --reporter dot

format: node_modules ## write the code as the formatter wants it
	$(BIN)/biome check --write .

unit: node_modules ## the tests that need nothing but Node
	$(BIN)/vitest run --project unit

golden: node_modules ## write the golden files of the unit tests anew: look at what changed before you commit it
	$(BIN)/vitest run --project unit --update

build: node_modules ## dist/iab.mjs: one file that needs nothing but Node
	node build.mjs

test: node_modules build ## everything: the gate, then the lab with real Incus 6.0 and 7.0 and all tests on it
	@test/run-all

test-faults: node_modules build lab ## on real servers: runs killed, connections cut, targets refused and full
	$(BIN)/vitest run --project faults

test-history: node_modules lab ## kept history over 60 simulated days in 240 runs, on everything the lab has
	IAB_HISTORY_RUNS=240 $(BIN)/vitest run --project e2e test/e2e/history-kept.test.ts

bench: node_modules lab ## what is measured against what, and the ratios: a relay of 2 GiB beside Incus's own
	$(BIN)/vitest run --project bench --reporter dot

lab: ## two Incus hosts of 6.0 and two of 7.0, Kopia, S3 and SFTP servers, below .lab (as root)
	@lab/up

lab-down: ## end the lab and forget what was in it; packages and programs stay cached
	@lab/down

lab-zfs: ## a machine with real ZFS, plain and encrypted, and four Incus daemons (built once)
	@lab/zfs/up

test-zfs: node_modules lab-zfs ## what must hold on real ZFS; leaves the machine up (see lab-zfs-down)
	$(BIN)/vitest run --project zfs

lab-zfs-down: ## end the ZFS machine; what was built stays cached
	@lab/zfs/down

demo: node_modules build ## watch it work: two real Incus hosts, two runs, a pruning, the copies compared
	@lab/demo

install: build ## put the program, its units and its documents below $(DESTDIR)$(PREFIX)
	install -D -m 0755 dist/iab.mjs $(DESTDIR)$(PREFIX)/bin/iab
	@for unit in iab.service iab.timer iab-offsite.service iab-offsite.timer; do \
	  install -d $(DESTDIR)$(PREFIX)/lib/systemd/system && \
	  sed 's,/usr/\(bin\|share\)/,$(PREFIX)/\1/,g' systemd/$$unit > $(DESTDIR)$(PREFIX)/lib/systemd/system/$$unit && \
	  chmod 0644 $(DESTDIR)$(PREFIX)/lib/systemd/system/$$unit || exit 1; done
	install -D -m 0644 systemd/iab.sysusers $(DESTDIR)$(PREFIX)/lib/sysusers.d/iab.conf
	install -D -m 0644 systemd/iab.tmpfiles $(DESTDIR)$(PREFIX)/lib/tmpfiles.d/iab.conf
	install -D -m 0644 -t $(DESTDIR)$(PREFIX)/share/doc/iab README.md CHANGELOG.md LICENSE config.json.example
	install -D -m 0644 -t $(DESTDIR)$(PREFIX)/share/doc/iab/docs docs/*.md
	@echo "Installed. Next: systemd-sysusers; systemd-tmpfiles --create; sudo -u iab iab onboard --help"

clean: ## remove what was built; the lab stays (see lab-down)
	rm -rf dist coverage node_modules
