package catalog

import (
	"slices"
	"testing"
)

func parsed(t *testing.T, text string) *Catalog {
	t.Helper()
	c, err := Parse("f.yaml", []byte("functions:\n"+text))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestDiff(t *testing.T) {
	const hello = "- {name: a, sample: hello}\n"
	for _, tt := range []struct {
		claim, before, after string
		want                 []string
	}{
		{"the same is no change", hello, hello, nil},
		{"nor is a default that is written out", hello, "- {name: a, sample: hello, memory: 128MiB, timeout: 30s, concurrency: 1}\n", nil},
		{"nor is the order of the list", hello + "- {name: b, sample: cpu}\n", "- {name: b, sample: cpu}\n" + hello, nil},
		{"one added, with all that it is", hello, hello + "- {name: b, command: [x, a b], env: {K: v}, concurrency: auto}\n",
			[]string{`+ b: command ["x" "a b"]; env K "v"; memory 128MiB; timeout 30s; concurrency auto`}},
		{"one removed", hello + "- {name: b, sample: cpu}\n", hello, []string{"- b"}},
		{"memory and timeout", hello, "- {name: a, sample: hello, memory: 1GiB, timeout: 1m30s}\n", []string{"~ a: memory 128MiB -> 1GiB; timeout 30s -> 1m30s"}},
		{"a variable changed, one gone, one new", "- {name: a, sample: hello, env: {A: x, B: y}}\n", "- {name: a, sample: hello, env: {A: z, C: \"\"}}\n",
			[]string{`~ a: env A "x" -> "z"; env B "y" -> none; env C ""`}},
		{"a sample becomes a command", hello, "- {name: a, command: [x]}\n", []string{`~ a: sample hello -> none; command ["x"]`}},
		{"a handler", hello, "- {name: a, sample: hello, handler: h}\n", []string{`~ a: handler "h"`}},
		{"what is removed comes first", hello, "- {name: b, sample: cpu}\n", []string{"- a", "+ b: sample cpu; memory 128MiB; timeout 30s; concurrency 1"}},
	} {
		var got []string
		for _, c := range Diff(parsed(t, tt.before), parsed(t, tt.after)) {
			got = append(got, c.String())
		}
		if !slices.Equal(got, tt.want) {
			t.Errorf("%s: Diff says %q, want %q", tt.claim, got, tt.want)
		}
	}
}

func TestRevision(t *testing.T) {
	of := func(text string) string { return parsed(t, text).Functions[0].Revision() }
	base := of("- {name: a, command: [x, y], env: {A: '1', B: '2'}}\n")
	for claim, text := range map[string]string{
		"another argument": "- {name: a, command: [x, z], env: {A: '1', B: '2'}}\n",
		"words joined":     "- {name: a, command: [xy], env: {A: '1', B: '2'}}\n",
		"another value":    "- {name: a, command: [x, y], env: {A: '1', B: '3'}}\n",
		"no env":           "- {name: a, command: [x, y]}\n",
		"a sample":         "- {name: a, sample: hello, env: {A: '1', B: '2'}}\n",
	} {
		if r := of(text); r == base {
			t.Errorf("%s: the revision stays %s", claim, r)
		}
	}
	for claim, text := range map[string]string{
		"env in another order": "- {name: a, command: [x, y], env: {B: '2', A: '1'}}\n",
		"more memory":          "- {name: a, command: [x, y], env: {A: '1', B: '2'}, memory: 1GiB}\n", // the contract has a field for it
	} {
		if r := of(text); r != base {
			t.Errorf("%s: the revision becomes %s, want %s", claim, r, base)
		}
	}
	if r := of("- {name: a, command: [x, y], handler: index.handler}\n"); r != "index.handler" {
		t.Errorf("with a handler the revision is %q, want it as it is", r)
	}
}
