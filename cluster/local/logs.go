package local

import (
	"bufio"
	"io"
	"slices"
	"strings"
	"sync"
	"time"
)

// pieceBytes is the longest line that is kept whole.
const pieceBytes = 8 << 10

// behind is how many lines a follower may be behind before it misses some.
const behind = 1024

// line is one line of what a container printed.
type line struct {
	seq       uint64 // of the node, in order of arrival
	at        time.Time
	container string
	function  string
	text      string
	stderr    bool
}

// logbook keeps what the containers of a node print: a bounded tail of each that
// runs, and of the last few of each function that have ended.
type logbook struct {
	bytes int // per container
	ended int // per function

	mu        sync.Mutex
	seq       uint64
	running   map[string]*tail   // by container
	past      map[string][]*tail // by function, oldest first
	followers map[*follower]bool
}

// tail is the end of what one container printed, guarded by its logbook's mu.
type tail struct {
	container, function string

	lines []line
	bytes int
}

// follower gets the new lines of a function, or of all.
type follower struct {
	function string // empty: all
	lines    chan line
	missed   int // since the last line it got; guarded by the logbook's mu
}

func newLogbook(bytes, ended int) *logbook {
	return &logbook{
		bytes: bytes, ended: ended,
		running:   map[string]*tail{},
		past:      map[string][]*tail{},
		followers: map[*follower]bool{},
	}
}

// A container may print floodBytes within floodTime, with what its lines cost. If
// it prints more it has to wait, as it would for a slow terminal: else the node
// would spend its time on reading. One that has ended has nobody who could wait.
const (
	floodBytes = 256 << 10
	floodTime  = 50 * time.Millisecond
)

// read takes in what a container prints, until there is no more.
func (b *logbook) read(r io.Reader, container, function string, stderr bool, ended <-chan struct{}) {
	in := bufio.NewReaderSize(r, pieceBytes)
	var since time.Time
	for taken := 0; ; {
		piece, err := in.ReadSlice('\n') // bufio.ErrBufferFull: go on with the rest as a line of its own
		if text := strings.TrimRight(string(piece), "\r\n"); text != "" || len(piece) > 0 {
			b.add(line{at: time.Now(), container: container, function: function, text: strings.ToValidUTF8(text, "\ufffd"), stderr: stderr})
		}
		if err != nil && err != bufio.ErrBufferFull {
			return
		}
		if taken += len(piece) + lineCost; taken < floodBytes {
			continue
		}
		select {
		case <-time.After(time.Until(since.Add(floodTime))): // at once if that is past
		case <-ended:
		}
		since, taken = time.Now(), 0
	}
}

func (b *logbook) add(l line) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.seq++
	l.seq = b.seq
	t := b.running[l.container]
	if t == nil {
		t = &tail{container: l.container, function: l.function}
		b.running[l.container] = t
	}
	t.lines = append(t.lines, l)
	t.bytes += len(l.text) + lineCost
	for t.bytes > b.bytes && len(t.lines) > 1 {
		t.bytes -= len(t.lines[0].text) + lineCost
		t.lines = t.lines[1:]
	}
	for f := range b.followers {
		f.offer(l)
	}
}

// lineCost is about what a line occupies beside its text.
const lineCost = 64

// offer never blocks: a slow reader must not hold up a container.
func (f *follower) offer(l line) {
	if f.function != "" && f.function != l.function {
		return
	}
	select {
	case f.lines <- l:
	default:
		f.missed++
	}
}

// end moves a container's lines to those of the ended ones.
func (b *logbook) end(container string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	t := b.running[container]
	if t == nil {
		return
	}
	delete(b.running, container)
	past := append(b.past[t.function], t)
	b.past[t.function] = past[max(0, len(past)-b.ended):]
}

// last gives the newest n lines of a function (empty: of all), oldest first; all for n = 0.
func (b *logbook) last(function string, n int) []line {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.lastLocked(function, n)
}

func (b *logbook) lastLocked(function string, n int) []line {
	var all []line
	for _, t := range b.running {
		if function == "" || t.function == function {
			all = append(all, t.lines...)
		}
	}
	for f, tails := range b.past {
		if function == "" || f == function {
			for _, t := range tails {
				all = append(all, t.lines...)
			}
		}
	}
	slices.SortFunc(all, func(x, y line) int { return int(x.seq) - int(y.seq) })
	if n > 0 {
		all = all[max(0, len(all)-n):]
	}
	return all
}

// follow gives the last lines, and a follower for all after them. Unfollow it.
func (b *logbook) follow(function string, n int) ([]line, *follower) {
	b.mu.Lock()
	defer b.mu.Unlock()
	f := &follower{function: function, lines: make(chan line, behind)}
	b.followers[f] = true
	return b.lastLocked(function, n), f
}

// missed tells how many lines a follower did not get since it was last asked.
func (b *logbook) missed(f *follower) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := f.missed
	f.missed = 0
	return n
}

func (b *logbook) unfollow(f *follower) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.followers, f)
}

// words gives the newest lines of a container in one string of at most about limit bytes.
func (b *logbook) words(container string, limit int) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	t := b.findLocked(container)
	if t == nil {
		return ""
	}
	first, size := len(t.lines), 0
	for first > 0 && size+len(t.lines[first-1].text) <= limit {
		first--
		size += len(t.lines[first].text) + 1
	}
	var texts []string
	for _, l := range t.lines[first:] {
		texts = append(texts, l.text)
	}
	return strings.Join(texts, "\n")
}

func (b *logbook) findLocked(container string) *tail {
	if t := b.running[container]; t != nil {
		return t
	}
	for _, tails := range b.past {
		for _, t := range tails {
			if t.container == container {
				return t
			}
		}
	}
	return nil
}
