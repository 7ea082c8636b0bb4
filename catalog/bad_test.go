package catalog

import (
	"errors"
	"strings"
	"testing"
)

// Each row is a file that is refused, and every word of the refusal: the messages are the part of this package
// that people read.
func TestBadFiles(t *testing.T) {
	const keys = "name, command, sample, env, memory, timeout, concurrency, handler"
	for _, tt := range []struct {
		claim string
		file  string
		want  []string
	}{
		{"empty", ``, []string{`f.yaml:1:1: no functions: write "functions:" and list at least one below it`}},
		{"only comments", "# nothing\n", []string{`f.yaml:1:1: no functions: write "functions:" and list at least one below it`}},
		{"another shape", "- name: a\n", []string{`f.yaml:1:1: the file must begin with "functions:" and a list below it`}},
		{"empty list", "functions: []\n", []string{`f.yaml:1:1: functions: list at least one, such as "- {name: hello, sample: hello}"`}},
		{"no list", "functions: hello\n", []string{`f.yaml:1:1: functions: list at least one, such as "- {name: hello, sample: hello}"`}},
		{"root key mistyped", "function:\n- {name: a, sample: cpu}\n", []string{`f.yaml:1:1: unknown key "function": did you mean "functions"?`}},
		{"foreign root key", "provider: x\n", []string{
			`f.yaml:1:1: unknown key "provider": known here: functions`,
			`f.yaml:1:1: no functions: write "functions:" and list at least one below it`}},
		{"two documents", "functions: [{name: a, sample: cpu}]\n---\nfunctions: []\n", []string{
			`f.yaml:3:1: a second document: keep one and remove the --- before this one`}},

		{"bad indentation", "functions:\n- name: a\n sample: cpu\n", []string{
			`f.yaml:3:2: not valid YAML: value is not allowed in this context: check the indentation and the quotes here`}},
		{"tab", "functions:\n- name: a\n\tsample: cpu\n", []string{
			"f.yaml:3:1: not valid YAML: found character '\t' that cannot start any token: check the indentation and the quotes here"}},
		{"open quote", "functions:\n- name: \"a\n  sample: cpu\n", []string{
			`f.yaml:2:9: not valid YAML: could not find end character of double-quoted text: check the indentation and the quotes here`}},
		{"anchor and alias", "functions:\n- &a {name: a, sample: cpu}\n- *a\n", []string{
			`f.yaml:2:3: anchors, aliases, merge keys and tags are not read: write the value out`,
			`f.yaml:3:3: anchors, aliases, merge keys and tags are not read: write the value out`}},
		{"tag", "functions:\n- name: !!str a\n  sample: cpu\n", []string{
			`f.yaml:2:9: anchors, aliases, merge keys and tags are not read: write the value out`}},

		{"unknown key, near", "functions:\n- name: a\n  sample: cpu\n  timout: 3s\n", []string{`f.yaml:4:3: unknown key "timout": did you mean "timeout"?`}},
		{"unknown key, shortened", "functions:\n- name: a\n  sample: cpu\n  mem: 1GiB\n", []string{`f.yaml:4:3: unknown key "mem": did you mean "memory"?`}},
		{"unknown key, far", "functions:\n- name: a\n  sample: cpu\n  replicas: 3\n", []string{`f.yaml:4:3: unknown key "replicas": known here: ` + keys}},
		{"mistyped key is not missed as well", "functions:\n- nmae: a\n  comand: [x]\n", []string{
			`f.yaml:2:3: unknown key "nmae": did you mean "name"?`,
			`f.yaml:3:3: unknown key "comand": did you mean "command"?`}},
		{"key twice", "functions:\n- name: a\n  name: b\n  sample: cpu\n", []string{`f.yaml:3:3: "name" is given twice (first on line 2): remove one`}},
		{"key that is marked", "functions:\n- name: a\n  sample: cpu\n  ? env\n  : y\n", []string{`f.yaml:4:3: a key must be a plain word`}},

		{"no name", "functions:\n- sample: cpu\n", []string{`f.yaml:2:3: a function without a name: write "name: " and 1 to 128 of A-Z a-z 0-9 _ . -`}},
		{"empty name", "functions:\n- name: ''\n  sample: cpu\n", []string{`f.yaml:2:9: name: "" must be 1 to 128 of A-Z a-z 0-9 _ . - and not only dots`}},
		{"name with a slash", "functions:\n- name: a/b\n  sample: cpu\n", []string{`f.yaml:2:9: name: "a/b" must be 1 to 128 of A-Z a-z 0-9 _ . - and not only dots`}},
		{"name of dots", "functions:\n- name: ..\n  sample: cpu\n", []string{`f.yaml:2:9: name: ".." must be 1 to 128 of A-Z a-z 0-9 _ . - and not only dots`}},
		{"name too long", "functions:\n- name: " + strings.Repeat("n", 129) + "\n  sample: cpu\n", []string{
			`f.yaml:2:9: name: "` + strings.Repeat("n", 40) + `"... must be 1 to 128 of A-Z a-z 0-9 _ . - and not only dots`}},
		{"name twice", "functions:\n- name: a\n  sample: cpu\n- name: a\n  sample: cpu\n", []string{
			`f.yaml:4:9: name: "a" is listed twice (first on line 2): rename or remove one`}},
		{"entry that is no mapping", "functions:\n- hello\n", []string{`f.yaml:2:3: a function must be keys and values, such as "name: hello"`}},

		{"nothing to run", "functions:\n- name: a\n", []string{
			`f.yaml:2:3: nothing to run: write "command: [program, argument]", or "sample: " and one of hello, sleep, cpu, memory`}},
		{"two things to run", "functions:\n- name: a\n  command: [x]\n  sample: cpu\n", []string{`f.yaml:4:3: both a command and a sample: remove one`}},
		{"command in one string", "functions:\n- name: a\n  command: python3 app.py\n", []string{`f.yaml:3:12: command: write a list: command: [python3, app.py]`}},
		{"empty command", "functions:\n- name: a\n  command: []\n", []string{`f.yaml:3:12: command: write a list: command: [program, argument]`}},
		{"empty program", "functions:\n- name: a\n  command: ['']\n", []string{`f.yaml:3:13: command: the program is empty: write its path`}},
		{"list in a command", "functions:\n- name: a\n  command: [x, [y]]\n", []string{`f.yaml:3:16: command: write one plain value, in quotes if need be`}},
		{"zero byte", "functions:\n- name: a\n  command: [\"x\\0\"]\n", []string{`f.yaml:3:13: command: "x\x00" holds a zero byte: remove it`}},
		{"unknown sample", "functions:\n- name: a\n  sample: helo\n", []string{`f.yaml:3:11: sample: "helo" is not built in: write one of hello, sleep, cpu, memory`}},

		{"env as a list", "functions:\n- name: a\n  sample: cpu\n  env: [A=b]\n", []string{`f.yaml:4:8: env: write names and values, such as "LEVEL: debug"`}},
		{"env without a value", "functions:\n- name: a\n  sample: cpu\n  env:\n    A:\n", []string{`f.yaml:5:8: env: A: write one plain value, in quotes if need be`}},
		{"env with the port", "functions:\n- name: a\n  sample: cpu\n  env: {PORT: 80}\n", []string{
			`f.yaml:4:9: env: PORT is chosen anew for each container: remove it and listen on the one that is given`}},
		{"env with a bad name", "functions:\n- name: a\n  sample: cpu\n  env: {A=B: c}\n", []string{
			`f.yaml:4:9: env: "A=B" cannot be a variable's name: it must not be empty nor hold "="`}},

		{"decimal unit", "functions:\n- name: a\n  sample: cpu\n  memory: 1gb\n", []string{
			`f.yaml:4:11: memory: the unit of "1gb" is not known: write KiB, MiB or GiB, such as 1GiB`}},
		{"no unit", "functions:\n- name: a\n  sample: cpu\n  memory: 128\n", []string{
			`f.yaml:4:11: memory: "128" has no unit: write 128MiB for mebibytes (KiB, MiB and GiB are known)`}},
		{"no size", "functions:\n- name: a\n  sample: cpu\n  memory: lots\n", []string{
			`f.yaml:4:11: memory: "lots" is not a size: write a number and KiB, MiB or GiB, such as 128MiB`}},
		{"infinite size", "functions:\n- name: a\n  sample: cpu\n  memory: .inf\n", []string{
			`f.yaml:4:11: memory: ".inf" is not a size: write a number and KiB, MiB or GiB, such as 128MiB`}},
		{"negative size", "functions:\n- name: a\n  sample: cpu\n  memory: -1MiB\n", []string{
			`f.yaml:4:11: memory: "-1MiB" is not a size: write a number and KiB, MiB or GiB, such as 128MiB`}},
		{"part of a byte", "functions:\n- name: a\n  sample: cpu\n  memory: 5.3MiB\n", []string{
			`f.yaml:4:11: memory: "5.3MiB" is not a whole number of bytes: write it with a smaller unit, such as 6MiB`}},
		{"zero", "functions:\n- name: a\n  sample: cpu\n  memory: 0MiB\n", []string{`f.yaml:4:11: memory: "0MiB" is too little: write at least 1MiB`}},
		{"too little", "functions:\n- name: a\n  sample: cpu\n  memory: 512KiB\n", []string{`f.yaml:4:11: memory: "512KiB" is too little: write at least 1MiB`}},
		{"more than a node", "functions:\n- name: a\n  sample: cpu\n  memory: 4GiB\n", []string{`f.yaml:4:11: memory: "4GiB" is more than a node has: write at most 3GiB`}},
		{"more than counts", "functions:\n- name: a\n  sample: cpu\n  memory: 99999999999999GiB\n", []string{
			`f.yaml:4:11: memory: "99999999999999GiB" is more than can be counted: write at most 3GiB`}},

		{"timeout without unit", "functions:\n- name: a\n  sample: cpu\n  timeout: 30\n", []string{
			`f.yaml:4:12: timeout: "30" has no unit: write 30s for seconds (ms, s and m are known)`}},
		{"no duration", "functions:\n- name: a\n  sample: cpu\n  timeout: soon\n", []string{
			`f.yaml:4:12: timeout: "soon" is not a duration: write a number and ms, s or m, such as 30s or 1m30s`}},
		{"part of a millisecond", "functions:\n- name: a\n  sample: cpu\n  timeout: 1500us\n", []string{
			`f.yaml:4:12: timeout: "1500us" is not a whole number of milliseconds, in which a timeout is counted: write 2ms`}},
		{"negative timeout", "functions:\n- name: a\n  sample: cpu\n  timeout: -1s\n", []string{`f.yaml:4:12: timeout: "-1s" is too short: write at least 1ms`}},
		{"timeout too long", "functions:\n- name: a\n  sample: cpu\n  timeout: 1h\n", []string{`f.yaml:4:12: timeout: "1h" is too long: write at most 15m`}},

		{"concurrency of none", "functions:\n- name: a\n  sample: cpu\n  concurrency: 0\n", []string{
			`f.yaml:4:16: concurrency: "0" is not a number of requests: write 1 to 1000, or auto`}},
		{"concurrency too high", "functions:\n- name: a\n  sample: cpu\n  concurrency: 1001\n", []string{
			`f.yaml:4:16: concurrency: "1001" is not a number of requests: write 1 to 1000, or auto`}},
		{"concurrency in words", "functions:\n- name: a\n  sample: cpu\n  concurrency: many\n", []string{
			`f.yaml:4:16: concurrency: "many" is not a number of requests: write 1 to 1000, or auto`}},

		{"all complaints at once, by place", "functions:\n- memory: 1\n  sample: x\n", []string{
			`f.yaml:2:3: a function without a name: write "name: " and 1 to 128 of A-Z a-z 0-9 _ . -`,
			`f.yaml:2:11: memory: "1" has no unit: write 1MiB for mebibytes (KiB, MiB and GiB are known)`,
			`f.yaml:3:11: sample: "x" is not built in: write one of hello, sleep, cpu, memory`}},
	} {
		t.Run(tt.claim, func(t *testing.T) {
			c, err := Parse("f.yaml", []byte(tt.file))
			if want := strings.Join(tt.want, "\n"); err == nil || err.Error() != want {
				t.Errorf("Parse of\n%s\ngot  %v\nwant %s", tt.file, err, want)
			}
			if c != nil {
				t.Errorf("a refused file gave functions: %+v", c)
			}
			if _, ok := errors.AsType[*Error](err); !ok {
				t.Errorf("the error holds no *Error: %T", err)
			}
		})
	}
}

func TestComplaintsAreBounded(t *testing.T) {
	_, err := Parse("f.yaml", []byte("functions:\n"+strings.Repeat("- x\n", 1000)))
	if n := strings.Count(err.Error(), "\n") + 1; n != maxErrors {
		t.Errorf("a file with 1000 mistakes gave %d complaints, want %d", n, maxErrors)
	}
}

func TestAcceptedOddities(t *testing.T) {
	for _, tt := range []struct{ claim, file string }{
		{"byte order mark", "\ufefffunctions:\n- name: a\n  sample: cpu\n"},
		{"Windows line ends", "functions:\r\n- name: a\r\n  sample: cpu\r\n"},
		{"JSON", `{"functions": [{"name": "a", "sample": "cpu", "memory": "1GiB"}]}`},
		{"directive", "%YAML 1.2\n---\nfunctions:\n- name: a\n  sample: cpu\n"},
		{"number as a name", "functions:\n- name: 42\n  sample: cpu\n"},
		{"env all commented out", "functions:\n- name: a\n  sample: cpu\n  env:\n    # A: b\n"},
		{"blank before the unit", "functions:\n- name: a\n  sample: cpu\n  memory: 64 MiB\n"},
	} {
		if c, err := Parse("f.yaml", []byte(tt.file)); err != nil || len(c.Functions) != 1 {
			t.Errorf("%s: Parse = %+v, %v", tt.claim, c, err)
		}
	}
}
