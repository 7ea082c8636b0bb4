package local

import (
	"context"
	"net"
	"testing"

	"github.com/forewarm/forewarm/catalog"
	pb "github.com/forewarm/forewarm/proto/minifaas/resourcemanagerproto"
)

// Functions come and change under nodes that run, under those that are being started, and for later ones; containers
// that run stay what they are.
func TestSetFunctions(t *testing.T) {
	m, err := NewManager(ManagerOptions{Node: NodeOptions{Functions: testFunctions("SLEEP_MS=1"), Folder: openFolder(t)}, Logger: testLog(t)})
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- m.Serve(ctx, listener) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Serve = %v", err)
		}
	})
	b := &testCluster{TB: t, rm: pb.NewResourceManagerClient(dial(t, listener.Addr().String()))}

	n := b.reserve()
	old := n.create("sleep", 64)
	says := func(n *testNode, c, want string) {
		t.Helper()
		if a := n.mustInvoke(c, ""); a.body != want {
			t.Errorf("container answers %q, want %q", a.body, want)
		}
	}
	says(n, old, "slept 1 ms\n")
	set := func(f ...catalog.Function) {
		t.Helper()
		if err := m.SetFunctions(f); err != nil {
			t.Fatal(err)
		}
	}
	for _, ms := range []string{"2", "3", "4"} { // each at once: times of files are coarse
		set(catalog.Function{Name: "sleep", Sample: "sleep", Env: map[string]string{"SLEEP_MS": ms}})
		says(n, n.create("sleep", 64), "slept "+ms+" ms\n")
	}
	says(n, old, "slept 1 ms\n")
	set(catalog.Function{Name: "nap", Sample: "sleep", Env: map[string]string{"SLEEP_MS": "5"}})
	for _, n := range []*testNode{n, b.reserve()} {
		says(n, n.create("nap", 64), "slept 5 ms\n")
		says(n, n.create("sleep", 64), "slept 4 ms\n") // not mentioned last, and still there
	}
}
