package serve

import (
	"testing"
	"time"

	"github.com/forewarm/forewarm/dispatcher"
)

func seqs(rs []Record) []uint64 {
	var out []uint64
	for _, r := range rs {
		out = append(out, r.Seq)
	}
	return out
}

func TestRecordsForgetTheOldest(t *testing.T) {
	r := newRecords(3)
	if rs, _ := r.Since(0); len(rs) != 0 || r.Last() != 0 {
		t.Errorf("records of nothing: %v, last %d", rs, r.Last())
	}
	for i := range 5 {
		r.add(time.Duration(i), &dispatcher.Order{ID: uint64(100 + i)})
	}
	for _, tt := range []struct {
		since uint64
		want  []uint64
	}{{0, []uint64{3, 4, 5}}, {2, []uint64{3, 4, 5}}, {3, []uint64{4, 5}}, {5, nil}, {99, nil}} {
		rs, _ := r.Since(tt.since)
		got := seqs(rs)
		if len(got) != len(tt.want) {
			t.Errorf("Since(%d) of 5 records in a ring of 3: %v, want %v", tt.since, got, tt.want)
			continue
		}
		for i := range got {
			if got[i] != tt.want[i] || rs[i].Order.ID != 99+got[i] || rs[i].At != time.Duration(got[i]-1) {
				t.Errorf("Since(%d): record %d is %+v, want number %d with order %d", tt.since, i, rs[i], tt.want[i], 99+tt.want[i])
			}
		}
	}
}

// A reader that follows sees every record once, whenever it looks.
func TestRecordsAreFollowed(t *testing.T) {
	const n = 1000
	r := newRecords(n)
	go func() {
		for range n {
			r.add(0, &dispatcher.Order{})
		}
	}()
	for seq := uint64(0); seq < n; {
		rs, more := r.Since(seq)
		for i := range rs {
			if seq++; rs[i].Seq != seq {
				t.Fatalf("record %d came where %d was due", rs[i].Seq, seq)
			}
		}
		if seq < n {
			<-more
		}
	}
}
