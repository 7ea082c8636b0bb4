package scheduler

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"github.com/forewarm/forewarm/calendar"
	"github.com/forewarm/forewarm/dispatcher"
	"github.com/forewarm/forewarm/edge"
	"github.com/forewarm/forewarm/prewarm"
	forewarmv1 "github.com/forewarm/forewarm/proto/forewarm/v1"
	"github.com/forewarm/forewarm/proto/minifaas/schedulerproto"
)

// controlled is a running scheduler that was called once, with its Control.
func controlled(t *testing.T, o Options, dial ...grpc.DialOption) (*Scheduler, *grpc.ClientConn, forewarmv1.ControlClient) {
	t.Helper()
	s, conn, stop := running(t, o)
	t.Cleanup(func() {
		if err := stop(nil); err != nil {
			t.Errorf("Run = %v", err)
		}
	})
	call(t, conn, "first")
	return s, conn, controlOf(t, s, dial...)
}

func controlOf(t *testing.T, s *Scheduler, dial ...grpc.DialOption) forewarmv1.ControlClient {
	t.Helper()
	conn, err := grpc.NewClient(s.AdminAddr(), append(dial, grpc.WithTransportCredentials(insecure.NewCredentials()))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return forewarmv1.NewControlClient(conn)
}

func ptr[T any](v T) *T { return &v }

func acquire(ctx context.Context, conn *grpc.ClientConn, id string) (*schedulerproto.AcquireContainerReply, error) {
	return schedulerproto.NewSchedulerClient(conn).AcquireContainer(ctx, &schedulerproto.AcquireContainerRequest{RequestId: id, AccountId: "acc", FunctionName: "f",
		FunctionConfig: &schedulerproto.FunctionConfig{MemoryInBytes: 128 << 20, TimeoutInMs: 1000}})
}

// eventually waits until what holds.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !holds(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("after 10s it does not hold that %s", what)
		}
	}
}

func info(s *Scheduler) (i dispatcher.FunctionInfo) {
	i, _ = s.Shell.Core().Function(s.Shell.Now(), 0)
	return i
}

func forecastOf(s *Scheduler) (f prewarm.Forecast) {
	s.Controller.View(func(p *prewarm.Planner) { f, _ = p.Forecast(s.Shell.Now(), 0) })
	return f
}

// newest is the newest entry of the audit log.
func newest(t *testing.T, c forewarmv1.ControlClient) *forewarmv1.AuditEntry {
	t.Helper()
	reply, err := c.Audit(t.Context(), &forewarmv1.AuditRequest{Limit: 1})
	if err != nil || len(reply.Entries) != 1 {
		t.Fatalf("Audit = %v, %v, want one entry", reply, err)
	}
	return reply.Entries[0]
}

// A paused function refuses its calls and loses its containers; resumed, it serves again.
func TestPause(t *testing.T) {
	o, _ := options(t)
	s, conn, c := controlled(t, o)
	reply, err := c.SetFunction(t.Context(), &forewarmv1.SetFunctionRequest{Function: "f", Levers: &forewarmv1.Levers{Pause: ptr(true)}})
	if err != nil || reply.Before.GetPause() || !reply.After.GetPause() {
		t.Fatalf("pause = %v, %v, want from no pause to one", reply, err)
	}
	if _, err := acquire(t.Context(), conn, "r-1"); status.Code(err) != codes.FailedPrecondition {
		t.Errorf("a call of a paused function got %v, want FailedPrecondition", err)
	}
	eventually(t, "the paused function has no container", func() bool { i := info(s); return i.Ready+i.Starting+i.Stopping == 0 })
	e := newest(t, c)
	if e.What != `function "f" of account "acc"` || e.Before != "no bounds" || e.After != "paused" || !strings.HasPrefix(e.Who, "from 127.0.0.1:") {
		t.Errorf("the audit log says %v", e)
	}
	if _, err := c.SetFunction(t.Context(), &forewarmv1.SetFunctionRequest{Account: "acc", Function: "f", Levers: &forewarmv1.Levers{Pause: ptr(false)}}); err != nil {
		t.Fatal(err)
	}
	call(t, conn, "r-2")
}

// A floor is held, a mode keeps it, and fields that are not set stay.
func TestFloorAndMode(t *testing.T) {
	o, _ := options(t)
	s, _, c := controlled(t, o)
	set := func(l *forewarmv1.Levers) *forewarmv1.SetFunctionReply {
		t.Helper()
		reply, err := c.SetFunction(t.Context(), &forewarmv1.SetFunctionRequest{Function: "f", Levers: l})
		if err != nil {
			t.Fatal(err)
		}
		return reply
	}
	set(&forewarmv1.Levers{Min: ptr(int32(3)), MaxWaiting: ptr(int32(7))})
	eventually(t, "three containers are held", func() bool { return info(s).Ready >= 3 })
	reply := set(&forewarmv1.Levers{Max: ptr(int32(4))})
	if a := reply.After; a.GetMin() != 3 || a.GetMax() != 4 || a.GetMaxWaiting() != 7 || a.GetPause() || reply.Before.GetMax() != 0 {
		t.Errorf("max was set: %v, want min 3, max 4, max_waiting 7", reply)
	}
	m, err := c.SetMode(t.Context(), &forewarmv1.SetModeRequest{Mode: "shadow"})
	if err != nil || m.Before != "on" || m.After != "shadow" {
		t.Fatalf("SetMode(shadow) = %v, %v", m, err)
	}
	if e := newest(t, c); e.What != "mode" || e.Before != "on" || e.After != "shadow" {
		t.Errorf("the audit log says %v", e)
	}
	if m, err := c.SetMode(t.Context(), &forewarmv1.SetModeRequest{}); err != nil || m.After != "shadow" {
		t.Errorf("SetMode() = %v, %v, want shadow", m, err)
	}
	if n, err := c.Audit(t.Context(), &forewarmv1.AuditRequest{}); err != nil || len(n.Entries) != 3 {
		t.Errorf("the audit log has %v, %v, want the three changes and not the question", n, err)
	}
	eventually(t, "keep-alive decides", func() bool { f := forecastOf(s); return f.Why.Model == dispatcher.ModelReactive && f.Floor == 3 })
	if i := info(s); i.Ready < 3 {
		t.Errorf("in shadow %d containers are held, want the floor of 3", i.Ready)
	}
	conf, err := c.Config(t.Context(), &forewarmv1.ConfigRequest{})
	if err != nil || len(conf.Settings) != 2 || conf.Settings[0].Value != "shadow" || conf.Settings[1].Value != "min 3, max 4, max_waiting 7" {
		t.Errorf("Config = %v, %v, want what was changed", conf, err)
	}
}

// A drained node is emptied and given back.
func TestDrain(t *testing.T) {
	o, _ := options(t)
	s, _, c := controlled(t, o)
	if _, err := c.DrainNode(t.Context(), &forewarmv1.DrainNodeRequest{Node: "node-9"}); status.Code(err) != codes.NotFound || !strings.Contains(err.Error(), `"node-1"`) {
		t.Errorf("DrainNode(node-9) = %v, want NotFound and the nodes that there are", err)
	}
	if e := newest(t, c); !strings.Contains(e.After, "not done") {
		t.Errorf("the audit log says %v of what was refused", e)
	}
	reply, err := c.DrainNode(t.Context(), &forewarmv1.DrainNodeRequest{Node: "node-1"})
	if err != nil || reply.Containers < 1 {
		t.Fatalf("DrainNode = %v, %v, want a container or more", reply, err)
	}
	if e := newest(t, c); e.What != `node "node-1"` || e.Before != "in use" || e.After != "drains" {
		t.Errorf("the audit log says %v", e)
	}
	eventually(t, "the drained node was given back", func() bool {
		return !slices.ContainsFunc(s.Shell.Core().Cluster(s.Shell.Now()).Nodes, func(n dispatcher.NodeInfo) bool { return n.Node.ID == "node-1" })
	})
}

func TestAccount(t *testing.T) {
	o, _ := options(t)
	_, conn, c := controlled(t, o)
	reply, err := c.SetAccount(t.Context(), &forewarmv1.SetAccountRequest{Account: "acc", Limits: &forewarmv1.Limits{MaxContainers: ptr(int32(1)), MaxWaiting: ptr(int32(1))}})
	if err != nil || reply.Before.GetMaxContainers() != 0 || reply.After.GetMaxContainers() != 1 {
		t.Fatalf("SetAccount = %v, %v", reply, err)
	}
	if e := newest(t, c); e.What != `account "acc"` || e.After != "max_containers 1, max_waiting 1" {
		t.Errorf("the audit log says %v", e)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	full := make(chan error, 40)
	for i := range cap(full) {
		go func() {
			id := fmt.Sprint("r-", i)
			lease, err := acquire(ctx, conn, id)
			if err == nil {
				time.Sleep(20 * time.Millisecond)
				_, e := schedulerproto.NewSchedulerClient(conn).ReturnContainer(ctx, &schedulerproto.ReturnContainerRequest{RequestId: id, ContainerId: lease.GetContainerId()})
				err = errors.Join(err, e)
			}
			full <- err
		}()
	}
	refused := 0
	for range cap(full) {
		if status.Code(<-full) == codes.ResourceExhausted {
			refused++
		}
	}
	if refused == 0 {
		t.Error("of 40 calls at once, with one container and one in line, none was refused with ResourceExhausted")
	}
}

func TestControlRefuses(t *testing.T) {
	o, _ := options(t)
	_, _, c := controlled(t, o)
	levers := func(l *forewarmv1.Levers) func() error {
		return func() error {
			_, err := c.SetFunction(t.Context(), &forewarmv1.SetFunctionRequest{Function: "f", Levers: l})
			return err
		}
	}
	limits := func(name string, l *forewarmv1.Limits) func() error {
		return func() error {
			_, err := c.SetAccount(t.Context(), &forewarmv1.SetAccountRequest{Account: name, Limits: l})
			return err
		}
	}
	for _, tt := range []struct {
		claim string
		do    func() error
		code  codes.Code
		says  string
	}{
		{"a function that nobody knows", func() error {
			_, err := c.SetFunction(t.Context(), &forewarmv1.SetFunctionRequest{Function: "g"})
			return err
		}, codes.NotFound, `known: "f"`},
		{"another account's function", func() error {
			_, err := c.SetFunction(t.Context(), &forewarmv1.SetFunctionRequest{Account: "other", Function: "f"})
			return err
		}, codes.NotFound, `known: "acc"`},
		{"a negative floor", levers(&forewarmv1.Levers{Min: ptr(int32(-1))}), codes.InvalidArgument, "min is -1"},
		{"a negative cap", levers(&forewarmv1.Levers{MaxContainers: ptr(int32(-2))}), codes.InvalidArgument, "max_containers is -2"},
		{"a floor above the ceiling", levers(&forewarmv1.Levers{Min: ptr(int32(3)), Max: ptr(int32(2))}), codes.InvalidArgument, "min 3 is above max 2"},
		{"a floor above the cap", levers(&forewarmv1.Levers{Min: ptr(int32(3)), MaxContainers: ptr(int32(2))}), codes.InvalidArgument, "above max_containers 2"},
		{"a mode that does not exist", func() error {
			_, err := c.SetMode(t.Context(), &forewarmv1.SetModeRequest{Mode: "loud"})
			return err
		}, codes.InvalidArgument, "on, shadow and off"},
		{"an account that nobody knows", limits("nobody", nil), codes.NotFound, `known: "acc"`},
		{"a share above one", limits("acc", &forewarmv1.Limits{MemoryShare: ptr(1.5)}), codes.InvalidArgument, "memory_share is 1.5"},
		{"a share that is no number", limits("acc", &forewarmv1.Limits{MemoryShare: ptr(nan())}), codes.InvalidArgument, "memory_share is NaN"},
	} {
		err := tt.do()
		if status.Code(err) != tt.code || !strings.Contains(fmt.Sprint(err), tt.says) {
			t.Errorf("%s: %v, want %v with %q", tt.claim, err, tt.code, tt.says)
		}
		if e := newest(t, c); !strings.Contains(e.After, "not done: ") {
			t.Errorf("%s: the audit log's newest is %v, want one that was not done", tt.claim, e)
		}
	}
	reply, err := c.SetFunction(t.Context(), &forewarmv1.SetFunctionRequest{Function: "f"})
	if err != nil || reply.After.GetMin()+reply.After.GetMax()+reply.After.GetMaxContainers() != 0 {
		t.Errorf("after refusals the levers are %v, %v, want none", reply, err)
	}
}

func nan() float64 { zero := 0.0; return zero / zero }

func TestCalendarAndCosts(t *testing.T) {
	o, _ := options(t)
	s, _, c := controlled(t, o)
	l := Levers{Bounds: prewarm.Bounds{Calendar: []calendar.Window{{Cron: "30 7 * * *", Duration: time.Hour, Min: 2, Zone: "Europe/Berlin"}}}}
	if err := s.Apply(Config{Functions: map[string]Levers{"f": l, "later": l}}); err != nil {
		t.Fatal(err)
	}
	reply, err := c.Calendar(t.Context(), &forewarmv1.CalendarRequest{Limit: 3})
	if err != nil || len(reply.Windows) != 6 {
		t.Fatalf("Calendar = %v, %v, want three windows of each function", reply, err)
	}
	w := reply.Windows[0]
	if w.Function != "f" || w.Account != "acc" || w.Min != 2 || w.End.AsTime().Sub(w.Start.AsTime()) != time.Hour || !w.Start.AsTime().After(time.Now()) {
		t.Errorf("the first window is %v", w)
	}
	if _, err := c.Calendar(t.Context(), &forewarmv1.CalendarRequest{Function: "g"}); status.Code(err) != codes.NotFound {
		t.Errorf("Calendar(g) = %v, want NotFound", err)
	}
	eventually(t, "the planner knows the function", func() bool { return forecastOf(s).Spent.Live.Cost > 0 })
	costs, err := c.Costs(t.Context(), &forewarmv1.CostsRequest{})
	if err != nil || len(costs.Costs) != 2 || costs.Unit != "container-seconds" {
		t.Fatalf("Costs = %v, %v, want the sum and one function", costs, err)
	}
	sum, f := costs.Costs[0], costs.Costs[1]
	if sum.Function != "" || sum.Total != f.Total || f.Function != "f" || f.Total <= 0 || f.Kappa.AsDuration() <= 0 || f.Colds != f.Kappa.AsDuration().Seconds() {
		t.Errorf("Costs = %v, want one cold call at kappa", costs)
	}
	if d := f.Idle + f.Starts + f.Colds - f.Total; d < -1e-9 || d > 1e-9 {
		t.Errorf("the parts of %v are off the total by %v", f, d)
	}
	if _, err := c.Costs(t.Context(), &forewarmv1.CostsRequest{Function: "g"}); status.Code(err) != codes.NotFound {
		t.Errorf("Costs(g) = %v, want NotFound", err)
	}
}

// The last word wins: what a call changed stays until the configuration says something else about the same thing.
func TestReloadAndCalls(t *testing.T) {
	o, _ := options(t)
	s, _, c := controlled(t, o)
	apply := func(mode prewarm.Mode, least int) {
		t.Helper()
		if err := s.Apply(Config{Mode: mode, Functions: map[string]Levers{"f": {Bounds: prewarm.Bounds{Min: least}}}}); err != nil {
			t.Fatal(err)
		}
	}
	floor := func(want int) {
		t.Helper()
		eventually(t, fmt.Sprintf("the floor is %d", want), func() bool { return forecastOf(s).Floor == want })
	}
	apply(prewarm.On, 1)
	floor(1)
	if _, err := c.SetFunction(t.Context(), &forewarmv1.SetFunctionRequest{Function: "f", Levers: &forewarmv1.Levers{Min: ptr(int32(2))}}); err != nil {
		t.Fatal(err)
	}
	floor(2)
	apply(prewarm.Shadow, 1) // says nothing new of f
	floor(2)
	if s.Mode() != prewarm.Shadow {
		t.Errorf("the mode is %v, want what the configuration says", s.Mode())
	}
	apply(prewarm.Shadow, 3)
	floor(3)
	e := newest(t, c)
	if e.Who != "from a reload of the configuration" || e.Before != "min 2" || e.After != "min 3" {
		t.Errorf("the audit log says %v, want that the call's change was replaced", e)
	}
	apply(prewarm.Shadow, 0)
	floor(0)
}

// Who holds a token for reading may ask, and change nothing; without one, nothing is answered.
func TestControlTokens(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	o, _ := options(t)
	o.State = filepath.Join(dir, "state.db")
	o.Tokens = edge.TokenFiles{Read: []string{write("read", "reader:0123456789abcdef0")}, Write: []string{write("write", "writer:fedcba98765432100")}}
	s, _, none := controlled(t, o)
	as := func(secret edge.Secret) forewarmv1.ControlClient {
		return controlOf(t, s, grpc.WithPerRPCCredentials(edge.Bearer(secret, true)))
	}
	reader, writer := as("0123456789abcdef0"), as("fedcba98765432100")
	for _, m := range []struct {
		name  string
		write bool
		do    func(forewarmv1.ControlClient) error
	}{
		{"SetMode without a mode", false, func(c forewarmv1.ControlClient) error {
			_, err := c.SetMode(t.Context(), &forewarmv1.SetModeRequest{})
			return err
		}},
		{"Audit", false, func(c forewarmv1.ControlClient) error {
			_, err := c.Audit(t.Context(), &forewarmv1.AuditRequest{})
			return err
		}},
		{"Config", false, func(c forewarmv1.ControlClient) error {
			_, err := c.Config(t.Context(), &forewarmv1.ConfigRequest{})
			return err
		}},
		{"Costs", false, func(c forewarmv1.ControlClient) error {
			_, err := c.Costs(t.Context(), &forewarmv1.CostsRequest{})
			return err
		}},
		{"Calendar", false, func(c forewarmv1.ControlClient) error {
			_, err := c.Calendar(t.Context(), &forewarmv1.CalendarRequest{})
			return err
		}},
		{"SetMode", true, func(c forewarmv1.ControlClient) error {
			_, err := c.SetMode(t.Context(), &forewarmv1.SetModeRequest{Mode: "off"})
			return err
		}},
		{"SetFunction", true, func(c forewarmv1.ControlClient) error {
			_, err := c.SetFunction(t.Context(), &forewarmv1.SetFunctionRequest{Function: "f"})
			return err
		}},
		{"SetAccount", true, func(c forewarmv1.ControlClient) error {
			_, err := c.SetAccount(t.Context(), &forewarmv1.SetAccountRequest{Account: "acc"})
			return err
		}},
		{"DrainNode", true, func(c forewarmv1.ControlClient) error {
			_, err := c.DrainNode(t.Context(), &forewarmv1.DrainNodeRequest{Node: "node-1", Undo: true})
			return err
		}},
	} {
		want := map[string]codes.Code{"nobody": codes.Unauthenticated, "reader": codes.OK, "writer": codes.OK}
		if m.write {
			want["reader"] = codes.PermissionDenied
		}
		for name, c := range map[string]forewarmv1.ControlClient{"nobody": none, "reader": reader, "writer": writer} {
			if err := m.do(c); status.Code(err) != want[name] {
				t.Errorf("%s as %s = %v, want %v", m.name, name, err, want[name])
			}
		}
	}
	if e := newest(t, reader); !strings.HasPrefix(e.Who, "token writer, from 127.0.0.1:") {
		t.Errorf("the audit log says %q, want the name of the token", e.Who)
	}
	text, err := os.ReadFile(o.State + ".audit")
	if n := strings.Count(string(text), "\n"); err != nil || n != 4 || strings.Contains(string(text), "fedcba9876543210") {
		t.Errorf("the audit file has %d lines, %v, want the four changes and no secret:\n%s", n, err, text)
	}
}
