package local

import "time"

// meter turns a growing processor time into percent of one processor.
type meter struct {
	at      time.Time
	cpu     time.Duration
	percent float64 // between the last two readings that were far enough apart
}

// read takes a reading; it counts, and returns true, if the last one is at least
// gap ago. The first one only begins the measurement.
func (m *meter) read(now time.Time, cpu, gap time.Duration) bool {
	if m.at.IsZero() {
		m.at, m.cpu = now, cpu
		return false
	}
	passed := now.Sub(m.at)
	if passed < gap {
		return false
	}
	m.percent = max(0, 100*float64(cpu-m.cpu)/float64(passed))
	m.at, m.cpu = now, cpu
	return true
}
