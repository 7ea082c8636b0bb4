.DEFAULT_GOAL := help
STATICCHECK := go tool -modfile=tools/go.mod staticcheck

help: ## list what can be made
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

check: ## what must hold before a commit: format, vet, staticcheck, tests, tests with the race detector
	@test -z "$$(gofmt -l .)" || { echo "gofmt these files:"; gofmt -l .; exit 1; }
	go vet ./...
	$(STATICCHECK) ./...
	cd tools && go vet ./... && go tool staticcheck ./...
	go test ./...
	go test -race -short ./...

test: ## the tests
	go test ./...

bench: ## the hot path beside the least that the contract forces, ten times, for benchstat
	go test ./dispatcher -run '^$$' -bench AcquireReturn -count 10

soak: ## seven days of virtual time under a mixed load with faults
	go test ./sim -run '^TestSoak$$' -soak -v -timeout 10m

chaos: ## a hundred kills of the scheduler under load, with real processes
	CHAOS=100 go test ./e2e -run '^TestChaos$$' -count 1 -v -timeout 20m

proto: ## generate the wire code again
	go generate ./proto

demo: ## the demo
	go run ./cmd/forewarm demo

.PHONY: help check test bench soak chaos proto demo
