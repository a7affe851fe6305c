# Everything a person types. `make` alone says what there is.

GO       ?= go
BIN      := $(CURDIR)/bin
TOOLS    := $(CURDIR)/.bin
PREFIX   ?= /usr/local
VERSION  ?= 0.1.0
LDFLAGS  := -s -w -X main.version=$(VERSION)
EXAMPLES := media archive chaos

.PHONY: help build test deps lint demo bench proto install tools clean

help:
	@echo "make build    binaries and example plugins into ./bin"
	@echo "make test     every test, with the race detector; installs the servers it needs where it may"
	@echo "make lint     vet, staticcheck, gofumpt, buf lint and breaking-change check"
	@echo "make demo     thousands of real tasks on this machine, nothing to install"
	@echo "make bench    figures into bench/results.jsonl; those of Sidekiq want the Debian packages ruby and ruby-sidekiq"
	@echo "make proto    generate code from plugin/proto"
	@echo "make install  stem and stemd into $(PREFIX)/bin"

build:
	@mkdir -p $(BIN)
	$(GO) build -trimpath -ldflags '$(LDFLAGS)' -o $(BIN)/ ./cmd/stemd ./cmd/stem $(EXAMPLES:%=./plugins/examples/%) ./plugins/examples/demo

test: deps
	$(GO) test -race -timeout 20m ./...

deps:
	@tools/deps.sh

lint: tools
	$(GO) vet ./...
	cd bench && $(GO) vet ./...
	$(TOOLS)/staticcheck ./...
	@unformatted=$$(git ls-files '*.go' | grep -v '\.pb\.go$$' | xargs $(TOOLS)/gofumpt -l); \
	  if [ -n "$$unformatted" ]; then echo "gofumpt would change:"; echo "$$unformatted"; exit 1; fi
	cd plugin/proto && $(TOOLS)/buf lint && $(TOOLS)/buf breaking --against buf.binpb

demo:
	@start=$$(date +%s); printf 'building stemd, stem and 3 example plugins … '; $(MAKE) -s build && echo "$$(( $$(date +%s) - start )) s"
	@$(BIN)/demo -bin $(BIN)

bench: build
	cd bench && $(GO) run . -bin $(BIN)

# The image buf.binpb is what breaking changes are measured against; make it anew only with a release.
proto: tools
	cd plugin/proto && PATH="$(TOOLS):$$PATH" $(TOOLS)/buf generate

tools:
	@mkdir -p $(TOOLS)
	@cd tools && $(GO) build -o $(TOOLS)/ tool

install: build
	install -d $(DESTDIR)$(PREFIX)/bin
	install -m 0755 $(BIN)/stem $(BIN)/stemd $(DESTDIR)$(PREFIX)/bin/

clean:
	rm -rf $(BIN) $(TOOLS)
