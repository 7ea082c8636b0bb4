package catalog

import (
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"
)

// keys of a function, in the order in which they are named to people.
func keys() []string {
	return []string{"name", "command", "sample", "env", "memory", "timeout", "concurrency", "handler"}
}

// function reads one entry of the list.
func (r *reader) function(n ast.Node) Function {
	f := Function{Memory: DefaultMemory, Timeout: DefaultTimeout, Concurrency: DefaultConcurrency}
	entries, ok := r.mapping(n, `a function must be keys and values, such as "name: hello"`)
	if !ok {
		return f
	}
	at := map[string]*token.Token{}
	for _, e := range entries {
		at[r.field(&f, e)] = e.key
	}
	if at["name"] == nil {
		r.failf(start(n), `a function without a name: write "name: " and 1 to %d of A-Z a-z 0-9 _ . -`, MaxName)
	}
	switch {
	case at["command"] == nil && at["sample"] == nil:
		r.failf(start(n), `nothing to run: write "command: [program, argument]", or "sample: " and one of %s`, strings.Join(sampleNames(), ", "))
	case at["command"] != nil && at["sample"] != nil:
		r.failf(at["sample"], "both a command and a sample: remove one")
	}
	return f
}

// field reads one key of a function and gives the key that was meant, so that one mistyped is not missed as well.
func (r *reader) field(f *Function, e entry) string {
	switch e.name {
	case "name":
		f.Name = r.name(e)
	case "command":
		f.Command = r.command(e)
	case "sample":
		f.Sample = r.sample(e)
	case "env":
		f.Env = r.env(e)
	case "memory":
		f.Memory = r.memory(e)
	case "timeout":
		f.Timeout = r.timeout(e)
	case "concurrency":
		f.Concurrency = r.concurrency(e)
	case "handler":
		f.Handler, _ = r.text(e.name, e.value)
	default:
		return r.unknown(e, keys())
	}
	return e.name
}

// text reads a single value that can be handed to a process, so one without a zero byte.
func (r *reader) text(what string, n ast.Node) (string, bool) {
	s, ok := scalar(n)
	switch {
	case !ok:
		r.failf(start(n), "%s: write one plain value, in quotes if need be", what)
	case strings.ContainsRune(s, 0):
		r.failf(start(n), "%s: %s holds a zero byte: remove it", what, quote(s))
		ok = false
	}
	return s, ok
}

func (r *reader) name(e entry) string {
	s, ok := r.text(e.name, e.value)
	if !ok {
		return ""
	}
	at := start(e.value)
	if len(s) == 0 || len(s) > MaxName || strings.ContainsFunc(s, notInName) || strings.Trim(s, ".") == "" {
		// A name of dots only would be a path element with a meaning of its own, in URLs and in folders.
		r.failf(at, "name: %s must be 1 to %d of A-Z a-z 0-9 _ . - and not only dots", quote(s), MaxName)
	} else if line, dup := r.names[s]; dup {
		r.failf(at, "name: %s is listed twice (first on line %d): rename or remove one", quote(s), line)
	} else {
		r.names[s] = at.Position.Line
	}
	return s
}

func notInName(c rune) bool {
	return !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.ContainsRune("_.-", c))
}

func (r *reader) command(e entry) []string {
	list, ok := e.value.(*ast.SequenceNode)
	if !ok || len(list.Values) == 0 {
		hint := "[program, argument]"
		if s, ok := scalar(e.value); ok && len(strings.Fields(s)) > 0 && len(s) <= MaxName {
			hint = "[" + strings.Join(strings.Fields(s), ", ") + "]" // no shell reads it, so the words are wanted apart
		}
		r.failf(start(e.value), "command: write a list: command: %s", hint)
		return nil
	}
	var words []string
	for _, v := range list.Values {
		if s, ok := r.text(e.name, v); ok {
			words = append(words, s)
		}
	}
	if len(words) > 0 && words[0] == "" {
		r.failf(start(list.Values[0]), "command: the program is empty: write its path")
	}
	return words
}

func (r *reader) sample(e entry) string {
	s, ok := r.text(e.name, e.value)
	if ok && !isSample(s) {
		r.failf(start(e.value), "sample: %s is not built in: write one of %s", quote(s), strings.Join(sampleNames(), ", "))
	}
	return s
}

func (r *reader) env(e entry) map[string]string {
	if _, ok := e.value.(*ast.NullNode); ok { // all of its lines are commented out
		return nil
	}
	entries, ok := r.mapping(e.value, `env: write names and values, such as "LEVEL: debug"`)
	if !ok {
		return nil
	}
	env := make(map[string]string, len(entries))
	for _, v := range entries {
		switch {
		case v.name == "" || strings.ContainsAny(v.name, "=\x00"):
			r.failf(v.key, `env: %s cannot be a variable's name: it must not be empty nor hold "="`, quote(v.name))
		case v.name == "PORT":
			r.failf(v.key, "env: PORT is chosen anew for each container: remove it and listen on the one that is given")
		default:
			env[v.name], _ = r.text("env: "+v.name, v.value)
		}
	}
	return env
}

func (r *reader) memory(e entry) int64 {
	s, ok := r.text(e.name, e.value)
	if !ok {
		return 0
	}
	b, err := parseSize(s)
	switch {
	case err != nil:
		r.failf(start(e.value), "memory: %v", err)
	case b < MinMemory:
		r.failf(start(e.value), "memory: %s is too little: write at least %s", quote(s), formatSize(MinMemory))
	case b > MaxMemory:
		r.failf(start(e.value), "memory: %s is more than a node has: write at most %s", quote(s), formatSize(MaxMemory))
	}
	return b
}

func (r *reader) timeout(e entry) time.Duration {
	s, ok := r.text(e.name, e.value)
	if !ok {
		return 0
	}
	d, err := parseTimeout(s)
	switch {
	case err != nil:
		r.failf(start(e.value), "timeout: %v", err)
	case d < MinTimeout:
		r.failf(start(e.value), "timeout: %s is too short: write at least 1ms", quote(s))
	case d > MaxTimeout:
		r.failf(start(e.value), "timeout: %s is too long: write at most 15m", quote(s))
	}
	return d
}

func (r *reader) concurrency(e entry) int {
	s, ok := r.text(e.name, e.value)
	if !ok || s == "auto" {
		return 0
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 || n > MaxConcurrency {
		r.failf(start(e.value), "concurrency: %s is not a number of requests: write 1 to %d, or auto", quote(s), MaxConcurrency)
	}
	return n
}
