package config

import (
	"errors"
	"strings"
	"testing"
)

// Each row is a configuration that is refused, and every word of the refusal: the messages are the part of this
// package that people read.
func TestBadFiles(t *testing.T) {
	const sections = "listen, manager, admin, host_name, catalog, allow_plaintext, tls, tokens, dispatcher, planner, state, metrics, log, functions, accounts"
	for _, tt := range []struct{ claim, file, want string }{
		{"another shape", "- a\n", `f.yaml:1:1: write keys and values below it, such as "planner: {kappa: 60s}"`},
		{"two documents", "log: {level: warn}\n---\nlog: {}\n", `f.yaml:3:1: a second document: keep one and remove the --- before this one`},
		{"bad indentation", "log:\n  level: warn\n format: text\n", `f.yaml:3:2: not valid YAML: value is not allowed in this context: check the indentation and the quotes here`},
		{"anchor and alias", "log: &a {level: warn}\nstate: *a\n", "f.yaml:1:6: anchors, aliases, merge keys and tags are not read: write the value out\n" +
			"f.yaml:2:8: anchors, aliases, merge keys and tags are not read: write the value out"},

		{"key mistyped", "planer: {kappa: 60s}\n", `f.yaml:1:1: unknown key "planer": did you mean "planner"?`},
		{"key mistyped in a section", "planner:\n  kapa: 60s\n", `f.yaml:2:3: planner: unknown key "kapa": did you mean "kappa"?`},
		{"key mistyped two deep", "planner: {prices: {colt: 1}}\n", `f.yaml:1:20: planner.prices: unknown key "colt": did you mean "cold"?`},
		{"key with a hyphen", "dispatcher: {max-nodes: 5}\n", `f.yaml:1:14: dispatcher: unknown key "max-nodes": did you mean "max_nodes"?`},
		{"key of a section at the root", "max_nodes: 5\n", `f.yaml:1:1: unknown key "max_nodes": did you mean dispatcher.max_nodes, which is written "dispatcher: {max_nodes: ...}"?`},
		{"flag as a key", "price-cold: 5\n", `f.yaml:1:1: unknown key "price-cold": did you mean planner.prices.cold, which is written "planner: {prices: {cold: ...}}"?`},
		{"foreign key", "replicas: 3\n", `f.yaml:1:1: unknown key "replicas": known here: ` + sections},
		{"foreign key in a section", "listen: {backlog: 3}\n", `f.yaml:1:10: listen: unknown key "backlog": known here: address, port`},
		{"key twice", "log: {level: warn}\nlog: {format: json}\n", `f.yaml:2:1: "log" is given twice (first on line 1): remove one`},
		{"a value for a section", "planner: gap\n", `f.yaml:1:10: planner: write keys and values below it, such as "mode: ..."`},
		{"a section for a value", "manager: {host: a}\n", `f.yaml:1:10: manager: write one plain value, in quotes if need be`},
		{"no value", "manager:\n", `f.yaml:1:1: manager: no value: write one, or remove the key`},
		{"a mistyped key is not missed as well", "listen: {address: 0.0.0.0}\nallow_plaintxt: true\n", `f.yaml:2:1: unknown key "allow_plaintxt": did you mean "allow_plaintext"?`},

		{"no number", "listen: {port: http}\n", `f.yaml:1:16: listen.port: "http" is not a whole number: write 0 to 65535`},
		{"too much", "listen: {port: 65536}\n", `f.yaml:1:16: listen.port: "65536" is too much: write at most 65535`},
		{"too little", "dispatcher: {max_nodes: 0}\n", `f.yaml:1:25: dispatcher.max_nodes: "0" is too little: write at least 1`},
		{"no unit", "planner: {kappa: 60}\n", `f.yaml:1:18: planner.kappa: "60" has no unit: write 60s for seconds (ms, s, m and h are known)`},
		{"no duration", "planner: {kappa: long}\n", `f.yaml:1:18: planner.kappa: "long" is not a duration: write a number and ms, s, m or h, such as 30s or 1m30s`},
		{"too short", "planner: {kappa: -1s}\n", `f.yaml:1:18: planner.kappa: "-1s" is too short: write at least 1ms`},
		{"too long", "dispatcher: {drain: 48h}\n", `f.yaml:1:21: dispatcher.drain: "48h" is too long: write at most 24h`},
		{"choice, near", "planner: {policy: holtz}\n", `f.yaml:1:19: planner.policy: "holtz" does not exist: did you mean holt?`},
		{"choice, far", "planner: {mode: auto}\n", `f.yaml:1:17: planner.mode: "auto" does not exist: write one of on, shadow, off`},
		{"no share", "planner: {target_cold: few}\n", `f.yaml:1:24: planner.target_cold: "few" is not a share: write a percentage, such as 5%, or a fraction, such as 0.05`},
		{"share of nothing", "planner: {target_cold: 0}\n", `f.yaml:1:24: planner.target_cold: "0" is outside of what there is: write more than 0% and at most 100%, or 0.05 for 5%`},
		{"share of more than all", "accounts: {a: {memory_share: 40}}\n", `f.yaml:1:30: accounts.a.memory_share: "40" is outside of what there is: write more than 0% and at most 100%, or 0.05 for 5%`},
		{"no price", "planner: {prices: {cold: 1EUR, gib_second: 1}}\n", `f.yaml:1:26: planner.prices.cold: "1EUR" is not a price: write a number, such as 0.0002`},
		{"infinite price", "planner: {prices: {cold: .inf, gib_second: 1}}\n", `f.yaml:1:26: planner.prices.cold: ".inf" is not a price: write a number, such as 0.0002`},
		{"no switch", "allow_plaintext: yes\n", `f.yaml:1:18: allow_plaintext: "yes" is neither: write true or false`},
		{"address with a port", "listen: {address: '127.0.0.1:80'}\n", `f.yaml:1:19: listen.address: "127.0.0.1:80" holds a port: write the address alone, "127.0.0.1", and the port as listen.port`},
		{"no address", "listen: {address: 'http://x'}\n", `f.yaml:1:19: listen.address: "http://x" is not an address: write one such as 127.0.0.1, ::1 or 0.0.0.0`},
		{"empty address", "listen: {address: ''}\n", `f.yaml:1:19: listen.address: it is empty: write a value, or remove it`},
		{"no port", "admin: 127.0.0.1\n", `f.yaml:1:8: admin: "127.0.0.1" is not host:port: write it such as 127.0.0.1:10700, or none`},
		{"a manager without a port", "manager: rm\n", `f.yaml:1:10: manager: "rm" is not host:port: write it such as 127.0.0.1:10400`},
		{"a manager anywhere", "manager: ':10400'\n", `f.yaml:1:10: manager: ":10400" is not host:port: write it such as 127.0.0.1:10400`},
		{"a URL for a manager", "manager: http://rm:1/\n", `f.yaml:1:10: manager: "http://rm:1/" is not host:port: write it such as 127.0.0.1:10400`},
		{"a port of words", "manager: rm:grpc\n", `f.yaml:1:10: manager: the port of "rm:grpc" is not a number up to 65535: write it such as 127.0.0.1:10400`},
		{"a URL is not repeated", "metrics: {push_url: 'ftp://u:secret@h'}\n", `f.yaml:1:21: metrics.push_url: it is not a URL of http or https: write one such as http://127.0.0.1:8428/api/v1/import/prometheus`},
		{"a URL that is none", "metrics: {push_url: 'http://u:secret@h:x'}\n", `f.yaml:1:21: metrics.push_url: it is not a URL: write one such as http://127.0.0.1:8428/api/v1/import/prometheus`},
		{"a URL without a host", "state: {history: 'http:///x'}\n", `f.yaml:1:18: state.history: it is a URL without a host: write one such as http://127.0.0.1:8428/api/v1/import/prometheus`},
		{"escapes for a terminal", "host_name: \"\\e[2J\"\n", `f.yaml:1:12: host_name: it holds characters that cannot be printed: remove them`},

		{"function that is no mapping", "functions: {hello: 3}\n", `f.yaml:1:20: functions.hello: write keys and values below it, such as "min: 1"`},
		{"list of functions", "functions:\n- hello\n", `f.yaml:2:1: functions: write keys and values below it, such as "hello: {min: 1}"`},
		{"key of a function", "functions: {hello: {maxx: 3}}\n", `f.yaml:1:21: functions.hello: unknown key "maxx": did you mean "max"?`},
		{"foreign key of a function", "functions: {hello: {memory: 1GiB}}\n", `f.yaml:1:21: functions.hello: unknown key "memory": known here: min, max, pause, concurrency, max_containers, max_waiting, calendar`},
		{"name that cannot be printed", "functions: {\"a\\nb\": {min: 3}}\n", `f.yaml:1:13: functions: a name: it holds characters that cannot be printed: remove them`},
		{"concurrency", "functions: {hello: {concurrency: many}}\n", `f.yaml:1:34: functions.hello.concurrency: "many" is not a whole number: write 1 to 1000, or auto`},
		{"min over max", "functions:\n  hello:\n    min: 5\n    max: 3\n", `f.yaml:3:10: functions.hello.min: 5 is more than functions.hello.max, which is 3 (f.yaml:4)`},
		{"max over all", "functions: {hello: {max: 3, max_containers: 2}}\n", `f.yaml:1:26: functions.hello.max: 3 is more than functions.hello.max_containers, which is 2 (f.yaml:1)`},
		{"min over all", "functions: {hello: {min: 3, max_containers: 2}}\n", `f.yaml:1:26: functions.hello.min: 3 is more than functions.hello.max_containers, which is 2 (f.yaml:1)`},

		{"calendar that is no list", "functions: {hello: {calendar: daily}}\n", `f.yaml:1:31: functions.hello.calendar: write a list, such as "- ` + windowExample + `"`},
		{"empty window", "functions: {hello: {calendar: [{}]}}\n", "f.yaml:1:32: functions.hello.calendar[0]: there is no cron: write a window such as " + windowExample + "\n" +
			"f.yaml:1:32: functions.hello.calendar[0]: there is no duration: write a window such as " + windowExample + "\n" +
			"f.yaml:1:32: functions.hello.calendar[0]: it has neither min nor max, and so changes nothing: give one"},
		{"min of a window over its max", "functions:\n  a:\n    calendar:\n    - {cron: '@daily', duration: 1h, min: 3, max: 2}\n", `f.yaml:4:43: functions.a.calendar[0].min: 3 is more than functions.a.calendar[0].max, which is 2 (f.yaml:4)`},
		{"min of a window over the function's max", "functions:\n  a:\n    max: 2\n    calendar:\n    - {cron: '@daily', duration: 1h, min: 3}\n", `f.yaml:5:43: functions.a.calendar[0].min: 3 is more than functions.a.max, which is 2 (f.yaml:3)`},
		{"min of a window over all", "functions:\n  a:\n    max_containers: 2\n    calendar:\n    - {cron: '@daily', duration: 1h, min: 3}\n", `f.yaml:5:43: functions.a.calendar[0].min: 3 is more than functions.a.max_containers, which is 2 (f.yaml:3)`},
		{"max of a window under the function's min", "functions:\n  a:\n    min: 4\n    calendar:\n    - {cron: '@daily', duration: 1h, min: 2, max: 3}\n", `f.yaml:3:10: functions.a.min: 4 is more than functions.a.calendar[0].max, which is 3 (f.yaml:5)`},
		{"zone", "functions: {a: {calendar: [{cron: '@daily', duration: 1h, min: 3, zone: Berlin}]}}\n", `f.yaml:1:73: functions.a.calendar[0].zone: "Berlin" is not a time zone: write UTC, or a place such as Europe/Berlin`},
		{"zone of the machine", "functions: {a: {calendar: [{cron: '@daily', duration: 1h, min: 3, zone: Local}]}}\n", `f.yaml:1:73: functions.a.calendar[0].zone: "Local" is not a time zone: write UTC, or a place such as Europe/Berlin`},
		{"cron", "functions: {a: {calendar: [{cron: 0 25 * * *, duration: 1h, min: 3}]}}\n", `f.yaml:1:35: functions.a.calendar[0].cron: the hour: "25" is not one: write 0 to 23`},

		{"kappa and prices", "planner:\n  kappa: 60s\n  prices: {cold: 1, gib_second: 1}\n", `f.yaml:3:18: planner.prices.cold: planner.kappa (f.yaml:2) says already what a cold start is worth: give one of kappa, prices and target_cold`},
		{"kappa and a target", "planner:\n  kappa: 60s\n  target_cold: 1%\n", `f.yaml:3:16: planner.target_cold: planner.kappa (f.yaml:2) says already what a cold start is worth: give one of kappa, prices and target_cold`},
		{"prices and a target", "planner:\n  target_cold: 1%\n  prices: {gib_second: 1, cold: 1}\n", `f.yaml:3:33: planner.prices.cold: planner.target_cold (f.yaml:2) says already what a cold start is worth: give one of kappa, prices and target_cold`},
		{"half of the prices", "planner: {prices: {cold: 1}}\n", `f.yaml:1:26: planner.prices.cold: there is no planner.prices.gib_second: kappa is worked out from both planner.prices.cold and planner.prices.gib_second`},
		{"nodes alone", "planner: {prices: {node_second: 1}}\n", "f.yaml:1:33: planner.prices.node_second: there is no planner.prices.cold: kappa is worked out from both planner.prices.cold and planner.prices.gib_second\n" +
			"f.yaml:1:33: planner.prices.node_second: there is no planner.prices.gib_second: kappa is worked out from both planner.prices.cold and planner.prices.gib_second"},
		{"a start for nothing", "planner: {prices: {cold: 0, gib_second: 1}}\n", `f.yaml:1:26: planner.prices.cold: 0 prices nothing: write more than 0`},
		{"all may be cold", "planner: {target_cold: 100%}\n", `f.yaml:1:24: planner.target_cold: at 100% every call may start cold, and nothing is to be learnt: write less, or planner.policy: reactive`},
		{"rounds", "planner: {rounds: {min: 1s}}\n", `f.yaml:1:25: planner.rounds.min: 1s is more than planner.rounds.max, which is 800ms (default)`},
		{"rounds, by the other", "planner: {rounds: {max: 100ms}}\n", `f.yaml:1:25: planner.rounds.max: 100ms is less than planner.rounds.min, which is 200ms (default)`},

		{"wide open", "listen: {address: 0.0.0.0}\n", `f.yaml:1:19: listen.address: other machines can reach "0.0.0.0", and the port has no TLS: give tls.contract.cert and tls.contract.key, listen on 127.0.0.1, or say allow_plaintext: true`},
		{"admin wide open", "admin: ':10700'\n", `f.yaml:1:8: admin: other machines can reach ":10700", and the port has no TLS: give tls.admin.cert and tls.admin.key, listen on 127.0.0.1, or say allow_plaintext: true`},
		{"one port twice", "admin: 127.0.0.1:10600\n", `f.yaml:1:8: admin: 127.0.0.1:10600 is the contract's port, too: choose another`},
		{"certificate without a key", "tls: {admin: {cert: a}}\n", `f.yaml:1:21: tls.admin.cert: there is no tls.admin.key: give the private key of the certificate as well`},
		{"callers' without our own", "tls: {admin: {client_ca: a}}\n", "f.yaml:1:26: tls.admin.client_ca: callers cannot show a certificate to a port without TLS: give tls.admin.cert and tls.admin.key as well\n" +
			"f.yaml:1:26: tls.admin.client_ca: cannot be read: open a: no such file or directory"},

		{"all complaints at once, by place", "log: {level: loud}\nlisten: {prot: 1}\nfunctions: {a: {min: x}}\n",
			"f.yaml:1:14: log.level: \"loud\" does not exist: write one of debug, info, warn, error\n" +
				"f.yaml:2:10: listen: unknown key \"prot\": did you mean \"port\"?\n" +
				"f.yaml:3:22: functions.a.min: \"x\" is not a whole number: write 0 to 10000000"},
	} {
		t.Run(tt.claim, func(t *testing.T) {
			inFolder(t)
			_, c, err := loadSet(t, tt.file, nil, nil)
			if err == nil || err.Error() != tt.want {
				t.Errorf("Load of\n%s\ngot  %v\nwant %s", tt.file, err, tt.want)
			}
			if c != nil {
				t.Errorf("a refused configuration was given: %+v", c)
			}
			if _, ok := errors.AsType[*Error](err); !ok {
				t.Errorf("the error holds no *Error: %T", err)
			}
		})
	}
}

func TestBadFlagsAndNames(t *testing.T) {
	for _, tt := range []struct {
		claim     string
		file      string
		env, args []string
		want      string
	}{
		{"flag", "", nil, []string{"--kappa=60"}, `flag --kappa: planner.kappa: "60" has no unit: write 60s for seconds (ms, s, m and h are known)`},
		{"name", "", []string{"FOREWARM_PLANNER_KAPPA=60"}, nil, `env FOREWARM_PLANNER_KAPPA: planner.kappa: "60" has no unit: write 60s for seconds (ms, s, m and h are known)`},
		{"the contract's name", "", []string{"SERVICE_PORT=http"}, nil, `env SERVICE_PORT: listen.port: "http" is not a whole number: write 0 to 65535`},
		{"a value that another place overrides", "listen: {port: x}\n", nil, []string{"--port=1"}, `f.yaml:1:16: listen.port: "x" is not a whole number: write 0 to 65535`},
		{"empty flag", "", nil, []string{"--kappa="}, `flag --kappa: planner.kappa: it is empty: write a value, or remove it`},
		{"name mistyped", "", []string{"FOREWARM_PLANER_KAPPA=60s"}, nil, `env FOREWARM_PLANER_KAPPA: no such setting: did you mean FOREWARM_PLANNER_KAPPA?`},
		{"name without its section", "", []string{"FOREWARM_KAPPA=60s"}, nil, `env FOREWARM_KAPPA: no such setting: did you mean FOREWARM_PLANNER_KAPPA?`},
		{"flag's name", "", []string{"FOREWARM_FUNCTIONS=f"}, nil, `env FOREWARM_FUNCTIONS: no such setting: did you mean FOREWARM_CATALOG?`},
		{"foreign name", "", []string{"FOREWARM_REPLICAS=3"}, nil, `env FOREWARM_REPLICAS: no such setting: forewarm config show lists them; remove it`},
		{"between places", "planner: {target_cold: 1%}\n", []string{"FOREWARM_PLANNER_PRICES_COLD=1", "FOREWARM_PLANNER_PRICES_GIB_SECOND=1"}, []string{"--kappa=1m"},
			"f.yaml:1:24: planner.target_cold: planner.kappa (flag --kappa) says already what a cold start is worth: give one of kappa, prices and target_cold\n" +
				"env FOREWARM_PLANNER_PRICES_COLD: planner.prices.cold: planner.kappa (flag --kappa) says already what a cold start is worth: give one of kappa, prices and target_cold\n" +
				"env FOREWARM_PLANNER_PRICES_COLD: planner.prices.cold: planner.target_cold (f.yaml:1) says already what a cold start is worth: give one of kappa, prices and target_cold"},
		{"all places, the file first", "log: {level: x}\n", []string{"HOST_NAME=\x1b", "FOREWARM_X=1"}, []string{"--port=x"},
			"f.yaml:1:14: log.level: \"x\" does not exist: write one of debug, info, warn, error\n" +
				"env HOST_NAME: host_name: it holds characters that cannot be printed: remove them\n" +
				"env FOREWARM_X: no such setting: forewarm config show lists them; remove it\n" +
				"flag --port: listen.port: \"x\" is not a whole number: write 0 to 65535"},
		{"no file", "", []string{"FOREWARM_CONFIG=gone.yaml"}, nil, `the file of settings: open gone.yaml: no such file or directory`},
		{"a folder", "", []string{"FOREWARM_CONFIG=."}, nil, `the file of settings: . is not a file`},
		{"a broken file hides nothing else, and nothing is missed in it", "log: [\n", nil, []string{"--listen=0.0.0.0", "--port=x"},
			"f.yaml:1:6: not valid YAML: sequence end token ']' not found: check the indentation and the quotes here\n" +
				"flag --port: listen.port: \"x\" is not a whole number: write 0 to 65535"},
	} {
		t.Run(tt.claim, func(t *testing.T) {
			inFolder(t)
			if _, _, err := loadSet(t, tt.file, tt.env, tt.args); err == nil || err.Error() != tt.want {
				t.Errorf("got\n%v\nwant\n%s", err, tt.want)
			}
		})
	}
}

func TestRequired(t *testing.T) {
	s := &Set{Environ: []string{}, Require: []string{"manager", "state.file"}}
	const want = "manager: not given: write --manager, FOREWARM_MANAGER or RESOURCE_MANAGER_ENDPOINT in the environment, or manager in the file\n" +
		"state.file: not given: write --state, FOREWARM_STATE_FILE in the environment, or state.file in the file"
	if _, err := s.Load(); err == nil || err.Error() != want {
		t.Errorf("got\n%v\nwant\n%s", err, want)
	}
	s.Environ = []string{"RESOURCE_MANAGER_ENDPOINT=a:1", "FOREWARM_STATE_FILE=x"}
	if _, err := s.Load(); err != nil {
		t.Error(err)
	}
}

func TestComplaintsAreBounded(t *testing.T) {
	inFolder(t)
	_, _, err := loadSet(t, "log: {"+strings.Repeat("level: x, ", 12)+"}\n", nil, nil)
	if lines := strings.Split(err.Error(), "\n"); len(lines) != maxErrors+1 || lines[maxErrors] != "and 2 more" {
		t.Errorf("12 mistakes gave\n%v", err)
	}
	if _, _, err = loadSet(t, strings.Repeat("#", maxFile+1), nil, nil); err == nil || err.Error() != "the file of settings: f.yaml is larger than 1 MiB" {
		t.Errorf("a large file gave %v", err)
	}
}

func TestWideWhereMeant(t *testing.T) {
	inFolder(t)
	for _, file := range []string{
		"listen: {address: 0.0.0.0}\nadmin: ':10700'\nallow_plaintext: true\n",
		"listen: {address: localhost}\nadmin: '[::1]:10700'\n",
		"listen: {address: '::1'}\nadmin: none\n",
		"listen: {address: 127.8.8.8, port: 0}\nadmin: 127.0.0.1:0\n",
	} {
		mustLoad(t, file, nil, nil)
	}
}

func TestCron(t *testing.T) {
	for expr, want := range map[string]string{
		"0 8 * * mon-fri":      "",
		"*/15 8-18/2 1,15 ? *": "",
		"5/10 0 29 FEB *":      "",
		"0 0 31 2 1":           "", // Mondays in February
		"@daily":               "",
		"0 0 30 feb *":         `"0 0 30 feb *" never comes: no month of these has a day 30`,
		"0 0 31 4,6 ?":         `"0 0 31 4,6 ?" never comes: no month of these has a day 31`,
		"@every 1h":            `"@every 1h" is not known: write one of @hourly, @daily, @midnight, @weekly, @monthly, @yearly, @annually, or five fields such as "0 8 * * mon-fri"`,
		"TZ=UTC 0 8 * * *":     `"TZ=UTC 0 8 * * *" names a time zone: write it as zone`,
		"0 8 * *":              `"0 8 * *" has 4 fields: write five: minute, hour, day of the month, month, day of the week, such as "0 8 * * mon-fri"`,
		"0 0 8 * * *":          `"0 0 8 * * *" has 6 fields: write five: minute, hour, day of the month, month, day of the week, such as "0 8 * * mon-fri"`,
		"60 8 * * *":           `the minute: "60" is not one: write 0 to 59`,
		"0 8 0 * *":            `the day of the month: "0" is not one: write 1 to 31`,
		"0 8 * * 7":            `the day of the week: "7" is not one: write 0 to 6, or sun to sat`,
		"0 8 * january *":      `the month: "january" is not one: write 1 to 12, or jan to dec`,
		"0 8 * * fri-mon":      `the day of the week: "fri-mon" runs backwards: write the lower number first`,
		"*/0 8 * * *":          `the minute: "0" is not a step: write 1 to 59`,
		"1,,2 8 * * *":         `the minute: "" is not one: write 0 to 59`,
		"1--2 8 * * *":         `the minute: "-2" is not one: write 0 to 59`,
		"1/2/3 8 * * *":        `the minute: "2/3" is not a step: write 1 to 59`,
	} {
		got := ""
		if err := checkCron(expr); err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("checkCron(%q)\n got  %s\n want %s", expr, got, want)
		}
	}
}

// Depth is the one thing by which a small file could bring a reader down that calls itself.
func TestDeepFiles(t *testing.T) {
	for _, open := range []string{"[", "{a: ", "- ", "? "} {
		l := newLoader()
		l.yaml("f.yaml", []byte(strings.Repeat(open, 2_000)))
		if len(l.errs) == 0 {
			t.Errorf("2,000 times %q was accepted", open)
		}
	}
}
