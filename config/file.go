package config

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"

	"github.com/forewarm/forewarm/spelling"
)

// maxFile bounds the file, in bytes: some thousand functions fit.
const maxFile = 1 << 20

// file reads the YAML file. It reports whether all of it could be read, if not accepted.
func (l *loader) file(path string) bool {
	l.c.file = path
	data, err := readFile(path, &l.c.stamp)
	if err != nil {
		l.failf(Origin{}, "the file of settings: %v", err)
		return false
	}
	return l.yaml(path, data)
}

// readFile reads a file and the stamp that it had before.
func readFile(path string, s *stamp) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if *s, err = stampOf(path); err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a file", path)
	}
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(data) > maxFile {
		err = fmt.Errorf("%s is larger than %d MiB", path, maxFile>>20)
	}
	return data, err
}

// yaml reads the text of a file.
func (l *loader) yaml(path string, data []byte) bool {
	r := &reader{loader: l, path: path}
	root, ok := r.document(data)
	if ok && root != nil {
		r.section("", root)
	}
	return ok
}

// reader walks the nodes of one file. It goes by nodes, not by struct tags, since only they know where a value that
// parses but makes no sense stands.
type reader struct {
	*loader
	path string
}

// at is the place of a token.
func (r *reader) at(t *token.Token) Origin {
	o := Origin{Source: FromFile, Name: r.path, Line: 1, Column: 1}
	if t != nil && t.Position != nil {
		o.Line, o.Column = t.Position.Line, t.Position.Column
	}
	return o
}

// document parses the text and returns its only document; nil for an empty one, in which all is default.
func (r *reader) document(data []byte) (ast.Node, bool) {
	text := strings.TrimPrefix(string(data), "\ufeff") // some editors begin a file with a byte order mark
	tree, err := parser.ParseBytes([]byte(text), 0, parser.AllowDuplicateMapKey())
	if err != nil {
		r.syntax(err)
		return nil, false
	}
	var bodies []ast.Node
	for _, d := range tree.Docs {
		if _, directive := d.Body.(*ast.DirectiveNode); d.Body != nil && !directive {
			bodies = append(bodies, d.Body)
		}
	}
	switch len(bodies) {
	case 0:
		return nil, true
	case 1:
		before := len(r.errs)
		ast.Walk(indirections{r}, bodies[0])
		return bodies[0], len(r.errs) == before
	}
	r.failf(r.at(start(bodies[1])), "a second document: keep one and remove the --- before this one")
	return nil, false
}

// indirections complains of values that stand elsewhere: settings are to be read by people, top down.
type indirections struct{ *reader }

// Visit is called with each node of a document.
func (v indirections) Visit(n ast.Node) ast.Visitor {
	switch n.(type) {
	case *ast.AnchorNode, *ast.AliasNode, *ast.TagNode, *ast.MergeKeyNode:
		v.failf(v.at(n.GetToken()), "anchors, aliases, merge keys and tags are not read: write the value out")
		return nil
	}
	return v
}

// syntax complains of text that is no YAML.
func (r *reader) syntax(err error) {
	var at *token.Token
	message := err.Error()
	if ye, ok := errors.AsType[yaml.Error](err); ok {
		at, message = ye.GetToken(), ye.GetMessage()
	}
	r.failf(r.at(at), "not valid YAML: %s: check the indentation and the quotes here", message)
}

// entry is one key of a mapping with its value.
type entry struct {
	name  string
	key   *token.Token // where the key stands
	value ast.Node
}

// mapping reads keys and values, each key once. A section whose lines are all commented out is empty.
func (r *reader) mapping(section string, n ast.Node, example string) ([]entry, bool) {
	if _, ok := n.(*ast.NullNode); ok {
		return nil, true
	}
	m, ok := n.(*ast.MappingNode)
	if !ok {
		r.failf(r.at(start(n)), "%swrite keys and values below it, such as %q", prefix(section), example)
		r.bad[section] = true
		return nil, false
	}
	seen := map[string]int{}
	var es []entry
	for _, kv := range m.Values {
		k, ok := scalar(kv.Key)
		if at := kv.Key.GetToken(); !ok {
			r.failf(r.at(at), "a key must be a plain word")
		} else if line, dup := seen[k]; dup {
			r.failf(r.at(at), "%s is given twice (first on line %d): remove one", quote(k), line)
		} else {
			seen[k] = at.Position.Line
			es = append(es, entry{name: k, key: at, value: kv.Value})
		}
	}
	return es, true
}

// prefix names a section before a message about it.
func prefix(section string) string {
	if section == "" {
		return ""
	}
	return section + ": "
}

// below is a key's full name.
func below(section, key string) string {
	if section == "" {
		return key
	}
	return section + "." + key
}

// section reads a mapping of settings and of further sections. Both are known by the names of settings alone.
func (r *reader) section(name string, n ast.Node) {
	example := "planner: {kappa: 60s}"
	known, leaves := r.children(name)
	if name != "" {
		example = known[0] + ": ..."
	}
	entries, ok := r.mapping(name, n, example)
	if !ok {
		return
	}
	for _, e := range entries {
		full := below(name, e.name)
		switch {
		case full == "functions":
			r.functions(e)
		case full == "accounts":
			r.accounts(e)
		case slices.Contains(leaves, e.name):
			if text, ok := r.text(full, e); ok {
				r.take(full, text, r.at(start(e.value)))
			}
		case slices.Contains(known, e.name):
			r.section(full, e.value)
		default:
			r.unknown(name, e, known)
		}
	}
}

// children lists the keys of a section, and those of them that have a value of their own.
func (r *reader) children(section string) (all, leaves []string) {
	for _, s := range r.rows {
		rest, ok := s.name, true
		if section != "" {
			rest, ok = strings.CutPrefix(s.name, section+".")
		}
		if !ok {
			continue
		}
		key, _, deeper := strings.Cut(rest, ".")
		if !slices.Contains(all, key) {
			all = append(all, key)
		}
		if !deeper {
			leaves = append(leaves, key)
		}
	}
	if section == "" {
		all = append(all, "functions", "accounts")
	}
	return all, leaves
}

// unknown complains of a key that nobody reads, and gives the one that was probably meant: beside it, or elsewhere.
func (r *reader) unknown(section string, e entry, known []string) {
	at, what := r.at(e.key), prefix(section)+"unknown key "+quote(e.name)
	if word, ok := spelling.Nearest(e.name, known); ok {
		r.bad[below(section, word)] = true
		r.failf(at, "%s: did you mean %q?", what, word)
		return
	}
	for _, s := range r.rows {
		if s.name == e.name || strings.HasSuffix(s.name, "."+e.name) || s.flag == e.name {
			r.bad[s.name] = true
			r.failf(at, "%s: did you mean %s, which is written %q?", what, s.name, nested(s.name))
			return
		}
	}
	r.failf(at, "%s: known here: %s", what, strings.Join(known, ", "))
}

// nested is how a setting's name is written in a file of one line.
func nested(name string) string {
	keys := strings.Split(name, ".")
	return strings.Join(keys, ": {") + ": ..." + strings.Repeat("}", len(keys)-1)
}

// text reads a value as it was written: 8080 and on are text like any other.
func (r *reader) text(full string, e entry) (string, bool) {
	if s, ok := scalar(e.value); ok {
		return s, true
	}
	r.bad[full] = true
	if _, ok := e.value.(*ast.NullNode); ok {
		r.failf(r.at(e.key), "%s: no value: write one, or remove the key", full)
	} else {
		r.failf(r.at(start(e.value)), "%s: write one plain value, in quotes if need be", full)
	}
	return "", false
}

// functions reads what is set per function.
func (r *reader) functions(e entry) {
	r.c.Functions = named(r, e, "hello: {min: 1}", func(full string, n ast.Node) Function {
		var f Function
		record(r, full, n, functionSettings(), &f, "min: 1", "calendar", func(c entry) { f.Calendar = r.calendar(full, c) })
		return f
	})
}

// accounts reads what is set per account.
func (r *reader) accounts(e entry) {
	r.c.Accounts = named(r, e, "acme: {max_containers: 100}", func(full string, n ast.Node) Account {
		var a Account
		record(r, full, n, accountSettings(), &a, "max_containers: 100", "", nil)
		return a
	})
}

// named reads a mapping from names, which callers chose, to what one reads.
func named[T any](r *reader, e entry, example string, one func(full string, n ast.Node) T) map[string]T {
	entries, ok := r.mapping(e.name, e.value, example)
	if !ok || len(entries) == 0 {
		return nil
	}
	m := make(map[string]T, len(entries))
	for _, v := range entries {
		if err := checkText(v.name); err != nil {
			r.failf(r.at(v.key), "%s: a name: %v", e.name, err)
			continue
		}
		full := e.name + "." + v.name
		m[v.name] = one(full, v.value)
		r.c.origins[full] = r.at(v.key)
	}
	return m
}

// record reads one mapping by a table of its own. What stands under the key named list is left to read.
func record[T any](r *reader, full string, n ast.Node, rows []row[T], t *T, example, list string, read func(entry)) {
	entries, ok := r.mapping(full, n, example)
	if !ok {
		return
	}
	var known []string
	for _, s := range rows {
		known = append(known, s.name)
	}
	if list != "" {
		known = append(known, list)
	}
	for _, e := range entries {
		i := slices.Index(known, e.name)
		switch {
		case i < 0:
			r.unknownOf(full, e, known)
		case e.name == list:
			read(e)
		default:
			if text, ok := r.text(full+"."+e.name, e); ok {
				set(r.loader, full+"."+e.name, &rows[i], t, text, r.at(start(e.value)))
			}
		}
	}
}

// unknownOf complains of a key that nobody reads, among those of one function or account.
func (r *reader) unknownOf(full string, e entry, known []string) {
	if word, ok := spelling.Nearest(e.name, known); ok {
		r.bad[full+"."+word] = true
		r.failf(r.at(e.key), "%s: unknown key %s: did you mean %q?", full, quote(e.name), word)
		return
	}
	r.failf(r.at(e.key), "%s: unknown key %s: known here: %s", full, quote(e.name), strings.Join(known, ", "))
}

// windowExample is one entry of a calendar.
const windowExample = "{cron: 0 8 * * mon-fri, duration: 10h, min: 3, zone: Europe/Berlin}"

// calendar reads a function's windows.
func (r *reader) calendar(function string, e entry) []Window {
	full := function + ".calendar"
	list, ok := e.value.(*ast.SequenceNode)
	if !ok {
		if _, empty := e.value.(*ast.NullNode); !empty {
			r.failf(r.at(start(e.value)), "%s: write a list, such as %q", full, "- "+windowExample)
			r.bad[full] = true
		}
		return nil
	}
	var ws []Window
	for i, n := range list.Values {
		name := fmt.Sprintf("%s[%d]", full, i)
		w := Window{Zone: "UTC"}
		record(r, name, n, windowSettings(), &w, windowExample, "", nil)
		r.c.origins[name] = r.at(start(n))
		ws = append(ws, w)
	}
	if len(ws) > 0 {
		r.c.origins[full] = r.at(e.key)
	}
	return ws
}

// start is the first token of a node. The token that the library keeps of a block mapping is its first colon.
func start(n ast.Node) *token.Token {
	if m, ok := n.(*ast.MappingNode); ok && !m.IsFlowStyle && len(m.Values) > 0 {
		return m.Values[0].Key.GetToken()
	}
	if n == nil {
		return nil
	}
	return n.GetToken()
}

// scalar is a node's text as it was written.
func scalar(n ast.Node) (string, bool) {
	switch n := n.(type) {
	case *ast.StringNode:
		return n.Value, true
	case *ast.LiteralNode:
		return n.Value.Value, true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.InfinityNode, *ast.NanNode:
		return n.GetToken().Value, true
	}
	return "", false
}
