package catalog

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"

	"github.com/forewarm/forewarm/spelling"
)

// maxErrors bounds how many complaints are made about one file: the first few are enough to work on.
const maxErrors = 10

// Error is one complaint about a file.
type Error struct {
	File         string
	Line, Column int // from 1
	Message      string
}

// Error gives file:line:column: message, which editors can jump to.
func (e *Error) Error() string {
	return fmt.Sprintf("%s:%d:%d: %s", e.File, e.Line, e.Column, e.Message)
}

// Parse reads the contents of a file; the name is for messages only. The error, if any, joins up to ten of type
// *Error, one a line.
func Parse(file string, data []byte) (*Catalog, error) {
	r := &reader{file: file, names: map[string]int{}}
	c := &Catalog{}
	if root, ok := r.document(data); ok {
		c.Functions = r.root(root)
	}
	if len(r.errs) > 0 {
		return nil, r.err()
	}
	return c, nil
}

// err joins the complaints in the order of their places.
func (r *reader) err() error {
	slices.SortStableFunc(r.errs, func(a, b *Error) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	errs := make([]error, 0, maxErrors)
	for _, e := range r.errs[:min(len(r.errs), maxErrors)] {
		errs = append(errs, e)
	}
	return errors.Join(errs...)
}

// reader walks the nodes of one file and collects complaints. It goes by nodes, not by struct tags, since only
// they know where a value that parses but makes no sense stands.
type reader struct {
	file  string
	errs  []*Error
	names map[string]int // function -> line that named it
}

// failf complains about the place of a token.
func (r *reader) failf(at *token.Token, format string, args ...any) {
	e := &Error{File: r.file, Line: 1, Column: 1, Message: fmt.Sprintf(format, args...)}
	if at != nil && at.Position != nil {
		e.Line, e.Column = at.Position.Line, at.Position.Column
	}
	r.errs = append(r.errs, e)
}

// document parses the text and returns its only document.
func (r *reader) document(data []byte) (ast.Node, bool) {
	data = []byte(strings.TrimPrefix(string(data), "\ufeff")) // some editors begin a file with a byte order mark
	tree, err := parser.ParseBytes(data, 0, parser.AllowDuplicateMapKey())
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
	switch {
	case len(bodies) == 0:
		r.failf(nil, noFunctions)
		return nil, false
	case len(bodies) > 1:
		r.failf(start(bodies[1]), "a second document: keep one and remove the --- before this one")
		return nil, false
	}
	ast.Walk(indirections{r}, bodies[0])
	return bodies[0], len(r.errs) == 0
}

const noFunctions = `no functions: write "functions:" and list at least one below it`

// indirections complains about values that stand elsewhere: a list of functions is to be read by people, top down.
type indirections struct{ *reader }

// Visit is called with each node of a document.
func (v indirections) Visit(n ast.Node) ast.Visitor {
	switch n.(type) {
	case *ast.AnchorNode, *ast.AliasNode, *ast.TagNode, *ast.MergeKeyNode:
		v.failf(n.GetToken(), "anchors, aliases, merge keys and tags are not read: write the value out")
		return nil
	}
	return v
}

// syntax complains about text that is no YAML.
func (r *reader) syntax(err error) {
	var at *token.Token
	msg := err.Error()
	if ye, ok := errors.AsType[yaml.Error](err); ok {
		at, msg = ye.GetToken(), ye.GetMessage()
	}
	r.failf(at, "not valid YAML: %s: check the indentation and the quotes here", msg)
}

// root reads the outermost mapping.
func (r *reader) root(n ast.Node) []Function {
	entries, ok := r.mapping(n, `the file must begin with "functions:" and a list below it`)
	if !ok {
		return nil
	}
	var fs []Function
	found := false
	for _, e := range entries {
		if e.name == "functions" {
			fs, found = r.functions(e), true
		} else if r.unknown(e, []string{"functions"}) != "" {
			found = true
		}
	}
	if !found {
		r.failf(start(n), noFunctions)
	}
	return fs
}

// functions reads the list.
func (r *reader) functions(e entry) []Function {
	list, ok := e.value.(*ast.SequenceNode)
	if !ok || len(list.Values) == 0 {
		r.failf(e.key, `functions: list at least one, such as "- {name: hello, sample: hello}"`)
		return nil
	}
	var fs []Function
	for _, v := range list.Values {
		fs = append(fs, r.function(v))
	}
	return fs
}

// entry is one key of a mapping with its value.
type entry struct {
	name  string
	key   *token.Token // where the key stands
	value ast.Node
}

// mapping reads keys and values, each key once; otherwise it complains with what should be there.
func (r *reader) mapping(n ast.Node, want string) ([]entry, bool) {
	m, ok := n.(*ast.MappingNode)
	if !ok {
		r.failf(start(n), "%s", want)
		return nil, false
	}
	seen := map[string]int{}
	var es []entry
	for _, kv := range m.Values {
		k, ok := scalar(kv.Key)
		if at := kv.Key.GetToken(); !ok {
			r.failf(at, "a key must be a plain word")
		} else if line, dup := seen[k]; dup {
			r.failf(at, "%s is given twice (first on line %d): remove one", quote(k), line)
		} else {
			seen[k] = at.Position.Line
			es = append(es, entry{name: k, key: at, value: kv.Value})
		}
	}
	return es, true
}

// unknown complains about a key that nobody reads and gives the one that was probably meant, or "".
func (r *reader) unknown(e entry, known []string) string {
	word, ok := spelling.Nearest(e.name, known)
	if ok {
		r.failf(e.key, "unknown key %s: did you mean %q?", quote(e.name), word)
	} else {
		r.failf(e.key, "unknown key %s: known here: %s", quote(e.name), strings.Join(known, ", "))
	}
	return word
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

// scalar is a node's text as it was written: 8080 and true are text like any other.
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
