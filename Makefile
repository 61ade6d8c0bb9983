# SPDX-License-Identifier: Apache-2.0
# Every target says in one line what it does: make help.

MAKEFLAGS += --no-builtin-rules --no-builtin-variables --no-print-directory
.SUFFIXES:
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c

# Where Debian keeps ucarp, nft and tcpdump, and where a plain user does not look.
export PATH := $(PATH):/usr/sbin:/sbin

GO ?= go
# Root is needed for namespaces and BPF; everything else runs as whoever called make.
SUDO := $(shell [ "$$(id -u)" = 0 ] || echo sudo -E env PATH="$$PATH")
EXEC := $(if $(SUDO),-exec "$(SUDO)",)

# Pinned tools.
CLANG ?= clang-14
LLVM_STRIP ?= llvm-strip-14
# Debian's clang does not look for asm/types.h of the host when it builds for bpf.
BPF_CFLAGS := -I/usr/include/$(shell uname -m)-linux-gnu
GOLANGCI_VERSION := v2.15.0
TOOLS ?= $(HOME)/.cache/vipd-tools
GOLANGCI := $(TOOLS)/golangci-lint

# What must not be skipped when the whole of "make test" runs. The unit tests run as whoever called
# make, and only root has the first of it there.
ROOT_NEEDS := root,bpf,netns,
NEEDS := go,ucarp,keepalived,tcpdump,promtool,shellcheck,systemd-analyze,setpriv,strace,systemd,tshark,chromium,axe
REQUIRE := $(ROOT_NEEDS)$(NEEDS)
# Packages that need nothing of the machine; loader and tests need root.
UNIT = $(shell $(GO) list ./... | grep -Ev '^vipd/(tests|loader)(/|$$)')
FUZZTIME ?= 20s
SIMTIME ?= 60s
BENCHTIME ?= 1s
PREFIX ?= /usr/local
SYSCONFDIR ?= /etc

.PHONY: help build install generate check-generate lint fmt test test-vm test-unit test-program test-integration race fuzz fuzz-frames sim bench bench-xdp bench-flood man demo setup clean FORCE

help: ## list every target
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):[^#]*## (.*)/\1\t\2/' | while IFS=$$'\t' read -r name what; do printf '  %-18s %s\n' "$$name" "$$what"; done

build: bin/vipd bin/vipctl ## static bin/vipd and bin/vipctl; needs only Go

bin/vipd bin/vipctl: bin/%: FORCE
	CGO_ENABLED=0 $(GO) build -trimpath -o $@ ./cmd/$*

FORCE:

generate: ## rebuild the BPF objects and their Go side with the pinned clang
	@command -v $(CLANG) >/dev/null || { echo "generate: $(CLANG) is missing: run 'make setup', or name another with CLANG=... (the committed objects are built with clang-14)" >&2; exit 1; }
	@$(CLANG) --version | head -n 1
	BPF2GO_CC=$(CLANG) BPF2GO_STRIP=$(LLVM_STRIP) BPF2GO_CFLAGS="$(BPF_CFLAGS)" $(GO) generate ./loader/...

check-generate: ## fail when the committed BPF objects are not what generate makes
	CLANG=$(CLANG) tests/check-generate.sh

lint: $(GOLANGCI) ## golangci-lint, pinned, over the whole tree
	$(GOLANGCI) run ./...

fmt: $(GOLANGCI) ## format the Go code
	$(GOLANGCI) fmt ./...

$(GOLANGCI):
	@echo "building golangci-lint $(GOLANGCI_VERSION) into $(TOOLS), once; this takes a few minutes"
	GOFLAGS= GOBIN=$(TOOLS) $(GO) install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_VERSION)

setup: ## install what the tests need on Debian 12 (apt-get), mount bpffs
	TOOLS=$(TOOLS) tests/setup.sh

test: setup ## everything: set-up, generate-is-clean, unit with race detector, programs, integration; then looks for left-overs
	$(MAKE) check-generate
	$(MAKE) race VIPD_TEST_REQUIRE=$(if $(SUDO),,$(ROOT_NEEDS))$(NEEDS)
	status=0; $(MAKE) test-program test-integration VIPD_TEST_REQUIRE=$(REQUIRE) || status=$$?; $(SUDO) tests/leftovers.sh && exit $$status

test-vm: ## Debian 12's own kernel (6.1) in qemu: program tests, failovers; VM_KERNEL=ubuntu2204|debian11, VM_ARCH=arm64; not part of test
	tests/vm.sh

test-unit: ## unit tests alone; need nothing but Go
	$(GO) test $(UNIT)

race: ## unit tests under the race detector; needs gcc
	CGO_ENABLED=1 VIPD_TEST_REQUIRE=$(VIPD_TEST_REQUIRE) $(GO) test -race $(UNIT)

test-program: ## the BPF programs by BPF_PROG_TEST_RUN, with bounds on what they cost; needs root
	VIPD_COSTS=bound VIPD_TEST_REQUIRE=$(VIPD_TEST_REQUIRE) $(GO) test $(EXEC) ./loader/...

test-integration: build ## real daemons in network namespaces; needs root
	VIPD_BIN=$(CURDIR)/bin VIPD_TOOLS=$(TOOLS) VIPD_TEST_REQUIRE=$(VIPD_TEST_REQUIRE) $(GO) test $(EXEC) -count=1 -timeout 25m ./tests/...

fuzz: ## every fuzz target for FUZZTIME each
	FUZZTIME=$(FUZZTIME) tests/fuzz.sh

sim: ## the simulator over random seeds for SIMTIME; a failure prints the command that replays it
	$(GO) test ./agent/sim -run '^TestRandom$$' -count=1 -timeout 0 -v -sim.time=$(SIMTIME)

bench: ## every benchmark for BENCHTIME each; root for the BPF ones
	$(GO) test $(EXEC) -run '^$$' -bench . -benchtime $(BENCHTIME) $(UNIT) ./loader/...

bench-xdp: ## what each way of a frame costs in XDP, beside empty programs and targets; needs root and a quiet machine
	VIPD_COSTS=report $(GO) test $(EXEC) ./loader -run '^(TestXDPCosts|TestLive.*)$$' -count=1 -v

fuzz-frames: ## ten million random frames through the programs and their Go twin, all compared after each; needs root and half an hour
	VIPD_FRAMES=10000000 $(GO) test $(EXEC) ./loader -run '^TestRandomFrames$$' -count=1 -v -timeout 0

bench-flood: build ## forged adverts as fast as the kernel sends, for 30 s of each kind, native and generic; needs root, four minutes
	VIPD_BIN=$(CURDIR)/bin VIPD_FLOOD=30s $(GO) test $(EXEC) ./tests -run '^TestFloodOf' -count=1 -v

man: ## write packaging/man from the help of the commands and the reference config
	$(GO) test ./vipctl ./cmd/vipd -run '^TestMan$$' -update

demo: build ## a failover between two nodes in namespaces, with the gap a client sees; needs root
	@mkdir -p bin
	@CGO_ENABLED=0 $(GO) build -trimpath -o bin/demo ./tests/demo
	@exec $(SUDO) bin/demo -bin bin

install: build ## everything to its place: DESTDIR= for packages, PREFIX=/usr/local unless told
	DESTDIR="$(DESTDIR)" PREFIX="$(PREFIX)" SYSCONFDIR="$(SYSCONFDIR)" packaging/install.sh bin

clean: ## remove bin/
	rm -rf bin
