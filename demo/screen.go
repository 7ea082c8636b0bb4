package demo

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"
	"charm.land/lipgloss/v2"
)

// refresh is how often the screen and the plain lines are brought up to date.
const refresh = 250 * time.Millisecond

// screen is the live table, on bubbletea.
type screen struct {
	snapshot func() snapshot
	stop     context.CancelFunc // ends the demo early
	last     snapshot
	width    int
	leaving  bool
}

type tickMsg struct{}
type doneMsg struct{}

func (m screen) Init() tea.Cmd { return tick() }

func tick() tea.Cmd { return tea.Tick(refresh, func(time.Time) tea.Msg { return tickMsg{} }) }

func (m screen) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	switch msg := msg.(type) {
	case tea.WindowSizeMsg:
		m.width = msg.Width
	case tea.KeyPressMsg:
		if s := msg.String(); s == "q" || s == "ctrl+c" || s == "esc" {
			m.leaving = true
			m.stop()
		}
	case tickMsg:
		m.last = m.snapshot()
		return m, tick()
	case doneMsg:
		m.last = m.snapshot()
		return m, tea.Quit
	}
	return m, nil
}

func (m screen) View() tea.View {
	v := tea.NewView(render(m.last, max(m.width, 80), m.leaving))
	v.WindowTitle = "forewarm demo"
	return v
}

var (
	bold  = lipgloss.NewStyle().Bold(true)
	faint = lipgloss.NewStyle().Faint(true)
	good  = lipgloss.NewStyle().Foreground(lipgloss.Color("2"))
	bad   = lipgloss.NewStyle().Foreground(lipgloss.Color("1"))
)

// Widths of the table's parts: the function, either side, and the last reason where the terminal has room for it.
const (
	nameWidth, leftWidth, rightWidth = 30, 44, 34
	reasonWidth                      = 36
)

// render draws a snapshot as text of the given width.
func render(s snapshot, width int, leaving bool) string {
	var b strings.Builder
	wide := width >= nameWidth+leftWidth+rightWidth+reasonWidth
	fmt.Fprintf(&b, "%s  %s of %s, %s   %s\n", bold.Render("forewarm demo"), clock(s.at), clock(s.length), phase(&s, leaving),
		faint.Render(fmt.Sprintf("a cold start is priced at kappa = %s and takes about 0.8 s; q ends", s.kappa)))
	fmt.Fprintf(&b, "%-*s│%s│%s\n", nameWidth, "", center("predictive: laws of idle gaps", leftWidth), center("reactive: kappa + a start", rightWidth))
	head := fmt.Sprintf("%-10s %-19s│%6s %5s %13s %5s %11s│%6s %5s %13s %5s ", "function", "calls come",
		"calls", "cold", "p50/p99 ms", "warm", "next call", "calls", "cold", "p50/p99 ms", "warm")
	if wide {
		head += "│ last decision, predictive"
	}
	b.WriteString(faint.Render(head) + "\n")
	for i := range s.rows {
		b.WriteString(renderRow(&s.rows[i], wide) + "\n")
	}
	l, r := &s.total[0], &s.total[1]
	fmt.Fprintf(&b, "%s│%6d %5d %13s %5d %11s│%6d %5d %13s %5d   %s\n", bold.Render(pad("all", nameWidth)), l.calls, l.cold, waits(l), l.ready, nodes(*l),
		r.calls, r.cold, waits(r), r.ready, nodes(*r))
	b.WriteString(faint.Render("last decisions of the predictive side, newest first") + "\n")
	for _, r := range s.reasons {
		b.WriteString(cut(r, width) + "\n")
	}
	return b.String()
}

func phase(s *snapshot, leaving bool) string {
	switch {
	case leaving || s.at >= s.length:
		return "clearing up"
	case s.at >= s.learn:
		return "scored"
	}
	return "learning, not scored yet"
}

func renderRow(r *snapshotRow, wide bool) string {
	l, q := &r.side[0], &r.side[1]
	line := fmt.Sprintf("%-10s %-19s│%6d %s %13s %5s %11s│%6d %s %13s %5s ", r.name, r.about,
		l.calls, colour(fmt.Sprintf("%5d", l.cold), l.cold < q.cold, l.cold > q.cold), waits(l), warmth(*l), r.next,
		q.calls, colour(fmt.Sprintf("%5d", q.cold), q.cold < l.cold, q.cold > l.cold), waits(q), warmth(*q))
	if wide {
		line += "│ " + r.reason
	}
	return line
}

// waits are the quantiles of the waits so far, milliseconds.
func waits(s *sideRow) string {
	return fmt.Sprintf("%d/%d", s.p50.Milliseconds(), s.p99.Milliseconds())
}

func colour(s string, isGood, isBad bool) string {
	switch {
	case isGood:
		return good.Render(s)
	case isBad:
		return bad.Render(s)
	}
	return s
}

// warmth shows ready containers, and those starting behind a plus.
func warmth(s sideRow) string {
	if s.starting > 0 {
		return fmt.Sprintf("%d+%d", s.ready, s.starting)
	}
	return fmt.Sprint(s.ready)
}

func nodes(s sideRow) string {
	if s.nodes == 1 {
		return "1 node"
	}
	return fmt.Sprintf("%d nodes", s.nodes)
}

func clock(d time.Duration) string { return d.Truncate(time.Second).String() }

func center(s string, n int) string {
	left := max(0, n-len(s)) / 2
	return pad(strings.Repeat(" ", left)+s, n)
}

func pad(s string, n int) string { return s + strings.Repeat(" ", max(0, n-len(s))) }

func cut(s string, n int) string {
	if r := []rune(s); len(r) > n {
		return string(r[:n-1]) + "…"
	}
	return s
}

// show runs the live table until the demo is over; where out is no terminal, or plain is asked for, it writes a
// line every few seconds instead.
func show(ctx context.Context, out io.Writer, plain bool, stop context.CancelFunc, take func() snapshot) func() {
	if plain {
		return showPlain(ctx, out, take)
	}
	p := tea.NewProgram(screen{snapshot: take, stop: stop, width: 100}, tea.WithOutput(out))
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if _, err := p.Run(); err != nil {
			fmt.Fprintf(out, "the live table is off: %v\n", err)
		}
	}()
	return func() {
		p.Send(doneMsg{})
		<-ended
	}
}

const plainEvery = 5 * time.Second

func showPlain(ctx context.Context, out io.Writer, take func() snapshot) func() {
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		t := time.NewTicker(plainEvery)
		defer t.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-t.C:
				s := take()
				p, r := s.total[0], s.total[1]
				fmt.Fprintf(out, "%5s  calls %d  predictive: %d cold, %d warm containers, %s  reactive: %d cold, %d warm containers, %s\n",
					clock(s.at), p.calls, p.cold, p.ready, nodes(p), r.cold, r.ready, nodes(r))
				if len(s.reasons) > 0 {
					fmt.Fprintf(out, "       %s\n", s.reasons[0])
				}
			}
		}
	}()
	return func() { cancel(); <-ended }
}
