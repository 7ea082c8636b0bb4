package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/forewarm/forewarm/console"
	"github.com/forewarm/forewarm/dispatcher"
	"github.com/forewarm/forewarm/prewarm"
)

// Kappa is the demo's price of a cold start. Its time is short, so its price is too: with a minute's worth nothing
// would ever be dropped.
const Kappa = 4 * time.Second

// Options tunes a demo. Out is required.
type Options struct {
	For   time.Duration // length of the load. Default 45 s
	Learn time.Duration // at its beginning, not scored. Default 20 s
	JSON  string        // file for the report; "" for none
	Plain bool          // lines instead of a live table
	Seed  uint64        // of the load. Default 1
	Out   io.Writer
	Log   *slog.Logger // default: none
}

func (o Options) withDefaults() (Options, error) {
	if o.For == 0 {
		o.For = 45 * time.Second
	}
	if o.Learn == 0 {
		o.Learn = 20 * time.Second
	}
	if o.Seed == 0 {
		o.Seed = 1
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Learn < 0 || o.For <= o.Learn {
		return o, fmt.Errorf("demo: it lasts %v and the first %v are for learning: nothing is left to score; give a longer --for", o.For, o.Learn)
	}
	return o, nil
}

// demo is a run.
type demo struct {
	opts   Options
	shapes []shape
	calls  []call
	sides  [2]*side // predictive, reactive
	began  time.Time
	learnt [2]spent // by the end of the learning phase
}

// Run plays the load against both clusters and compares them. When ctx ends early, what was seen so far is compared.
func Run(ctx context.Context, o Options) error {
	o, err := o.withDefaults()
	if err != nil {
		return err
	}
	d := &demo{opts: o, shapes: shapes()}
	d.calls = load(d.shapes, o.Seed, o.For)
	if err := d.open(); err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	d.began = time.Now()
	hide := show(ctx, o.Out, o.Plain, stop, d.snapshot)
	d.play(ctx)
	report := d.report()
	err = d.close()
	hide()
	report.Words(o.Out, Kappa, o.Learn)
	if o.JSON != "" {
		err = errors.Join(err, report.WriteJSON(o.JSON))
	}
	return err
}

func (d *demo) open() (err error) {
	c := functions(d.shapes)
	for i, p := range []struct {
		name   string
		policy dispatcher.Model
	}{{"predictive", dispatcher.ModelGap}, {"reactive", dispatcher.ModelReactive}} {
		if d.sides[i], err = newSide(p.name, p.policy, c, &d.opts); err != nil {
			return errors.Join(err, d.close())
		}
	}
	return nil
}

func (d *demo) close() error {
	var wg sync.WaitGroup
	var errs [2]error
	for i, s := range d.sides {
		if s != nil {
			wg.Go(func() { errs[i] = s.close() })
		}
	}
	wg.Wait()
	return errors.Join(errs[:]...)
}

// play makes every call at its time, on both sides at once, and waits for the last.
func (d *demo) play(ctx context.Context) {
	var wg sync.WaitGroup
	learnt := false
	for _, c := range d.calls {
		if !learnt && c.at >= d.opts.Learn {
			learnt = true
			d.markLearnt()
		}
		if !sleepUntil(ctx, d.began.Add(c.at)) {
			break
		}
		for _, s := range d.sides {
			wg.Go(func() { s.call(context.WithoutCancel(ctx), c, d.shapes[c.fn].name) })
		}
	}
	sleepUntil(ctx, d.began.Add(d.opts.For))
	if !learnt {
		d.markLearnt()
	}
	wg.Wait()
}

func (d *demo) markLearnt() {
	for i, s := range d.sides {
		d.learnt[i] = spentBy(s.sched.Shell.Core(), s.sched.Shell.Now())
	}
}

func sleepUntil(ctx context.Context, t time.Time) bool {
	timer := time.NewTimer(time.Until(t))
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

func (d *demo) report() *Report {
	var r [2]Result
	for i, s := range d.sides {
		all := spentBy(s.sched.Shell.Core(), s.sched.Shell.Now())
		r[i].Learning = s.tally.score(0, d.shapes, d.learnt[i], Kappa)
		r[i].Score = s.tally.score(1, d.shapes, all.minus(d.learnt[i]), Kappa)
	}
	return &Report{Predictive: r[0], Reactive: r[1]}
}

// snapshot is what the screen shows.
type snapshot struct {
	at, length, learn, kappa time.Duration
	rows                     []snapshotRow
	total                    [2]sideRow
	reasons                  []string
}

type snapshotRow struct {
	name, about  string
	next, reason string // what is expected, and why the predictive side last acted
	side         [2]sideRow
}

type sideRow struct {
	calls, cold     int
	p50, p99        time.Duration
	ready, starting int
	nodes           int
}

func (d *demo) snapshot() snapshot {
	s := snapshot{at: min(time.Since(d.began), d.opts.For), length: d.opts.For, learn: d.opts.Learn, kappa: Kappa, rows: make([]snapshotRow, len(d.shapes))}
	index := map[string]int{}
	for i, sh := range d.shapes {
		s.rows[i].name, s.rows[i].about = sh.name, sh.about
		index[sh.name] = i
	}
	for k, sd := range d.sides {
		sh := sd.sched.Shell
		var sum dispatcher.Counters
		sh.Core().Functions(sh.Now(), func(i *dispatcher.FunctionInfo) bool {
			at, ok := index[i.Function.Name]
			if !ok {
				return true
			}
			r := &s.rows[at].side[k]
			c := &i.Count
			*r = sideRow{calls: int(c.Warm + c.Waited + c.Cold), cold: int(c.Cold), p50: c.WaitQuantile(.5), p99: c.WaitQuantile(.99), ready: i.Ready, starting: i.Starting}
			sum.Warm += c.Warm
			sum.Waited += c.Waited
			sum.Cold += c.Cold
			for b := range c.Waits {
				sum.Waits[b] += c.Waits[b]
			}
			s.total[k].ready += i.Ready
			return true
		})
		t := &s.total[k]
		t.calls, t.cold, t.p50, t.p99 = int(sum.Warm+sum.Waited+sum.Cold), int(sum.Cold), sum.WaitQuantile(.5), sum.WaitQuantile(.99)
		t.nodes = len(sh.Core().Cluster(sh.Now()).Nodes)
	}
	d.expectations(&s, index)
	return s
}

// expectations adds what the predictive side expects and why it last acted.
func (d *demo) expectations(s *snapshot, index map[string]int) {
	sched := d.sides[0].sched
	sched.Controller.View(func(p *prewarm.Planner) {
		p.Forecasts(sched.Shell.Now(), func(f prewarm.Forecast) bool {
			if at, ok := index[f.Name]; ok && f.Known {
				s.rows[at].next = console.Duration(f.Expect.Round(100 * time.Millisecond))
			}
			return true
		})
	})
	records, _ := sched.Shell.Records().Since(0)
	for i := range records {
		if f := records[i].Order.Function; f != nil {
			s.rows[index[f.Name]].reason = console.Brief(&records[i].Order)
		}
	}
	for i := len(records) - 1; i >= max(0, len(records)-5); i-- {
		s.reasons = append(s.reasons, fmt.Sprintf("%6.1fs %s", (records[i].At-sched.Shell.Now()+time.Since(d.began)).Seconds(), console.Order(&records[i].Order)))
	}
}
