package gateway

import (
	"context"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"

	"github.com/forewarm/forewarm/catalog"
	"github.com/forewarm/forewarm/proto/minifaas/nodeservoceproto"
)

// A new catalog holds for later calls; those under way end as they began.
func TestSetCatalog(t *testing.T) {
	w := newWorld(t, nil)
	entered, leave := make(chan struct{}), make(chan struct{})
	w.node.invoke = func(r *nodeservoceproto.InvokeFunctionRequest, out grpc.ServerStreamingServer[nodeservoceproto.InvokeFunctionReply]) error {
		close(entered)
		<-leave
		return echo(r, out)
	}
	done := make(chan error, 1)
	go func() {
		_, err := w.s.Invoke(context.Background(), "", "fn", []byte("x"))
		done <- err
	}()
	<-entered
	if err := w.s.SetCatalog(&catalog.Catalog{}); err == nil {
		t.Error("an empty catalog was taken")
	}
	if _, _, err := w.s.check("", "fn", nil); err != nil {
		t.Errorf("after one that was refused: %v", err)
	}
	if err := w.s.SetCatalog(&catalog.Catalog{Functions: []catalog.Function{{Name: "other", Sample: "hello", Memory: 64 << 20, Timeout: time.Second}}}); err != nil {
		t.Fatal(err)
	}
	_, err := w.s.Invoke(t.Context(), "", "fn", nil)
	failure(t, err, ErrUnknownFunction, "known: other")
	close(leave)
	if err := <-done; err != nil {
		t.Errorf("the call under way: %v", err)
	}
	w.node.invoke = echo
	if _, err := w.s.Invoke(t.Context(), "", "other", nil); err != nil {
		t.Fatal(err)
	}
	if a := w.scheduler.acquired; !strings.HasPrefix(a[len(a)-1].GetFunctionConfig().GetHandler(), "rev-") {
		t.Errorf("the scheduler was asked %v, want the revision as the handler", a[len(a)-1])
	}
}

// A scheduler that goes and comes back within the time costs no call.
func TestTheSchedulerIsAskedAgain(t *testing.T) {
	w := newWorld(t, nil)
	w.s.askFor = 5 * time.Second
	if _, err := w.s.Invoke(t.Context(), "", "fn", nil); err != nil {
		t.Fatal(err)
	}
	w.schedulerServer.Stop()
	done := make(chan error, 1)
	go func() {
		_, err := w.s.Invoke(context.Background(), "", "fn", nil)
		done <- err
	}()
	time.Sleep(100 * time.Millisecond)
	select {
	case err := <-done:
		t.Fatalf("the call ended while nobody was there: %v", err)
	default:
	}
	serve(t, w.schedulerAddr, w.registerScheduler)
	if err := <-done; err != nil {
		t.Errorf("the call after the scheduler came back: %v", err)
	}
}
