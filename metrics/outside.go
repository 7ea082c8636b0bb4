package metrics

import (
	"fmt"
	"net"
	"strings"
	"time"

	vm "github.com/VictoriaMetrics/metrics"
	"google.golang.org/grpc/codes"

	"github.com/forewarm/forewarm/dispatcher"
)

// Outside counts what happens around the core: orders on their way to the cluster, readings of nodes, the disk, the
// ports, the log. The core cannot know of these, since it does none of them.
//
// A nil Outside counts nothing, so that no caller has to check. All its methods are safe for concurrent use, and
// those that a call passes through do not allocate.
//
// Its histograms are counters with fixed bounds, see [buckets]: VictoriaMetrics' own kind (vmrange) is finer, but
// Prometheus's histogram_quantile does not read it, and there is to be one exposition for all. The library has classic
// buckets of its own in 1.44. As it is loaded, that also writes a line to standard error where the kernel tells no
// pressure (PSI), and every container and node is this program too: hence 1.35.
type Outside struct {
	set *vm.Set // what is in it is told by a Collector, see fold.go

	orders       [orderKinds]results
	took         [orderKinds]buckets // seconds of the orders that went well
	waits        [2]buckets          // seconds; of waited, and of cold calls
	readings     results
	used         *vm.Gauge // bytes
	writes       results
	changes      *vm.Counter
	writeTook    buckets // seconds of the writes that went well
	grpc         [2][grpcCodes]*vm.Counter
	http         [4]*vm.Counter // 2xx to 5xx
	refused      [2]*vm.Counter // Unauthenticated, PermissionDenied
	crowded      [2]*vm.Counter // by Port
	suppressed   *vm.Counter
	reloads      results
	lastReloadOK *vm.Gauge // 0 or 1
	pushes       results
}

const (
	orderKinds = int(dispatcher.ReleaseNode) + 1
	grpcCodes  = int(codes.Unauthenticated) + 1
)

// results tells apart what went well and what did not.
type results struct{ ok, failed *vm.Counter }

func (r *results) count(err error) {
	if err != nil {
		r.failed.Inc()
		return
	}
	r.ok.Inc()
}

// NewOutside makes an Outside that shows every series from the start, with zero: a counter that appears with its
// first event hides that event from rate().
func NewOutside() *Outside {
	s := vm.NewSet()
	o := &Outside{
		set:          s,
		readings:     newResults(s, nodeReadings),
		used:         s.NewGauge(nodeMemoryUsed.Name, nil),
		writes:       newResults(s, stateWrites),
		changes:      s.NewCounter(stateChanges.Name),
		writeTook:    newBuckets(s, stateWriteSeconds),
		suppressed:   s.NewCounter(linesSuppressed.Name),
		reloads:      newResults(s, configReloads),
		lastReloadOK: s.NewGauge(configLastReloadOK.Name, nil),
		pushes:       newResults(s, pushes),
	}
	o.lastReloadOK.Set(1)
	for k, kind := range orderSeconds.Values {
		o.orders[k] = newResults(s, orders, "kind", kind)
		o.took[k] = newBuckets(s, orderSeconds, "kind", kind)
	}
	for k, start := range edgeWaits.Values {
		o.waits[k] = newBuckets(s, edgeWaits, "start", start)
	}
	for p := range o.grpc {
		for c, code := range grpcCalls.Values {
			o.grpc[p][c] = s.NewCounter(seriesName(grpcCalls.Name, "port", Port(p).String(), "code", code))
		}
	}
	for k, code := range httpRequests.Values {
		o.http[k] = s.NewCounter(seriesName(httpRequests.Name, "code", code))
	}
	for k, reason := range adminRefused.Values {
		o.refused[k] = s.NewCounter(seriesName(adminRefused.Name, "reason", reason))
	}
	for p, port := range connectionsRefused.Values {
		o.crowded[p] = s.NewCounter(seriesName(connectionsRefused.Name, "port", port))
	}
	return o
}

func newResults(s *vm.Set, m Metric, labels ...string) results {
	with := func(result string) *vm.Counter {
		return s.NewCounter(seriesName(m.Name, append(labels[:len(labels):len(labels)], "result", result)...))
	}
	return results{ok: with("ok"), failed: with("failed")}
}

// seriesName names a series by its labels and their values in turn.
func seriesName(name string, labels ...string) string {
	if len(labels) == 0 {
		return name
	}
	var b strings.Builder
	for i := 0; i < len(labels); i += 2 {
		fmt.Fprintf(&b, ",%s=%q", labels[i], labels[i+1])
	}
	return name + "{" + b.String()[1:] + "}"
}

// Order counts an order that was carried out, or was not. An order that found nothing left to do went well.
func (o *Outside) Order(k dispatcher.OrderKind, took time.Duration, err error) {
	if o == nil {
		return
	}
	o.orders[k].count(err)
	if err == nil {
		o.took[k].add(took)
	}
}

// Waited counts the wait of a call that was served. Warm calls have none and are passed over.
func (o *Outside) Waited(how dispatcher.Served, wait time.Duration) {
	if o == nil || how == dispatcher.Warm {
		return
	}
	o.waits[how-dispatcher.Waited].add(wait)
}

// Readings counts one round of reading the nodes: how many answered, how many did not, and how many bytes of memory
// are used on those that did.
func (o *Outside) Readings(ok, failed int, used int64) {
	if o == nil {
		return
	}
	o.readings.ok.Add(ok)
	o.readings.failed.Add(failed)
	o.used.Set(float64(used))
}

// StateWrite counts a batch of changes that was written to the disk, or was not. It is a store's Note.
func (o *Outside) StateWrite(changes int, took time.Duration, err error) {
	if o == nil {
		return
	}
	o.writes.count(err)
	if err == nil {
		o.changes.Add(changes)
		o.writeTook.add(took)
	}
}

// AdminRefused counts a call or a request of a page that was refused for its token. It is a guard's Failed, which
// knows two codes.
func (o *Outside) AdminRefused(code codes.Code) {
	if o == nil {
		return
	}
	o.refused[b2i(code == codes.PermissionDenied)].Inc()
}

// ConnectionRefused counts a connection beyond the most that a port takes. Its result is a listener's Refused.
func (o *Outside) ConnectionRefused(p Port) func(net.Addr) {
	if o == nil {
		return func(net.Addr) {}
	}
	return func(net.Addr) { o.crowded[p].Inc() }
}

// Suppressed counts lines that were not logged because their like had just been.
func (o *Outside) Suppressed(lines int) {
	if o == nil {
		return
	}
	o.suppressed.Add(lines)
}

// Reload counts a reading of the configuration while running. When it failed, the old one stays in force.
func (o *Outside) Reload(err error) {
	if o == nil {
		return
	}
	o.reloads.count(err)
	o.lastReloadOK.Set(float64(b2i(err == nil)))
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}
