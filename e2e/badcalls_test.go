package e2e

import (
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/forewarm/forewarm/proto/minifaas/schedulerproto"
)

type (
	acquireRequest = schedulerproto.AcquireContainerRequest
	returnRequest  = schedulerproto.ReturnContainerRequest
	functionConfig = schedulerproto.FunctionConfig
)

// refusal is what a bad call must be answered with.
type refusal struct {
	code codes.Code
	says []string // the place, and what would be right
}

// ask is a good request, for a row to spoil.
func ask(spoil func(*acquireRequest)) *acquireRequest {
	r := &acquireRequest{RequestId: "r-1", AccountId: "test-account-id", FunctionName: "good",
		FunctionConfig: &functionConfig{TimeoutInMs: 60_000, MemoryInBytes: 128 << 20, Handler: "h"}}
	spoil(r)
	return r
}

func badAcquires() map[string]struct {
	*acquireRequest
	refusal
} {
	type row = struct {
		*acquireRequest
		refusal
	}
	invalid := func(says ...string) refusal { return refusal{codes.InvalidArgument, says} }
	huge := strings.Repeat("x", 1<<20)
	return map[string]row{
		"no request id":            {ask(func(r *acquireRequest) { r.RequestId = "" }), invalid("request_id", "empty")},
		"a request id of 1 MB":     {ask(func(r *acquireRequest) { r.RequestId = huge }), invalid("request_id", "1048576", "at most 1024")},
		"no function name":         {ask(func(r *acquireRequest) { r.FunctionName = "" }), invalid("function_name", "empty")},
		"a function name of 1 MB":  {ask(func(r *acquireRequest) { r.FunctionName = huge }), invalid("function_name", "at most 1024")},
		"an account of 1 MB":       {ask(func(r *acquireRequest) { r.AccountId = huge }), invalid("account_id", "at most 1024")},
		"a handler of 1 MB":        {ask(func(r *acquireRequest) { r.FunctionConfig.Handler = huge }), invalid("handler", "at most 1024")},
		"no configuration":         {ask(func(r *acquireRequest) { r.FunctionConfig = nil }), invalid("function_config", "missing")},
		"no memory":                {ask(func(r *acquireRequest) { r.FunctionConfig.MemoryInBytes = 0 }), invalid(`"good"`, "memory_in_bytes is 0", "at least 1048576")},
		"negative memory":          {ask(func(r *acquireRequest) { r.FunctionConfig.MemoryInBytes = -1 }), invalid("memory_in_bytes is -1", "at least 1048576")},
		"memory of a few bytes":    {ask(func(r *acquireRequest) { r.FunctionConfig.MemoryInBytes = 128 }), invalid("memory_in_bytes is 128", "at least 1048576")},
		"absurd memory":            {ask(func(r *acquireRequest) { r.FunctionConfig.MemoryInBytes = 1 << 60 }), invalid("memory_in_bytes is 1152921504606846976")},
		"more memory than a node":  {ask(func(r *acquireRequest) { r.FunctionConfig.MemoryInBytes = 3<<30 + 1 }), invalid("memory_in_bytes is 3221225473", "a node has only 3221225472")},
		"a negative timeout":       {ask(func(r *acquireRequest) { r.FunctionConfig.TimeoutInMs = -1 }), invalid("timeout_in_ms is -1", "between 0")},
		"a timeout that overflows": {ask(func(r *acquireRequest) { r.FunctionConfig.TimeoutInMs = 1 << 62 }), invalid("timeout_in_ms", "86400000")},
		"nothing at all":           {&acquireRequest{}, invalid("function_config")},
	}
}

// Bad calls are told apart, and the next good one is served.
func TestBadCalls(t *testing.T) {
	t.Parallel()
	manager := loopback(freePort(t))
	cluster := startForeign(t, manager, "--start", "50ms", "--refuse", "0")
	c := startServe(t, manager)
	if _, err := c.call(t.Context(), function{name: "before", memory: 128 << 20}); err != nil {
		t.Fatal(err)
	}
	for name, tt := range badAcquires() {
		reply, err := c.scheduler.AcquireContainer(t.Context(), tt.acquireRequest)
		if err == nil {
			t.Errorf("acquire with %s got %v, want a refusal", name, reply)
			continue
		}
		tt.check(t, "acquire with "+name, err)
	}
	badReturns(c)
	sameLeaseTwice(c)
	if s, err := c.call(t.Context(), function{name: "before", memory: 128 << 20}); err != nil || s.start != "warm" {
		t.Errorf("a good call after all of these: %q, %v, want warm", s.start, err)
	}
	c.process.stop(10 * time.Second)
	cluster.endForeign()
}

func (r refusal) check(t testing.TB, what string, err error) {
	t.Helper()
	if status.Code(err) != r.code {
		t.Errorf("%s: code %v (%v), want %v", what, status.Code(err), err, r.code)
	}
	says(t, what, status.Convert(err).Message(), r.says...)
	if n := len(err.Error()); n > 2000 {
		t.Errorf("%s: the error is %d bytes long, it echoes what was sent", what, n)
	}
}

func badReturns(c *client) {
	c.Helper()
	s, err := c.acquire(c.Context(), "lease", function{name: "good", memory: 128 << 20})
	if err != nil {
		c.Fatal(err)
	}
	container := s.reply.GetContainerId()
	for name, tt := range map[string]struct {
		request *returnRequest
		refusal
	}{
		"a negative duration":    {&returnRequest{RequestId: "lease", ContainerId: container, DurationInNanos: -1}, refusal{codes.InvalidArgument, []string{"duration_in_nanos -1", "still live"}}},
		"a negative memory":      {&returnRequest{RequestId: "lease", ContainerId: container, MaxMemoryUsageInBytes: -5}, refusal{codes.InvalidArgument, []string{"max_memory_usage_in_bytes -5", "still live"}}},
		"an unknown request":     {&returnRequest{RequestId: "lost", ContainerId: container}, refusal{codes.NotFound, []string{`"lost"`, container[:16]}}},
		"a huge request":         {&returnRequest{RequestId: strings.Repeat("y", 1<<20), ContainerId: container}, refusal{codes.NotFound, []string{`"yyyy`}}},
		"an unknown container":   {&returnRequest{RequestId: "lease", ContainerId: "nowhere"}, refusal{codes.NotFound, []string{`"nowhere"`}}},
		"neither":                {&returnRequest{}, refusal{codes.NotFound, []string{"container"}}},
		"another's container id": {&returnRequest{RequestId: "before-1", ContainerId: container}, refusal{codes.NotFound, []string{`"before-1"`}}},
	} {
		if _, err := c.scheduler.ReturnContainer(c.Context(), tt.request); err == nil {
			c.Errorf("a return with %s was taken", name)
		} else {
			tt.check(c, "return with "+name, err)
		}
	}
	good := &returnRequest{RequestId: "lease", ContainerId: container, DurationInNanos: 1}
	if _, err := c.scheduler.ReturnContainer(c.Context(), good); err != nil {
		c.Errorf("the right return after bad ones: %v", err)
	}
	_, err = c.scheduler.ReturnContainer(c.Context(), good)
	refusal{codes.NotFound, []string{`"lease"`, "returned already"}}.check(c, "a second return", err)
}

// sameLeaseTwice acquires a live request id again.
func sameLeaseTwice(c *client) {
	c.Helper()
	f := function{name: "good", memory: 128 << 20}
	first, err1 := c.acquire(c.Context(), "twin", f)
	second, err2 := c.acquire(c.Context(), "twin", f)
	if err1 != nil || err2 != nil || first.reply.GetContainerId() != second.reply.GetContainerId() {
		c.Errorf("two acquires with one live request id: %v, %v and %v, %v, want the same lease", first.reply, err1, second.reply, err2)
	}
	back := &returnRequest{RequestId: "twin", ContainerId: first.reply.GetContainerId()}
	if _, err := c.scheduler.ReturnContainer(c.Context(), back); err != nil {
		c.Errorf("the return of a lease that was acquired twice: %v", err)
	}
	_, err := c.scheduler.ReturnContainer(c.Context(), back)
	refusal{codes.NotFound, []string{`"twin"`}}.check(c, "its second return", err)
}
