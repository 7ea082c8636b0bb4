package forewarm_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/forewarm/forewarm/"

// mayImport says which of our own packages each package may import. Packages that are not listed are edges or
// commands and may import all. Arrows run one way.
var mayImport = map[string][]string{
	"forecast":         {"forecast/dist"},
	"forecast/dist":    {},
	"forecast/gap":     {},
	"cluster":          {},
	"cluster/model":    {"cluster"},
	"cluster/minifaas": {"cluster", "cluster/minifaas/peers", "proto/minifaas/nodeservoceproto", "proto/minifaas/resourcemanagerproto"},
	"cluster/local":    {"catalog", "cluster", "proto/forewarm/v1", "proto/minifaas/nodeservoceproto", "proto/minifaas/resourcemanagerproto"},
	"catalog":          {"cluster", "spelling"},
	"dispatcher":       {"cluster"},
	"dispatcher/serve": {"cluster", "dispatcher", "proto/minifaas/schedulerproto", "store"},
	"prewarm":          {"calendar", "dispatcher", "forecast", "forecast/gap"},
	"sim":              {"cluster", "cluster/model", "dispatcher", "prewarm"},
	"gateway":          {"catalog", "cluster/minifaas/peers", "proto/minifaas/apiserverproto", "proto/minifaas/nodeservoceproto", "proto/minifaas/schedulerproto"},
	"store":            {"cluster"},
	"calendar":         {},
	"config":           {"spelling"},
	"edge":             {},
	"metrics":          {"dispatcher", "prewarm"},
	"console":          {"calendar", "cluster", "dispatcher", "dispatcher/serve", "edge", "prewarm", "proto/forewarm/v1"},
}

// pure are the packages, or single files, that decide: no clock, no wire, no log, no chance of their own.
var pure = []string{"forecast", "forecast/dist", "forecast/gap", "cluster", "cluster/model", "dispatcher", "sim",
	"prewarm/planner.go", "prewarm/nodes.go", "prewarm/policy.go", "prewarm/save.go", "prewarm/view.go", "prewarm/options.go", "prewarm/decisions.go",
	"prewarm/account.go", "prewarm/book.go", "prewarm/bounds.go", "prewarm/due.go", "prewarm/history.go", "prewarm/mode.go",
	"prewarm/plan.go", "prewarm/prices.go", "prewarm/reactive.go", "prewarm/tenant.go", "calendar"}

// forbidden in pure code: imports by prefix, and calls of package time and of global randomness.
var (
	forbiddenImports = []string{"google.golang.org/grpc", "google.golang.org/protobuf", "github.com/prometheus", "go.etcd.io/bbolt", "log", "net", "os"}
	forbiddenCalls   = map[string][]string{
		"time": {"Now", "Since", "Until", "Sleep", "After", "AfterFunc", "Tick", "NewTimer", "NewTicker"},
		"rand": {"Int", "IntN", "Int64", "Int64N", "Uint32", "Uint64", "Float64", "NormFloat64", "ExpFloat64", "Perm", "Shuffle", "N"},
	}
)

// source is one Go file that is not a test.
type source struct {
	path, pkg string
	file      *ast.File
}

func sources(t *testing.T) (out []source) {
	fset := token.NewFileSet()
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			if d != nil && (d.Name() == "testdata" || strings.HasPrefix(d.Name(), ".") && d.Name() != "." || d.Name() == "tools") {
				return fs.SkipDir
			}
			return err
		}
		if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		f, err := parser.ParseFile(fset, path, nil, parser.ParseComments)
		if err != nil {
			return err
		}
		out = append(out, source{path, filepath.ToSlash(filepath.Dir(path)), f})
		return nil
	})
	if err != nil || len(out) == 0 {
		t.Fatalf("%d sources, %v", len(out), err)
	}
	return out
}

func TestImportsRunOneWay(t *testing.T) {
	for _, s := range sources(t) {
		allowed, listed := mayImport[s.pkg]
		for _, i := range s.file.Imports {
			path, _ := strconv.Unquote(i.Path.Value)
			ours, ok := strings.CutPrefix(path, module)
			if ok && listed && !slices.Contains(allowed, ours) {
				t.Errorf("%s imports %s; %s may import only %v of ours", s.path, ours, s.pkg, allowed)
			}
		}
	}
}

func TestDecisionsArePure(t *testing.T) {
	seen := map[string]bool{}
	for _, s := range sources(t) {
		switch {
		case slices.Contains(pure, s.pkg):
			seen[s.pkg] = true
		case slices.Contains(pure, filepath.ToSlash(s.path)):
			seen[filepath.ToSlash(s.path)] = true
		default:
			continue
		}
		holdPure(t, s)
	}
	for _, p := range pure {
		if !seen[p] {
			t.Errorf("%s is listed as pure and does not exist", p)
		}
	}
}

func holdPure(t *testing.T, s source) {
	for _, i := range s.file.Imports {
		path, _ := strconv.Unquote(i.Path.Value)
		for _, f := range forbiddenImports {
			if path == f || strings.HasPrefix(path, f+"/") {
				t.Errorf("%s decides, and imports %s", s.path, path)
			}
		}
	}
	ast.Inspect(s.file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.SelectorExpr:
			if x, ok := n.X.(*ast.Ident); ok && x.Obj == nil && slices.Contains(forbiddenCalls[x.Name], n.Sel.Name) {
				t.Errorf("%s decides, and calls %s.%s", s.path, x.Name, n.Sel.Name)
			}
		case *ast.GoStmt:
			t.Errorf("%s decides, and starts a goroutine", s.path)
		}
		return true
	})
}

func TestEveryPackageIsDocumented(t *testing.T) {
	docs := map[string]int{}
	for _, s := range sources(t) {
		if _, ok := docs[s.pkg]; !ok {
			docs[s.pkg] = 0
		}
		if s.file.Doc != nil {
			docs[s.pkg]++
		}
	}
	for pkg, n := range docs {
		if n != 1 && !strings.HasPrefix(pkg, "proto/") {
			t.Errorf("package %s has %d package comments, want 1", pkg, n)
		}
	}
}
