# make              builds what is installed, into target/release/install
# make install      PREFIX, LIBDIR, INCLUDEDIR and DESTDIR say where to
# make uninstall    with the same ones
# make nats         the executor beyond NATS and its worker program; make install then installs them as well
# make doc          the reference, HTML and man pages, into target/reference; make install then installs it as well
# make dist         the sources, into target/requests_futures-VERSION.tar.gz
# make deb          packages for Debian, into target/debian
#
# CARGO_BUILD_TARGET=aarch64-unknown-linux-gnu CC=aarch64-linux-gnu-gcc make builds for another machine.

PREFIX ?= /usr/local
LIBDIR ?= $(PREFIX)/lib
INCLUDEDIR ?= $(PREFIX)/include
DESTDIR ?=

CARGO ?= cargo
CC ?= cc
# Those that belong to a compiler with a prefix (aarch64-linux-gnu-gcc), or the machine's own.
beside = $(or $(if $(filter %-gcc,$(CC)),$(shell command -v $(patsubst %-gcc,%-$(1),$(CC)))),$(1))
OBJCOPY ?= $(call beside,objcopy)
NM ?= $(call beside,nm)
ifeq ($(origin AR),default)
AR := $(call beside,ar)
endif

ROOT := $(abspath $(dir $(lastword $(MAKEFILE_LIST))))
VERSION := $(shell sed -n 's/^version = "\(.*\)"/\1/p' "$(ROOT)/Cargo.toml" | head -n 1)
SERIES := $(firstword $(subst ., ,$(VERSION)))
LINK := librequests_futures.so
SONAME := $(LINK).$(SERIES)
SHARED := $(LINK).$(VERSION)
STATIC := librequests_futures.a
WORKER := requests-futures-worker
NATS_LINK := librequests_futures_nats.so
NATS_SHARED := $(NATS_LINK).$(VERSION)
NATS_WORKER := requests-futures-nats-worker

# cargo takes a relative CARGO_TARGET_DIR from where it runs, which is the root.
TARGET := $(if $(CARGO_TARGET_DIR),$(if $(filter /%,$(CARGO_TARGET_DIR)),,$(ROOT)/)$(CARGO_TARGET_DIR),$(ROOT)/target)
LIB := $(TARGET)/$(if $(CARGO_BUILD_TARGET),$(CARGO_BUILD_TARGET)/)release
OUT := $(LIB)/install
PARTS := $(ROOT)/src/install

# What a program links beside the static library.
LIBS_PRIVATE := -lpthread -ldl -lm

ifneq ($(CARGO_BUILD_TARGET),)
TRIPLE := $(subst -,_,$(CARGO_BUILD_TARGET))
export CC_$(TRIPLE) := $(CC)
export CARGO_TARGET_$(shell echo $(TRIPLE) | tr a-z A-Z)_LINKER := $(CC)
endif

# What the reference is made with: a Python that has sphinx, furo and myst-parser.
PYTHON ?= python3
REFERENCE := $(TARGET)/reference

.PHONY: all nats install uninstall dist deb doc clean
.DELETE_ON_ERROR:

all: $(OUT)/$(SHARED) $(OUT)/$(STATIC) $(OUT)/built

# What cargo makes of the sources. Whoever installs may have no cargo (sudo make install): it is asked only where a source
# is newer.
SOURCES := $(shell find "$(ROOT)/src" -name '*.rs' -o -name '*.h') $(addprefix $(ROOT)/,Cargo.toml Cargo.lock build.rs)
$(OUT)/built: $(SOURCES)
	@command -v $(CARGO) >/dev/null || \
	  { echo "make: there is no $(CARGO), and $(LIB) has nothing of these sources: run make first" >&2; exit 1; }
	cd "$(ROOT)" && $(CARGO) build --release --locked
	@mkdir -p "$(OUT)" && touch "$@"

# All of the library in one object, which defines what the header declares, and nothing else for others to see: the
# crates and C libraries inside cannot meet those of a program.
$(OUT)/requests_futures.o: $(OUT)/built
	$(NM) -D --defined-only "$(LIB)/$(LINK)" | sed -n 's/.* T \(rf_[a-z0-9_]*\)$$/\1/p' >"$(OUT)/symbols"
	sed 's/^/-u /' "$(OUT)/symbols" >"$(OUT)/roots"
	$(CC) -r -nostdlib -Wl,--gc-sections,--force-group-allocation,@"$(OUT)/roots" "$(LIB)/$(STATIC)" -o "$(OUT)/whole.o"
	$(OBJCOPY) -R .llvmbc -R .llvmcmd --strip-debug --keep-global-symbols="$(OUT)/symbols" "$(OUT)/whole.o" "$@"
	@rm "$(OUT)/whole.o"

$(OUT)/$(STATIC): $(OUT)/requests_futures.o
	rm -f "$@"
	$(AR) rcs "$@" "$<"

# Worker threads live in the library: dlclose must not take the code from under them.
$(OUT)/$(SHARED): $(OUT)/requests_futures.o $(PARTS)/requests_futures.map
	$(CC) -shared "$<" -o "$@" $(LDFLAGS) -Wl,-soname,$(SONAME) -Wl,--version-script="$(PARTS)/requests_futures.map" \
	  -Wl,--gc-sections -Wl,-O1 -Wl,--as-needed -Wl,-z,nodelete,-z,relro,-z,now,-z,defs $(LIBS_PRIVATE)

# What was made before is what is installed, whatever cargo has made since.
nats: all
	cd "$(ROOT)" && $(CARGO) build --release --locked --package requests-futures-nats
	cp "$(LIB)/$(NATS_LINK)" "$(OUT)/$(NATS_SHARED)"
	cp "$(LIB)/$(NATS_WORKER)" "$(OUT)/$(NATS_WORKER)"

# ---- installing ----

# What the script is told.
VARIABLES := PREFIX LIBDIR INCLUDEDIR DESTDIR OUT LIB VERSION SERIES LINK SONAME SHARED STATIC WORKER LIBS_PRIVATE CC \
  NATS_LINK NATS_SHARED NATS_WORKER REFERENCE
told = $(foreach name,$(VARIABLES),$(name)='$(subst ','\'',$($(name)))')

install: all
	@$(told) "$(PARTS)/install.sh" install

uninstall:
	@$(told) "$(PARTS)/install.sh" uninstall

# ---- the reference ----

doc:
	@$(PYTHON) -c 'import sphinx, furo, myst_parser' 2>/dev/null || \
	  { echo "make doc: $(PYTHON) has no sphinx, furo and myst-parser: pip install -r src/doc/requirements.txt, or PYTHON=another" >&2; exit 1; }
	@$(PYTHON) -B "$(ROOT)/src/doc/build.py" "$(REFERENCE)"

# ---- packages ----

DEBIAN := $(TARGET)/debian
DIST := $(TARGET)/requests_futures-$(VERSION).tar.gz

deb: all
	@DEBIAN='$(DEBIAN)' $(told) "$(PARTS)/debian.sh"

# What is committed, and nothing else.
dist:
	@[ -e "$(ROOT)/.git" ] || { echo "make dist: $(ROOT) is no repository of git, which knows what is committed" >&2; exit 1; }
	@mkdir -p "$(TARGET)"
	git -C "$(ROOT)" archive --format=tar.gz --prefix=requests_futures-$(VERSION)/ --output="$(DIST)" HEAD
	@echo "$(DIST)"

clean:
	rm -rf "$(OUT)" "$(DEBIAN)" "$(DIST)" "$(REFERENCE)"
