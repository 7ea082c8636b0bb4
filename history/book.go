package history

import (
	"cmp"
	"iter"
	"slices"
	"strings"
	"time"
)

// row is so many calls from a time on.
type row struct {
	at      time.Duration // on the scale of the run
	service time.Duration
	count   int64
}

type key struct{ account, name string }

// pages are one function's rows.
type pages struct {
	rows    []row
	service time.Duration // of those that tell none; 0: Options.Service
}

// untimed is the service of a row that tells none.
const untimed = -1

// book collects rows by function, and no more of them than it may.
type book struct {
	opts   Options
	m      map[key]*pages
	rows   int // in all
	most   int // of one function
	report Report
}

func newBook(o Options) *book { return &book{opts: o, m: map[key]*pages{}, most: o.MaxCalls} }

// add enters a row. Names may share memory with a line.
func (b *book) add(account, name string, at time.Time, service time.Duration, count int64) {
	r := row{at: at.Sub(b.opts.Epoch), service: service, count: count}
	b.report.Rows++
	if r.at > 0 {
		b.report.Future++
		return
	}
	p := b.m[key{account, name}]
	if p == nil {
		if len(b.m) >= b.opts.MaxFunctions {
			b.report.Beyond++
			return
		}
		p = &pages{}
		b.m[key{strings.Clone(account), strings.Clone(name)}] = p
	}
	p.rows = append(p.rows, r)
	b.rows++
	if len(p.rows) >= 2*b.most {
		b.trim(p)
	}
	for b.rows > b.opts.MaxRows && b.most > 1 {
		b.most /= 2
		for _, p := range b.m {
			b.trim(p)
		}
	}
}

// trim keeps the latest rows.
func (b *book) trim(p *pages) {
	over := len(p.rows) - b.most
	if over <= 0 {
		return
	}
	p.sort()
	for _, r := range p.rows[:over] {
		b.report.Dropped += int(r.count)
	}
	p.rows = slices.Clone(p.rows[over:])
	b.rows -= over
}

func (p *pages) sort() {
	slices.SortStableFunc(p.rows, func(a, b row) int { return cmp.Compare(a.at, b.at) })
}

// functions closes the book.
func (b *book) functions() []Function {
	keys := make([]key, 0, len(b.m))
	for k := range b.m {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b key) int { return cmp.Or(cmp.Compare(a.account, b.account), cmp.Compare(a.name, b.name)) })
	var out []Function
	first, last := time.Duration(0), time.Duration(0)
	for _, k := range keys {
		p := b.m[k]
		n := b.close(p)
		if n == 0 {
			continue
		}
		if len(out) == 0 {
			first, last = p.rows[0].at, p.rows[len(p.rows)-1].at
		}
		first, last = min(first, p.rows[0].at), max(last, p.rows[len(p.rows)-1].at)
		out = append(out, Function{k.account, k.name, p.calls(b.opts.Step)})
		b.report.Calls += n
	}
	b.report.Functions = len(out)
	if b.report.From.IsZero() && len(out) > 0 {
		b.report.From, b.report.Until = b.opts.Epoch.Add(first), b.opts.Epoch.Add(last)
	}
	return out
}

// close brings a function's rows in order, keeps the latest calls, and says how many there are.
func (b *book) close(p *pages) (calls int) {
	b.trim(p)
	p.sort()
	for i := len(p.rows) - 1; i >= 0; i-- {
		r := &p.rows[i]
		if r.service == untimed {
			if r.service = p.service; r.service == 0 {
				r.service = b.opts.Service
			}
		}
		if room := int64(b.opts.MaxCalls - calls); r.count > room {
			b.report.Dropped += int(r.count - room)
			r.count = room
		}
		calls += int(r.count)
	}
	return calls
}

// calls yields each call of the rows. Those of a row with a count are spread evenly over the step, at most until the
// next row.
func (p *pages) calls(step time.Duration) iter.Seq2[time.Duration, time.Duration] {
	return func(yield func(start, service time.Duration) bool) {
		for i := range p.rows {
			r := &p.rows[i]
			span := min(step, -r.at)
			if i+1 < len(p.rows) {
				span = min(span, p.rows[i+1].at-r.at)
			}
			for k := range r.count {
				at := r.at
				if r.count > 1 {
					at += time.Duration((float64(k) + .5) / float64(r.count) * float64(span))
				}
				if !yield(at, r.service) {
					return
				}
			}
		}
	}
}
