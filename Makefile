# SPDX-License-Identifier: Apache-2.0
# `make help` lists the targets.

MAKEFLAGS += --no-builtin-rules --no-builtin-variables --no-print-directory
.SUFFIXES:
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c

# Debian installs ucarp, nft and tcpdump there, outside an ordinary user's PATH.
export PATH := $(PATH):/usr/sbin:/sbin

GO ?= go
# Namespaces and BPF need root; everything else runs as the user who called make.
SUDO := $(shell [ "$$(id -u)" = 0 ] || echo sudo -E env PATH="$$PATH")
EXEC := $(if $(SUDO),-exec "$(SUDO)",)

# Pinned tools.
CLANG ?= clang-14
LLVM_STRIP ?= llvm-strip-14
# For the bpf target Debian's clang does not search the host's asm/types.h.
# No strict aliasing: addresses are compared and copied in words of several sizes. Debian's clang does not know the
# multiarch include directory for this target.
BPF_CFLAGS := -O2 -g -Wall -Wextra -Werror -mcpu=v3 -fno-strict-aliasing -I/usr/include/$(shell uname -m)-linux-gnu
GOLANGCI_VERSION := v2.15.0
TOOLS ?= $(HOME)/.cache/vipd-tools
GOLANGCI := $(TOOLS)/golangci-lint

# `make test` must not skip tests that need these. The unit tests run as the user who called make,
# and only root has ROOT_NEEDS there.
ROOT_NEEDS := root,bpf,netns,loop,
NEEDS := go,bash,zsh,fish,groff,ucarp,keepalived,tcpdump,promtool,shellcheck,systemd-analyze,setpriv,strace,systemd,tshark,chromium,axe,ping,killall,curl,git
REQUIRE := $(ROOT_NEEDS)$(NEEDS)
# Packages whose tests need nothing but Go; loader and tests need root.
UNIT = $(shell $(GO) list ./... | grep -Ev '^vipd/(tests|loader)(/|$$)')
FUZZTIME ?= 20s
SIMTIME ?= 60s
BENCHTIME ?= 1s
# Integration tests mostly wait, for timers and daemons, and packages of program tests for the kernel. Tests that
# measure small times run alone all the same.
PARALLEL ?= $(shell echo $$((5 * $$(nproc) / 2)))
PREFIX ?= /usr/local
SYSCONFDIR ?= /etc

.PHONY: help build install packages image dist check-dist test-packages generate check-generate lint fmt test test-fresh test-vm test-unit test-program test-integration race fuzz fuzz-frames sim bench bench-xdp bench-flood bench-scale bench-vips bench-fast man demo setup clean FORCE

help: ## list every target
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):[^#]*## (.*)/\1\t\2/' | while IFS=$$'\t' read -r name what; do printf '  %-18s %s\n' "$$name" "$$what"; done

build: bin/vipd bin/vipctl ## build static bin/vipd and bin/vipctl; needs only Go

bin/vipd bin/vipctl &: FORCE
	GO=$(GO) packaging/build.sh bin

FORCE:

generate: ## rebuild the BPF objects and their Go side with the pinned clang
	@command -v $(CLANG) >/dev/null || { echo "generate: $(CLANG) is missing: run 'make setup', or name another with CLANG=... (the committed objects are built with clang-14)" >&2; exit 1; }
	@$(CLANG) --version | head -n 1
	BPF2GO_CC=$(CLANG) BPF2GO_STRIP=$(LLVM_STRIP) BPF2GO_CFLAGS="$(BPF_CFLAGS)" $(GO) generate ./loader/...

check-generate: ## fail if the committed BPF objects differ from what generate makes
	CLANG=$(CLANG) tests/check-generate.sh

lint: $(GOLANGCI) ## run the pinned golangci-lint over the whole tree
	$(GOLANGCI) run ./...
	cd packaging/tools && $(GOLANGCI) run ./...

fmt: $(GOLANGCI) ## format the Go code
	$(GOLANGCI) fmt ./...

$(GOLANGCI):
	@echo "building golangci-lint $(GOLANGCI_VERSION) into $(TOOLS), once; this takes a few minutes"
	GOFLAGS= GOBIN=$(TOOLS) $(GO) install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_VERSION)

setup: ## install what the tests need on Debian 12 (apt-get), mount bpffs
	TOOLS=$(TOOLS) tests/setup.sh

test: setup ## run everything: setup, check-generate, race, test-program, test-integration; then check for leftovers
	$(MAKE) check-generate
	$(MAKE) race VIPD_TEST_REQUIRE=$(if $(SUDO),,$(ROOT_NEEDS))$(NEEDS)
	status=0; $(MAKE) test-program test-integration VIPD_TEST_REQUIRE=$(REQUIRE) || status=$$?; $(SUDO) tests/leftovers.sh && exit $$status

test-fresh: ## run README.md's commands in a minimal Debian 12 with the host's Go; half an hour or more; needs root
	$(SUDO) tests/fresh.sh

test-vm: ## run program tests and failovers on Debian 12's kernel in qemu; VM_KERNEL=ubuntu2204|debian11|backports, VM_ARCH=arm64, VM_NIC=vmxnet3|igb|e1000e
	tests/vm.sh

test-unit: ## run the unit tests; needs only Go
	$(GO) test $(UNIT)

# A run of the simulator has one goroutine, and takes twenty times as long under the detector.
race: ## run the unit tests under the race detector, and the simulator without; needs gcc
	CGO_ENABLED=1 VIPD_TEST_REQUIRE=$(VIPD_TEST_REQUIRE) $(GO) test -race $(filter-out vipd/agent/sim,$(UNIT))
	$(GO) test ./agent/sim

test-program: ## test the BPF programs by BPF_PROG_TEST_RUN; needs root
	VIPD_TEST_REQUIRE=$(VIPD_TEST_REQUIRE) $(GO) test $(EXEC) -p $(PARALLEL) ./loader/...

test-integration: build ## test real daemons in network namespaces; needs root
	VIPD_BIN=$(CURDIR)/bin VIPD_TOOLS=$(TOOLS) VIPD_TEST_REQUIRE=$(VIPD_TEST_REQUIRE) $(GO) test $(EXEC) -count=1 -parallel $(PARALLEL) -timeout 20m ./tests/...

fuzz: ## run every fuzz target for FUZZTIME each
	FUZZTIME=$(FUZZTIME) tests/fuzz.sh

sim: ## run the simulator over random seeds for SIMTIME, and over planted faults; a failure prints the command that replays it
	$(GO) test ./agent/sim -run '^TestRandom$$' -count=1 -timeout 0 -v -sim.time=$(SIMTIME)
	$(GO) test ./agent/sim -run '^TestSimulatorFindsPlantedFaults$$' -count=1 -timeout 0 -v -sim.planted

bench: ## run every benchmark for BENCHTIME each; the BPF ones need root
	$(GO) test $(EXEC) -run '^$$' -bench . -benchtime $(BENCHTIME) $(UNIT) ./loader/...

bench-xdp: ## measure the cost of each packet path in XDP against empty programs and hold its bounds; needs root, a quiet machine
	VIPD_COSTS=yes $(GO) test $(EXEC) ./loader/model -run '^(TestXDPCosts|TestLive.*)$$' -count=1 -v

fuzz-frames: ## run ten million random frames through the programs and their Go twin and compare; needs root, half an hour
	VIPD_FRAMES=10000000 $(GO) test $(EXEC) ./loader/model -run '^TestRandomFrames$$' -count=1 -v -timeout 0

bench-flood: build ## send forged adverts as fast as the kernel can, VIPD_FLOOD=30s of each kind, native, tc and generic; needs root, seven minutes
	VIPD_BIN=$(CURDIR)/bin VIPD_FLOOD=$(or $(VIPD_FLOOD),30s) $(GO) test $(EXEC) ./tests -run '^TestFloodOf' -count=1 -v -timeout 2h

bench-scale: build ## compare vipd with keepalived at 1,020 groups, and measure 4,080 and 16,384 (VIPD_SCALE=255,1020); needs root, five minutes
	VIPD_BIN=$(CURDIR)/bin $(GO) test $(EXEC) ./tests -run '^$$' -bench '^BenchmarkScale$$' -benchtime 1x -timeout 20m

bench-vips: build ## measure the takeover of a group of 10,000 IPv6 VIPs, and its CPU time (VIPD_VIPS=2000); needs root, a minute
	VIPD_BIN=$(CURDIR)/bin $(GO) test $(EXEC) ./tests -run '^$$' -bench '^BenchmarkManyVIPs$$' -benchtime 1x -timeout 20m

bench-fast: build ## measure fast mode beside keepalived, then VIPD_FAST_BEAT=1ms,2ms,5ms,10ms: CPU, VIPD_FAST_KILLS=20 failovers; with VIPD_FAST_STRESS=30m only transitions beside hogs; needs root, seven minutes
	VIPD_BIN=$(CURDIR)/bin $(GO) test $(EXEC) ./tests -run '^$$' -bench '^BenchmarkFast$$' -benchtime 1x -timeout 4h

man: ## write packaging/man from the commands' help and the reference config
	$(GO) test ./vipctl ./cmd/vipd -run '^TestMan$$' -update

demo: build ## show a failover between two nodes in namespaces, and the gap that a client sees; needs root
	@mkdir -p bin
	@CGO_ENABLED=0 $(GO) build -trimpath -o bin/demo ./tests/demo
	@exec $(SUDO) bin/demo -bin bin

install: build ## install everything; DESTDIR= for packages, PREFIX=/usr/local by default
	DESTDIR="$(DESTDIR)" PREFIX="$(PREFIX)" SYSCONFDIR="$(SYSCONFDIR)" packaging/install.sh bin

test-packages: ## install, upgrade and remove the packages in minimal Debian systems under systemd; needs root, some minutes
	$(SUDO) tests/packages.sh

check-dist: ## build the release twice, here and elsewhere, and compare every byte; needs Go and git, ten minutes
	tests/reproducible.sh

packages: ## build a .deb and a .rpm for amd64 and arm64 into dist/
	GO=$(GO) packaging/package.sh dist

image: ## write the OCI image for amd64 and arm64 into dist/, without a container engine
	GO=$(GO) packaging/image.sh dist

dist: ## write a release into dist/: packages, image, archives, SBOMs, licences, SHA256SUMS
	rm -rf dist
	GO=$(GO) packaging/dist.sh dist

clean: ## remove bin/ and dist/
	rm -rf bin dist
