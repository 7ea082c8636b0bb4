package console

import (
	"context"
	"fmt"
	"math"
	"sort"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/forewarm/forewarm/dispatcher"
	"github.com/forewarm/forewarm/dispatcher/serve"
	"github.com/forewarm/forewarm/prewarm"
	forewarmv1 "github.com/forewarm/forewarm/proto/forewarm/v1"
)

// shell is what the service reads of a running scheduler.
type shell interface {
	Core() *dispatcher.Core
	Records() *serve.Records
	Now() time.Duration
	At(now time.Duration) time.Time
}

// planner is what it reads of a running planner.
type planner interface {
	View(read func(*prewarm.Planner))
}

// Service answers forewarm.v1. Planner is nil where the scheduler runs without one.
type Service struct {
	forewarmv1.UnimplementedForewarmServer
	Shell   shell
	Planner planner
}

// Register serves s on g.
func (s *Service) Register(g *grpc.Server) { forewarmv1.RegisterForewarmServer(g, s) }

// Explain tells how functions stand and why their last orders were given.
func (s *Service) Explain(_ context.Context, r *forewarmv1.ExplainRequest) (*forewarmv1.ExplainReply, error) {
	reply := &forewarmv1.ExplainReply{}
	forecasts, mode := s.forecasts()
	s.Shell.Core().Functions(s.Shell.Now(), func(i *dispatcher.FunctionInfo) bool {
		if match(r.GetFunction(), i.Function.Name) && match(r.GetAccount(), i.Function.Account) {
			reply.Functions = append(reply.Functions, functionState(i, forecasts[i.Fn], mode))
		}
		return true
	})
	if r.GetFunction() != "" && len(reply.Functions) == 0 {
		return nil, status.Error(codes.NotFound, s.unknown(r.GetFunction()))
	}
	limit := int(r.GetLimit())
	if limit == 0 {
		limit = 10
	}
	records, _ := s.Shell.Records().Since(0)
	for i := len(records) - 1; i >= 0 && len(reply.Decisions) < limit; i-- {
		if concerns(&records[i].Order, r.GetFunction(), r.GetAccount()) {
			reply.Decisions = append(reply.Decisions, s.decision(&records[i]))
		}
	}
	return reply, nil
}

// unknown names the functions that there are.
func (s *Service) unknown(name string) string {
	var names []string
	s.Shell.Core().Functions(s.Shell.Now(), func(i *dispatcher.FunctionInfo) bool {
		names = append(names, i.Function.Name)
		return len(names) < 20
	})
	if len(names) == 0 {
		return fmt.Sprintf("function %q was never called; no function was, so far", name)
	}
	sort.Strings(names)
	return fmt.Sprintf("function %q was never called; those that were: %v", name, names)
}

func match(want, is string) bool { return want == "" || want == is }

func concerns(o *dispatcher.Order, function, account string) bool {
	if o.Function == nil {
		return function == "" && match(account, o.Account)
	}
	return match(function, o.Function.Name) && match(account, o.Function.Account)
}

func (s *Service) forecasts() (m map[dispatcher.FnID]prewarm.Forecast, mode prewarm.Mode) {
	m = map[dispatcher.FnID]prewarm.Forecast{}
	if s.Planner != nil {
		s.Planner.View(func(p *prewarm.Planner) {
			mode = p.Mode()
			p.Forecasts(s.Shell.Now(), func(f prewarm.Forecast) bool { m[f.Fn] = f; return true })
		})
	}
	return m, mode
}

func functionState(i *dispatcher.FunctionInfo, f prewarm.Forecast, m prewarm.Mode) *forewarmv1.FunctionState {
	c := &i.Count
	st := &forewarmv1.FunctionState{
		Account: i.Function.Account, Function: i.Function.Name, Calls: c.Warm + c.Waited + c.Cold, Warm: c.Warm, Waited: c.Waited, Cold: c.Cold,
		ContainersReady: int32(i.Ready), ContainersStarting: int32(i.Starting), Leased: int32(i.Leased), Waiting: int32(i.Waiting), Want: int32(i.Want),
		StartTime: durationpb.New(i.Start.P50), ServiceTime: durationpb.New(i.Service.P50),
		WaitP50: durationpb.New(c.WaitQuantile(.5)), WaitP99: durationpb.New(c.WaitQuantile(.99)),
		NextKnown: f.Known, NextExpectedIn: durationpb.New(f.Expect), Text: Function(i, f),
	}
	if s := Standing(&f, m); s != "" {
		st.Text += "; " + s
	}
	if i.Failures > 0 {
		st.LastReason = "its last start failed: " + i.LastFailure
	}
	return st
}

// Function says in words how a function stands and what is expected of it.
func Function(i *dispatcher.FunctionInfo, f prewarm.Forecast) string {
	c := &i.Count
	s := fmt.Sprintf("%s: %d calls, %d warm, %d waited, %d cold; %s ready (%d idle), %d starting, %s wanted", i.Function.Name,
		c.Warm+c.Waited+c.Cold, c.Warm, c.Waited, c.Cold, count(int32(i.Ready), "container", "containers"), i.Idle, i.Starting,
		count(int32(i.Want), "level", "levels"))
	if i.Start.N > 0 {
		s += fmt.Sprintf("; a start takes %s", Duration(i.Start.P50))
	}
	if i.Service.N > 0 {
		s += fmt.Sprintf(", a call %s", Duration(i.Service.P50))
	}
	if law := model(dispatcher.StartContainer, &f.Why); law != "" {
		s += "; " + law
	}
	if cost := prices(&f.Why); cost != "" {
		s += "; " + cost
	}
	if i.Failures > 0 {
		s += fmt.Sprintf("; its last %s failed: %s; the next is tried in %s", count(int32(i.Failures), "start", "starts"), i.LastFailure, Duration(i.RetryIn))
	}
	return s
}

func (s *Service) decision(r *serve.Record) *forewarmv1.Decision {
	o := &r.Order
	d := &forewarmv1.Decision{Seq: r.Seq, At: timestamppb.New(s.Shell.At(r.At)), Kind: o.Kind.String(), Text: Order(o), Reason: reason(&o.Why),
		Account: o.Account, Container: o.ContainerID}
	if o.Node != nil {
		d.Node = o.Node.ID
	}
	if o.Function != nil {
		d.Account, d.Function = o.Function.Account, o.Function.Name
	}
	if d.Container == "" {
		d.Container = o.Spec.Name
	}
	return d
}

func reason(r *dispatcher.Reason) *forewarmv1.Reason {
	return &forewarmv1.Reason{
		Cause: r.Cause.String(), Model: r.Model.String(), Level: r.Level, Waiting: r.Waiting, Leased: r.Leased, Ready: r.Ready, Starting: r.Starting,
		Want: r.Want, Idle: durationpb.New(r.Idle), ExpectedIn: durationpb.New(r.Expect), Probability: r.Prob, Lead: durationpb.New(r.Lead),
		Kappa: durationpb.New(r.Kappa), CostHold: r.Hold, CostDrop: r.Drop, Clip: r.Clip.String(), Horizon: durationpb.New(r.Horizon),
		Units: int64(r.Units), MemoryBytes: r.Memory,
	}
}

// Forecasts tells what is expected of functions and nodes.
func (s *Service) Forecasts(_ context.Context, r *forewarmv1.ForecastsRequest) (*forewarmv1.ForecastsReply, error) {
	if s.Planner == nil {
		return nil, status.Error(codes.FailedPrecondition, "this scheduler runs without a planner: there are no forecasts")
	}
	reply := &forewarmv1.ForecastsReply{}
	s.Planner.View(func(p *prewarm.Planner) {
		p.Forecasts(s.Shell.Now(), func(f prewarm.Forecast) bool {
			if match(r.GetFunction(), f.Name) {
				reply.Forecasts = append(reply.Forecasts, forecast(&f))
			}
			return true
		})
		n := p.Nodes()
		reply.Nodes = &forewarmv1.NodeForecast{Nodes: int32(n.Need), Want: int32(n.Want), MemoryMeanBytes: float64(n.Demand),
			MemoryQuantileBytes: math.Max(n.Ahead, float64(n.Demand)), Quantile: .5, Horizon: durationpb.New(n.Horizon),
			Text: fmt.Sprintf("%s wanted; %s", count(int32(n.Want), "node is", "nodes are"), Reason(dispatcher.ReserveNode, &n.Why))}
	})
	if r.GetFunction() != "" && len(reply.Forecasts) == 0 {
		return nil, status.Error(codes.NotFound, s.unknown(r.GetFunction()))
	}
	return reply, nil
}

func forecast(f *prewarm.Forecast) *forewarmv1.Forecast {
	return &forewarmv1.Forecast{
		Account: f.Account, Function: f.Name, Model: f.Why.Model.String(), RatePerSecond: f.Rate, DemandMean: f.Busy,
		DemandQ90: float64(f.Busy90), DemandQ99: float64(f.Busy99), Horizon: durationpb.New(f.Why.Lead), Want: int32(f.Want),
		NextKnown: f.Known, NextExpectedIn: durationpb.New(f.Expect), GapsSeen: int64(f.Why.Gaps),
	}
}

// Decisions streams orders with their reasons, from the backlog on.
func (s *Service) Decisions(r *forewarmv1.DecisionsRequest, stream grpc.ServerStreamingServer[forewarmv1.Decision]) error {
	records := s.Shell.Records()
	seq := records.Last()
	seq -= min(seq, uint64(r.GetBacklog()))
	for {
		rs, more := records.Since(seq)
		for i := range rs {
			seq = rs[i].Seq
			if !concerns(&rs[i].Order, r.GetFunction(), "") {
				continue
			}
			if err := stream.Send(s.decision(&rs[i])); err != nil {
				return err
			}
		}
		if !r.GetFollow() {
			return nil
		}
		select {
		case <-more:
		case <-stream.Context().Done():
			return nil
		}
	}
}
