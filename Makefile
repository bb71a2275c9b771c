# SPDX-License-Identifier: MIT OR Apache-2.0
#
#   make demo     sets up what is missing and shows phones registering with tokens at a real Kamailio
#   make test     sets up what is missing and runs every test
#   make bench    sets up what is missing, measures, and prints what was reached
#
# The rest of the targets are in 'make help'.

PREFIX ?= /usr/local
DESTDIR ?=
CARGO ?= cargo
# A toolchain that was just installed is not on the PATH of this shell yet.
export PATH := $(PATH):$(HOME)/.cargo/bin

.PHONY: all lib kamailio opensips header reference demo demo-stop test test-opensips test-servers test-phones test-versions test-packages test-debian lint bench bench-keep instructions-accept install install-kamailio install-opensips deb dist clean help
.DEFAULT_GOAL := all

all: lib kamailio

help:
	@echo 'make                    library, the tool sipoauth and Kamailio module'
	@echo 'make opensips OPENSIPS_SRC=TREE   the module for OpenSIPS 3.4, 3.6 or 4.0, whose source tree that is'
	@echo 'make demo [KEEP=1]      the demonstration; KEEP=1 leaves it running, make demo-stop ends it'
	@echo 'make test               every test; make lint: only formatting, lints, documentation and licences'
	@echo "make test-servers       other people's authorization servers, installed and run here, with the guides for them"
	@echo 'make test-phones        phones that make test does not install: PJSIP, Asterisk'
	@echo 'make test-opensips OPENSIPS_SRC=TREE   the end-to-end tests on the OpenSIPS that was built in TREE'
	@echo 'make test-versions      the end-to-end tests on other versions of Kamailio'
	@echo 'make test-packages      the Debian packages, built and used in fresh Debians'
	@echo 'make test-debian        make demo and make test from nothing, in a fresh Debian 12 and 13'
	@echo 'make bench [QUICK=1] [BEFORE=TREE]    how fast it is, with the goals; QUICK=1 takes few rounds; BEFORE: beside another build; make bench-keep writes benches/RESULTS.md'
	@echo 'make bench OPENSIPS_SRC=TREE    also on the OpenSIPS that was built in TREE, beside its own auth_jwt and rest_client'
	@echo 'make instructions-accept  the number of instructions of a cached check, which tools/instructions.sh holds'
	@echo 'make install            library, header, pkg-config file and tool below PREFIX=$(PREFIX)'
	@echo 'make install-kamailio   auth_oauth.so into the module folder of the installed Kamailio'
	@echo 'make install-opensips OPENSIPS_SRC=TREE OPENSIPS_MODULES=DIR   its auth_oauth.so into DIR'
	@echo 'make deb                Debian packages for the Debian and the Kamailio of this machine, in target/deb'
	@echo 'make dist               target/dist/sipoauth-VERSION.tar.xz: the source with its crates, which builds without a network'
	@echo 'make header             include/sipoauth.h anew from src/capi; make reference: settings, parameters and manual pages from their tables'

lib:
	$(CARGO) build --release --lib --bins

kamailio: lib
	tools/kamailio-build.sh

opensips: lib
	OPENSIPS_SRC="$(OPENSIPS_SRC)" tools/opensips-build.sh

# docs/reference/settings.md, the manual pages, the parameters of the Kamailio module and its documentation, from their tables.
reference:
	WRITE_REFERENCE=1 $(CARGO) test --test docs the_reference_of
	WRITE_REFERENCE=1 $(CARGO) test --test docs the_reference_in
	WRITE_REFERENCE=1 $(CARGO) test --package sipoauth-cli --bin sipoauth the_reference

header:
	$(CARGO) build --package sipoauth --lib
	cp "$$(ls -t target/debug/build/sipoauth-*/out/sipoauth.h | head -n 1)" include/sipoauth.h

demo:
	tools/demo.sh

demo-stop:
	tools/demo.sh stop

test:
	tools/test.sh

test-servers:
	tools/test-servers.sh

test-phones:
	tools/test-phones.sh

test-opensips:
	OPENSIPS_SRC="$(OPENSIPS_SRC)" tools/test-opensips.sh

test-versions:
	tools/test-versions.sh

test-packages:
	tools/test-packages.sh

test-debian:
	tools/test-debian.sh

lint:
	tools/lint.sh

instructions-accept:
	tools/instructions.sh accept

bench:
	tools/bench.sh $(if $(QUICK),--quick) $(if $(BEFORE),--before $(BEFORE))

bench-keep:
	tools/bench.sh --keep

# Installing builds nothing, so that it works as root without a toolchain: run make first.
install:
	tools/install.sh "$(PREFIX)" "$(DESTDIR)"

install-kamailio:
	@[ -f target/kamailio/auth_oauth.so ] || { echo "auth_oauth.so is not built yet: run make first" >&2; exit 1; }
	install -m 644 target/kamailio/auth_oauth.so "$(DESTDIR)$$(tools/kamailio-build.sh --modules)/auth_oauth.so"

install-opensips:
	@[ -n "$(OPENSIPS_MODULES)" ] || { echo "set OPENSIPS_MODULES to the folder of OpenSIPS' modules" >&2; exit 1; }
	@built="target/opensips/$$(OPENSIPS_SRC="$(OPENSIPS_SRC)" tools/opensips-build.sh --series)/auth_oauth.so" \
	  && { [ -f "$$built" ] || { echo "$$built is not built yet: run make opensips first" >&2; exit 1; }; } \
	  && install -m 644 "$$built" "$(DESTDIR)$(OPENSIPS_MODULES)/auth_oauth.so"

deb:
	tools/deb.sh

dist:
	tools/dist.sh

clean:
	$(CARGO) clean
