package console

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/forewarm/forewarm/dispatcher"
	"github.com/forewarm/forewarm/edge"
	"github.com/forewarm/forewarm/prewarm"
	forewarmv1 "github.com/forewarm/forewarm/proto/forewarm/v1"
)

// levers is what Control changes of a running scheduler. Functions and accounts are changed by callbacks, so that
// nothing comes between what was read and what is written.
type levers interface {
	modes
	functions
	accounts
	DrainNode(n dispatcher.NodeID, undo bool) (containers int, err error)
	Settings() []Setting
}

type modes interface {
	Mode() prewarm.Mode
	SetMode(m prewarm.Mode) error
}

type functions interface {
	ChangeFunction(account, function string, change func(*dispatcher.Limits, *prewarm.Bounds) error) error
	Bounds(account, function string) prewarm.Bounds
	Money() bool // costs are in the money of prices
}

type accounts interface {
	ChangeAccount(account string, change func(*dispatcher.AccountLimits) error) error
	Named() (functions, accounts []string) // that the configuration has, called or not
}

// Setting is one value of the configuration in force.
type Setting struct {
	Name, Value, Origin string
	Live                bool // may change while the scheduler runs
}

// Control answers forewarm.v1's Control. Who may do what is the guard's to say, before a call comes here; each change
// is in Log before it is done, and those that are refused are as well.
type Control struct {
	forewarmv1.UnimplementedControlServer
	Shell   shell
	Planner planner
	Levers  levers
	Log     *edge.Audit

	mu sync.Mutex // one change at a time, so that each one's before is the after of the one that came first
}

// Register serves c on g.
func (c *Control) Register(g *grpc.Server) { forewarmv1.RegisterControlServer(g, c) }

// refusal turns what was wrong with a request into a code. What has no other is the request's fault: all it is made
// of is checked on the way.
func refusal(err error) error {
	if err == nil {
		return nil
	}
	if _, ok := status.FromError(err); ok {
		return err
	}
	code := codes.InvalidArgument
	switch {
	case errors.Is(err, dispatcher.ErrUnknownNode):
		code = codes.NotFound
	case errors.Is(err, dispatcher.ErrClosing):
		code = codes.Unavailable
	}
	return status.Error(code, err.Error())
}

// plain is an error as people read it, without its code.
func plain(err error) error {
	if st, ok := status.FromError(err); ok && err != nil {
		return errors.New(st.Message())
	}
	return err
}

// SetMode switches what forecasts may do.
func (c *Control) SetMode(ctx context.Context, r *forewarmv1.SetModeRequest) (*forewarmv1.SetModeReply, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	before := c.Levers.Mode().String()
	if r.GetMode() == "" {
		return &forewarmv1.SetModeReply{Before: before, After: before}, nil
	}
	end := c.Log.Begin(ctx, "mode", before, r.GetMode())
	m, err := prewarm.ParseMode(r.GetMode())
	if err == nil {
		err = c.Levers.SetMode(m)
	}
	end(plain(err))
	if err != nil {
		return nil, refusal(err)
	}
	return &forewarmv1.SetModeReply{Before: before, After: m.String()}, nil
}

// SetAccount changes an account's limits.
func (c *Control) SetAccount(ctx context.Context, r *forewarmv1.SetAccountRequest) (*forewarmv1.SetAccountReply, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	reply := &forewarmv1.SetAccountReply{}
	var end func(error)
	err := c.knownAccount(r.GetAccount())
	if err == nil {
		err = c.Levers.ChangeAccount(r.GetAccount(), func(l *dispatcher.AccountLimits) error {
			reply.Before = limitsOf(*l)
			mergeLimits(l, r.GetLimits())
			reply.After = limitsOf(*l)
			end = c.Log.Begin(ctx, AccountWords(r.GetAccount()), LimitsWords(*limits(reply.Before)), LimitsWords(*l))
			return checkLimits(l)
		})
	}
	if end == nil {
		end = c.Log.Begin(ctx, AccountWords(r.GetAccount()), "", LimitsWords(*limits(r.GetLimits())))
	}
	end(plain(err))
	if err != nil {
		return nil, refusal(err)
	}
	return reply, nil
}

// knownAccount refuses an account that has no functions and is not configured: it may be a slip.
func (c *Control) knownAccount(account string) error {
	_, names := c.Levers.Named()
	found := slices.Contains(names, account)
	c.Shell.Core().Functions(c.Shell.Now(), func(i *dispatcher.FunctionInfo) bool {
		if found = found || i.Function.Account == account; !found && len(names) < maxNames && !slices.Contains(names, i.Function.Account) {
			names = append(names, i.Function.Account)
		}
		return !found
	})
	if found {
		return nil
	}
	return status.Errorf(codes.NotFound, "account %q called no function and is not configured; %s", account, known("account", names))
}

// maxNames bounds how many names a refusal lists.
const maxNames = 20

func known(what string, names []string) string {
	if len(names) == 0 {
		return "no " + what + " is known so far"
	}
	slices.Sort(names)
	return fmt.Sprintf("known: %s", strings.Join(quoted(names[:min(len(names), maxNames)]), ", "))
}

func quoted(names []string) []string {
	out := make([]string, len(names))
	for i, n := range names {
		out[i] = fmt.Sprintf("%q", n)
	}
	return out
}

// DrainNode takes a node out of use, or into it again.
func (c *Control) DrainNode(ctx context.Context, r *forewarmv1.DrainNodeRequest) (*forewarmv1.DrainNodeReply, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	n, err := c.node(r.GetNode())
	before := ""
	if err == nil {
		before = drains(n.Draining)
	}
	end := c.Log.Begin(ctx, fmt.Sprintf("node %q", r.GetNode()), before, drains(!r.GetUndo()))
	var left int
	if err == nil {
		left, err = c.Levers.DrainNode(n.ID, r.GetUndo())
	}
	end(plain(err))
	if err != nil {
		return nil, refusal(err)
	}
	return &forewarmv1.DrainNodeReply{Containers: int32(left)}, nil
}

func drains(yes bool) string {
	if yes {
		return "drains"
	}
	return "in use"
}

// node finds a node by the manager's name of it.
func (c *Control) node(name string) (*dispatcher.NodeInfo, error) {
	var names []string
	for _, n := range c.Shell.Core().Cluster(c.Shell.Now()).Nodes {
		if n.Lost || n.Releasing {
			continue
		}
		if n.Node.ID == name {
			return &n, nil
		}
		names = append(names, n.Node.ID)
	}
	return nil, status.Errorf(codes.NotFound, "node %q is not held; %s", name, known("node", names))
}

// Bounds of what one call lists.
const (
	defaultEntries = 100
	maxEntries     = 1000
)

// Audit lists who changed what, newest first. What was refused says so in after.
func (c *Control) Audit(_ context.Context, r *forewarmv1.AuditRequest) (*forewarmv1.AuditReply, error) {
	reply := &forewarmv1.AuditReply{}
	for _, e := range c.Log.Last(atMost(r.GetLimit(), defaultEntries)) {
		if e.Failed != "" {
			e.After = strings.TrimSpace(e.After + " (not done: " + e.Failed + ")")
		}
		reply.Entries = append(reply.Entries, &forewarmv1.AuditEntry{At: timestamppb.New(e.At), Who: e.Who, What: e.What, Before: e.Before, After: e.After})
	}
	return reply, nil
}

// atMost is how many are to be listed: as asked, within bounds.
func atMost(asked uint32, base int) int {
	if asked == 0 {
		return base
	}
	return int(min(asked, maxEntries))
}

// Config shows the settings in force.
func (c *Control) Config(context.Context, *forewarmv1.ConfigRequest) (*forewarmv1.ConfigReply, error) {
	reply := &forewarmv1.ConfigReply{}
	for _, s := range c.Levers.Settings() {
		reply.Settings = append(reply.Settings, &forewarmv1.Setting{Name: s.Name, Value: s.Value, Origin: s.Origin, Reloadable: s.Live})
	}
	return reply, nil
}
