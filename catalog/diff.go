package catalog

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// What a Change does to a function.
const (
	Added   = "added"
	Changed = "changed"
	Removed = "removed"
)

// Change is what became of one function between two catalogs.
type Change struct {
	Function string  `json:"function"`
	Kind     string  `json:"kind"` // Added, Changed or Removed
	Fields   []Field `json:"fields,omitempty"`
}

// Field is one key of a function before and after, as a file would say it; "" where it was not there.
type Field struct {
	Name   string `json:"name"` // such as memory, or env LEVEL
	Before string `json:"before,omitempty"`
	After  string `json:"after,omitempty"`
}

// String is a line for people, and for a removed function no more than its name. Values of env are in it.
func (c Change) String() string {
	sign := map[string]string{Added: "+", Changed: "~", Removed: "-"}[c.Kind]
	parts := make([]string, 0, len(c.Fields))
	for _, f := range c.Fields {
		parts = append(parts, f.String())
	}
	if len(parts) == 0 {
		return sign + " " + c.Function
	}
	return sign + " " + c.Function + ": " + strings.Join(parts, "; ")
}

// String names the key and both values.
func (f Field) String() string {
	switch {
	case f.Before == "":
		return f.Name + " " + f.After
	case f.After == "":
		return f.Name + " " + f.Before + " -> none"
	}
	return f.Name + " " + f.Before + " -> " + f.After
}

// Diff tells what makes b of a: first what was removed, in a's order, then what was changed and added, in b's. The
// order of a list means nothing, so it makes no difference.
func Diff(a, b *Catalog) []Change {
	var cs []Change
	for _, f := range a.Functions {
		if _, kept := b.Lookup(f.Name); !kept {
			cs = append(cs, Change{Function: f.Name, Kind: Removed})
		}
	}
	for _, f := range b.Functions {
		old, had := a.Lookup(f.Name)
		fields := differing(old.fields(), f.fields())
		switch {
		case !had:
			cs = append(cs, Change{f.Name, Added, fields})
		case len(fields) > 0:
			cs = append(cs, Change{f.Name, Changed, fields})
		}
	}
	return cs
}

// fields are a function's keys but for its name, with their values; those without one are left out. The zero
// function has none.
func (f *Function) fields() []Field {
	if f.Name == "" {
		return nil
	}
	concurrency := "auto"
	if f.Concurrency > 0 {
		concurrency = strconv.Itoa(f.Concurrency)
	}
	var fs []Field
	add := func(name, value string) {
		if value != "" {
			fs = append(fs, Field{Name: name, After: value})
		}
	}
	if len(f.Command) > 0 {
		add("command", fmt.Sprintf("%q", f.Command))
	}
	add("sample", f.Sample)
	for _, name := range slices.Sorted(maps.Keys(f.Env)) {
		add("env "+name, strconv.Quote(f.Env[name]))
	}
	add("memory", formatSize(f.Memory))
	add("timeout", f.Timeout.String())
	add("concurrency", concurrency)
	if f.Handler != "" {
		add("handler", strconv.Quote(f.Handler))
	}
	return fs
}

// differing pairs the fields of both sides by name and leaves out those that are the same.
func differing(before, after []Field) []Field {
	var out []Field
	value := func(of []Field, name string) string {
		for _, f := range of {
			if f.Name == name {
				return f.After
			}
		}
		return ""
	}
	for _, f := range before {
		if now := value(after, f.Name); now != f.After {
			out = append(out, Field{f.Name, f.After, now})
		}
	}
	for _, f := range after {
		if value(before, f.Name) == "" {
			out = append(out, Field{Name: f.Name, After: f.After})
		}
	}
	return out
}
