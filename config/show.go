package config

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
)

// Item is one setting with its value.
type Item struct {
	Name   string
	Value  string // as it would be written, except that secrets are masked; "" for none
	Origin Origin
	Live   bool // may change while the scheduler runs

	raw string // the value with its secrets, to tell whether it changed; never printed
}

// Items lists every setting in the order of the documentation, and then what was given for functions and accounts,
// by name.
func (c *Config) Items() []Item {
	items := itemsOf(nil, c, "", settings(), c, true)
	for _, name := range slices.Sorted(maps.Keys(c.Functions)) {
		f := c.Functions[name]
		full := "functions." + name
		items = itemsOf(items, c, full+".", functionSettings(), &f, false)
		if len(f.Calendar) > 0 {
			v := formatCalendar(f.Calendar)
			items = append(items, Item{Name: full + ".calendar", Value: v, Origin: c.origins[full+".calendar"], Live: true, raw: v})
		}
	}
	for _, name := range slices.Sorted(maps.Keys(c.Accounts)) {
		a := c.Accounts[name]
		items = itemsOf(items, c, "accounts."+name+".", accountSettings(), &a, false)
	}
	return items
}

// itemsOf appends the settings of one table: all, or those that were given.
func itemsOf[T any](items []Item, c *Config, before string, rows []row[T], t *T, all bool) []Item {
	for _, r := range rows {
		name := before + r.name
		origin, given := c.origins[name]
		if !given && !all {
			continue
		}
		it := Item{Name: name, Value: r.format(r.at(t)), Origin: origin, Live: r.live}
		if it.raw = it.Value; r.kind == kindURL || r.kind == kindFileOrURL {
			it.raw = *r.at(t).(*string)
		}
		items = append(items, it)
	}
	return items
}

// formatCalendar writes windows as a file does, in one line.
func formatCalendar(ws []Window) string {
	var b strings.Builder
	for i, w := range ws {
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "{cron: %q, duration: %s", w.Cron, formatDuration(w.Duration))
		if w.Min > 0 {
			fmt.Fprintf(&b, ", min: %d", w.Min)
		}
		if w.Max > 0 {
			fmt.Fprintf(&b, ", max: %d", w.Max)
		}
		fmt.Fprintf(&b, ", zone: %s}", w.Zone)
	}
	return "[" + b.String() + "]"
}

// Show writes every setting with its value and where that came from.
func (c *Config) Show(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "SETTING\tORIGIN\tVALUE") // values last, since some are long
	for _, it := range c.Items() {
		fmt.Fprintf(w, "%s\t%v\t%s\n", it.Name, it.Origin, orNone(it.Value))
	}
	return w.Flush()
}

// orNone is what stands for no value where a table must show one.
func orNone(value string) string {
	if value == "" {
		return "-"
	}
	return value
}

// Change is one setting whose value is another now. Secrets are masked.
type Change struct {
	Name          string
	Before, After string // "" for none
	Origin        Origin // of what it is now; the default's where it was removed
	Live          bool   // may change while the scheduler runs
}

// String gives the setting, before and after, and where the new value stands.
func (c Change) String() string {
	if c.Before == c.After {
		return fmt.Sprintf("%s: %s, of which a hidden part changed (%v)", c.Name, orNone(c.After), c.Origin)
	}
	return fmt.Sprintf("%s: %s -> %s (%v)", c.Name, orNone(c.Before), orNone(c.After), c.Origin)
}

// Diff lists what is different in b, in the order of Items. Where a value stands is no difference.
func Diff(a, b *Config) []Change {
	before := map[string]Item{}
	for _, it := range a.Items() {
		before[it.Name] = it
	}
	var changes []Change
	for _, it := range b.Items() {
		was, ok := before[it.Name]
		delete(before, it.Name)
		if !ok || was.raw != it.raw {
			changes = append(changes, Change{Name: it.Name, Before: was.Value, After: it.Value, Origin: it.Origin, Live: it.Live})
		}
	}
	for _, name := range slices.Sorted(maps.Keys(before)) {
		changes = append(changes, Change{Name: name, Before: before[name].Value, Live: before[name].Live})
	}
	return changes
}
