# srt: the commands a contributor, a packager and a machine use.
CARGO ?= cargo
FUZZ_TIME ?= 60
T ?=

.DEFAULT_GOAL := help
.PHONY: help build check check-macos test demo bench compare coverage size unsafe fuzz clean

help: ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

build: ## the release binary, target/release/srt
	$(CARGO) build --release --locked

check: ## format, lints and documentation with warnings denied, every test (fuzz corpora included)
	$(CARGO) fmt --check
	$(CARGO) clippy --locked --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --no-deps --quiet
	SRT_MUST_RUN=1 $(CARGO) test --locked

test: ## install what the tests use, then check; T=name runs the tests of that name only
	sh tests/install-tools.sh bwrap curl git python3 openssl ip nsenter setpriv strace ssh sshd nc wget node npm pip3 cc bash vim less setsid unshare ipcmk
	$(if $(T),SRT_MUST_RUN=1 $(CARGO) test --locked $(T),$(MAKE) check)

demo: ## install bubblewrap if it is missing, build, and show the main job
	sh tests/install-tools.sh bwrap curl git cc
	$(CARGO) build --release --locked
	sh tests/demo.sh target/release/srt

bench: build ## what a run costs, in ratios, against find and bubblewrap
	sh tests/install-tools.sh bwrap find python3
	python3 tests/bench.py target/release/srt
	$(CARGO) run --release --locked --quiet --example hundredth

compare: ## our reading of hosts and patterns beside the TypeScript original's
	sh tests/install-tools.sh npm
	npm install --silent --no-fund --no-audit --prefix target/reference @anthropic-ai/sandbox-runtime@0.0.83
	SRT_REFERENCE=$(CURDIR)/target/reference/node_modules/@anthropic-ai/sandbox-runtime \
		$(CARGO) test --locked --test differential

check-macos: ## type-check for macOS (needs `rustup target add aarch64-apple-darwin`)
	$(CARGO) check --locked --target aarch64-apple-darwin
	$(CARGO) check --locked --target aarch64-apple-darwin --test macos

size: ## lines of code by room, for auditors
	python3 tests/audit.py size

unsafe: ## every unsafe block with its reason
	python3 tests/audit.py unsafe

coverage: ## lines of the rooms that decide which no test reaches; fails under 95 %
	sh tests/coverage.sh

fuzz: ## each fuzz target for FUZZ_TIME seconds (needs a nightly toolchain and cargo-fuzz)
	cd fuzz && for target in $$($(CARGO) +nightly fuzz list); do \
		$(CARGO) +nightly fuzz run $$target -- -max_total_time=$(FUZZ_TIME) || exit 1; done

clean: ## remove what was built
	$(CARGO) clean
	rm -rf fuzz/target
