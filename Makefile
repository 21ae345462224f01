# SPDX-License-Identifier: MIT
# The front door. Meson and Ninja do the building; this file only gives the usual words a meaning.
# `make help` lists them. Everything made lies in build*/ and cache/.

BUILD = build
MESON = meson
NINJA = ninja
DESTDIR ?=
PREFIX ?= /usr/local

SANITIZER_asan = address
SANITIZER_ubsan = undefined
SANITIZER_tsan = thread

all: $(BUILD)/build.ninja
	@$(NINJA) -C $(BUILD)

$(BUILD)/build.ninja:
	@sh scripts/deps build
	@$(MESON) setup --prefix=$(PREFIX) $(BUILD)

help:
	@echo 'make            build the command line tool, left at build/vz'
	@echo 'make demo       install what is needed, build, and boot Debian from a disk'
	@echo 'make demo-initramfs'
	@echo '                the quick one: only a kernel and a shell'
	@echo 'make demo-desktop'
	@echo '                Debian with a desktop: in a window where there is a display, else in a browser'
	@echo 'make demo-install'
	@echo '                UEFI firmware starts a live Debian from a USB drive, which is installed onto a disk'
	@echo '                (DISK=disk, nvme or usb-disk), and starts from there; with UPDATE=PACKAGE it then gets'
	@echo '                that kernel by apt, and starts again (DISC=cdrom or usb-disk: what the live system is on)'
	@echo 'make check      build and run all tests; ends with "N passed, N failed"'
	@echo 'make ci         what continuous integration runs: make check, and the unit tests built by Clang'
	@echo '                (no warning is let through) and with the address and undefined-behaviour'
	@echo '                sanitizers; one last line for all'
	@echo 'make check-kvm  only the tests that need KVM: in a PC with AMD-V that QEMU emulates, or on'
	@echo '                /dev/kvm where that works'
	@echo 'make check-asan, check-ubsan, check-tsan'
	@echo '                the same in a sanitizer build, without the long boots'
	@echo 'make bench      measure, beside QEMU'
	@echo 'make fuzz       all fuzz targets for TIME=10m (or 90s, 1h), guided by coverage where clang has its library'
	@echo 'make soak       machines under changing load, paused, saved, forked, killed, for TIME=10m: nothing may grow'
	@echo 'make endurance  30 minutes and more of real work in a guest, checked'
	@echo 'make bench-kvm  measure on KVM in the emulated PC of check-kvm, beside QEMU'
	@echo 'make deps       install all Debian packages any of these need (scripts/packages.txt)'
	@echo 'make install    into PREFIX ($(PREFIX)), honours DESTDIR'
	@echo 'make clean      remove build directories; cache/ keeps what was downloaded'

deps:
	@sh scripts/deps

demo:
	@sh scripts/deps build demo
	@$(MAKE) --no-print-directory all
	@sh scripts/demo $(BUILD)/vz

demo-install:
	@sh scripts/deps build demo install
	@$(MAKE) --no-print-directory all
	@sh scripts/demo-install $(BUILD)/vz

demo-initramfs:
	@sh scripts/deps build demo
	@$(MAKE) --no-print-directory all
	@sh scripts/demo --initramfs $(BUILD)/vz

demo-desktop:
	@sh scripts/deps build demo desktop
	@$(MAKE) --no-print-directory all
	@sh scripts/demo-desktop $(BUILD)/vz

check:
	@sh scripts/deps build check demo
	@sh scripts/deps rig || echo 'check: without QEMU the tests that need KVM are skipped'
	@$(MAKE) --no-print-directory $(BUILD)/build.ninja
	@/usr/bin/python3 scripts/check --build $(BUILD) $(CHECK_ARGS)

ci:
	@sh scripts/deps build check demo ci
	@$(MAKE) --no-print-directory check CHECK_ARGS='--ci $(CHECK_ARGS)'

check-kvm:
	@sh scripts/deps build check demo rig
	@$(MAKE) --no-print-directory $(BUILD)/build.ninja
	@/usr/bin/python3 scripts/check --build $(BUILD) kvm

check-asan check-ubsan check-tsan: check-%:
	@sh scripts/deps build check demo
	@test -f build-$*/build.ninja || $(MESON) setup -Db_sanitize=$(SANITIZER_$*) \
	    -Db_lundef=false -Dbuildtype=debugoptimized build-$*
	@/usr/bin/python3 scripts/check --build build-$* --sanitizer $* $(CHECK_ARGS)

bench:
	@sh scripts/deps build bench demo
	@$(MAKE) --no-print-directory all
	@/usr/bin/python3 scripts/bench --build $(BUILD) $(BENCH_ARGS)
	@/usr/bin/python3 scripts/bench-kernel --build $(BUILD) $(BENCH_KERNEL_ARGS)
	@/usr/bin/python3 scripts/bench-devices --build $(BUILD) $(BENCH_DEVICES_ARGS)
	@/usr/bin/python3 scripts/bench-disks --build $(BUILD) $(BENCH_DISKS_ARGS)
	@/usr/bin/python3 scripts/bench-shares --build $(BUILD) $(BENCH_SHARES_ARGS)
	@/usr/bin/python3 scripts/bench-copies --build $(BUILD) $(BENCH_COPIES_ARGS)
	@/usr/bin/python3 scripts/bench-save --build $(BUILD) $(BENCH_SAVE_ARGS)
	@/usr/bin/python3 scripts/bench-display --build $(BUILD) $(BENCH_DISPLAY_ARGS)

fuzz:
	@sh scripts/deps build check ci
	@$(MAKE) --no-print-directory all
	@/usr/bin/python3 scripts/fuzz --build $(BUILD) --time $(or $(TIME),10m) $(FUZZ_ARGS)

soak: all
	@/usr/bin/python3 scripts/soak --vz $(BUILD)/vz --time $(or $(TIME),10m) $(SOAK_ARGS)

endurance: all
	@sh scripts/deps build check demo
	@/usr/bin/python3 scripts/endurance --vz $(BUILD)/vz $(ENDURANCE_ARGS)

bench-kvm:
	@sh scripts/deps build bench demo
	@$(MAKE) --no-print-directory all
	@/usr/bin/python3 scripts/bench-kvm --build $(BUILD) $(BENCH_ARGS)

install: all
	@$(MESON) configure -Dprefix=$(PREFIX) $(BUILD)
	@DESTDIR=$(DESTDIR) $(MESON) install -C $(BUILD)

clean:
	@rm -rf build build-asan build-ubsan build-tsan build-asan-ubsan build-clang build-fuzz

.PHONY: all help deps demo demo-install demo-initramfs demo-desktop check ci check-kvm check-asan check-ubsan check-tsan bench bench-kvm fuzz soak endurance install clean
