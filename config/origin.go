package config

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
)

// Source is a kind of place where a value can be given.
type Source int

// Sources, from the weakest to the strongest.
const (
	FromDefault Source = iota
	FromFile
	FromEnv
	FromFlag
)

// Origin is the place where a value was given.
type Origin struct {
	Source       Source
	Name         string // path of the file, name in the environment, or flag with its dashes
	Line, Column int    // from 1, in a file
}

// String gives default, file:line, env NAME or flag --name.
func (o Origin) String() string {
	switch o.Source {
	case FromFile:
		return o.Name + ":" + strconv.Itoa(o.Line)
	case FromEnv:
		return "env " + o.Name
	case FromFlag:
		return "flag " + o.Name
	}
	return "default"
}

// Error is one complaint about a configuration.
type Error struct {
	Origin  Origin
	Message string
}

// Error gives the origin and the message; a file as file:line:column, which editors can jump to.
func (e *Error) Error() string {
	switch e.Origin.Source {
	case FromDefault:
		return e.Message
	case FromFile:
		return fmt.Sprintf("%v:%d: %s", e.Origin, e.Origin.Column, e.Message)
	}
	return fmt.Sprintf("%v: %s", e.Origin, e.Message)
}

// maxErrors bounds how many complaints are made at once: the first few are enough to work on.
const maxErrors = 10

// join puts complaints in order, the file's by place, and gives up to ten, one a line, and how many more there are.
func join(errs []*Error) error {
	slices.SortStableFunc(errs, func(a, b *Error) int {
		x, y := a.Origin, b.Origin
		if x.Source != FromFile || y.Source != FromFile {
			x.Name, y.Name = "", "" // flags and names of the environment stay as they came
		}
		return cmp.Or(cmp.Compare(x.Source, y.Source), cmp.Compare(x.Line, y.Line), cmp.Compare(x.Column, y.Column))
	})
	var out []error
	for _, e := range errs[:min(len(errs), maxErrors)] {
		out = append(out, e)
	}
	if n := len(errs) - maxErrors; n > 0 {
		out = append(out, fmt.Errorf("and %d more", n))
	}
	return errors.Join(out...)
}
