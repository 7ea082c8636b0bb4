package config

import (
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"
)

// The strongest place wins, and the origin says which that was.
func TestPrecedence(t *testing.T) {
	const file = "listen: {port: 4}\ndispatcher:\n  max_wait: 4s\n"
	for _, tt := range []struct {
		claim, setting string
		file           string
		env, args      []string
		value, origin  string
	}{
		{"nothing was said", "listen.port", "", nil, nil, "10600", "default"},
		{"no default", "manager", "", nil, nil, "", "default"},
		{"the file before the default", "listen.port", file, nil, nil, "4", "f.yaml:1"},
		{"a line further down", "dispatcher.max_wait", file, nil, nil, "4s", "f.yaml:3"},
		{"the contract's name before the file", "listen.port", file, []string{"SERVICE_PORT=3"}, nil, "3", "env SERVICE_PORT"},
		{"our name before the contract's", "listen.port", file, []string{"FOREWARM_LISTEN_PORT=2", "SERVICE_PORT=3"}, nil, "2", "env FOREWARM_LISTEN_PORT"},
		{"the flag before all", "listen.port", file, []string{"FOREWARM_LISTEN_PORT=2", "SERVICE_PORT=3"}, []string{"--port=1"}, "1", "flag --port"},
		{"a flag with the default's value", "listen.port", file, nil, []string{"--port", "10600"}, "10600", "flag --port"},
		{"an empty name is not given", "listen.port", file, []string{"SERVICE_PORT=", "FOREWARM_LISTEN_PORT="}, nil, "4", "f.yaml:1"},
		{"an empty flag is", "manager", "manager: a:1\n", []string{"RESOURCE_MANAGER_ENDPOINT=b:1"}, []string{"--manager="}, "", "flag --manager"},
		{"the manager of the contract", "manager", "", []string{"RESOURCE_MANAGER_ENDPOINT=b:1"}, nil, "b:1", "env RESOURCE_MANAGER_ENDPOINT"},
		{"the machine's name of the contract", "host_name", "", []string{"HOST_NAME=pod-1"}, nil, "pod-1", "env HOST_NAME"},
		{"the last of two equal names", "host_name", "", []string{"HOST_NAME=a", "HOST_NAME=b"}, nil, "b", "env HOST_NAME"},
		{"a switch without a value", "allow_plaintext", "", nil, []string{"--allow-plaintext"}, "true", "flag --allow-plaintext"},
		{"a switch taken back", "allow_plaintext", "allow_plaintext: true\n", nil, []string{"--allow-plaintext=false"}, "false", "flag --allow-plaintext"},
		{"a word that YAML once took for true", "planner.mode", "planner: {mode: off}\n", nil, nil, "off", "f.yaml:1"},
		{"a share as a fraction", "planner.target_cold", "planner: {target_cold: 0.05}\n", nil, nil, "5%", "f.yaml:1"},
		{"a small price", "planner.prices.gib_second", "planner: {prices: {cold: 1, gib_second: 1e-5}}\n", nil, nil, "0.00001", "f.yaml:1"},
		{"kappa where prices say it", "planner.kappa", "planner: {prices: {cold: 1, gib_second: 1e-5}}\n", nil, nil, "", "default"},
		{"kappa where a target says it", "planner.kappa", "", nil, []string{"--target-cold=1%"}, "", "default"},
		{"a path is found from the file's folder", "state.file", "state: {file: laws.db}\n", nil, nil, "laws.db", "f.yaml:1"},
		{"a file of comments", "listen.port", "# nothing\n", nil, nil, "10600", "default"},
		{"a section of comments", "listen.port", "listen:\n  # port: 3\nplanner:\nfunctions:\naccounts:\n", nil, nil, "10600", "default"},
		{"a byte order mark", "listen.port", "\ufefflisten: {port: 4}\n", nil, nil, "4", "f.yaml:1"},
		{"Windows line ends", "dispatcher.max_wait", strings.ReplaceAll(file, "\n", "\r\n"), nil, nil, "4s", "f.yaml:3"},
		{"JSON", "listen.port", `{"listen": {"port": 4}}`, nil, nil, "4", "f.yaml:1"},
	} {
		t.Run(tt.claim, func(t *testing.T) {
			inFolder(t)
			_, c := mustLoad(t, tt.file, tt.env, tt.args)
			for _, it := range c.Items() {
				if it.Name == tt.setting && (it.Value != tt.value || it.Origin.String() != tt.origin || c.Origin(it.Name) != it.Origin) {
					t.Errorf("%s: got %q from %v, want %q from %s", tt.setting, it.Value, it.Origin, tt.value, tt.origin)
				}
			}
		})
	}
}

func TestPathsAreFoundFromTheFile(t *testing.T) {
	inFolder(t)
	folder := t.TempDir()
	path := write(t, folder+"/g.yaml", "state: {file: laws.db, history: /past.json}\ncatalog: http.yaml\n")
	_, c := mustLoad(t, "", []string{"FOREWARM_CONFIG=" + path}, []string{"--functions", "here.yaml"})
	if c.State.File != folder+"/laws.db" || c.State.History != "/past.json" || c.Catalog != "here.yaml" || c.File() != path {
		t.Errorf("got %+v, catalog %q, file %q", c.State, c.Catalog, c.File())
	}
	_, c = mustLoad(t, "", nil, []string{"--history", "https://p:9090/?a=b"})
	if c.State.History != "https://p:9090/?a=b" {
		t.Errorf("history %q", c.State.History)
	}
}

func TestLoadFills(t *testing.T) {
	s := &Set{Environ: []string{"FOREWARM_CONFIG=testdata/forewarm.yaml"}}
	got, err := s.Load()
	if err != nil {
		t.Fatal(err)
	}
	if got.Planner != (Planner{Mode: On, Policy: "gap", Prices: Prices{0.0004, 0.00001667, 0.00005}, Rounds: Rounds{200 * time.Millisecond, 800 * time.Millisecond}}) || !got.Planner.Prices.Given() {
		t.Errorf("planner %+v", got.Planner)
	}
	if got.Dispatcher != (Dispatcher{50, time.Minute, 10_000, 30 * time.Second, 10 * time.Second}) || got.Listen.HostPort() != "127.0.0.1:10600" {
		t.Errorf("dispatcher %+v, listen %+v", got.Dispatcher, got.Listen)
	}
	if want := map[string]Function{
		"checkout": {Min: 2, Max: 40, MaxWaiting: 500, Calendar: []Window{
			{"30 7 * * mon-fri", 11 * time.Hour, 10, 0, "Europe/Berlin"},
			{"@monthly", 2 * time.Hour, 20, 60, "UTC"}}},
		"report": {Pause: true, Concurrency: Auto},
	}; !reflect.DeepEqual(got.Functions, want) {
		t.Errorf("functions\n got  %+v\n want %+v", got.Functions, want)
	}
	if want := map[string]Account{"acme": {MaxContainers: 200, MemoryShare: 0.4}}; !reflect.DeepEqual(got.Accounts, want) {
		t.Errorf("accounts %+v, want %+v", got.Accounts, want)
	}
}

func TestArgsRepeatFlags(t *testing.T) {
	var s Set
	fs := pflag.NewFlagSet("up", pflag.ContinueOnError)
	s.AddFlags(fs, "listen.address", "listen.port", "manager")
	if fs.Lookup("port") != nil || fs.Lookup("kappa") == nil {
		t.Error("AddFlags did not leave out what it was told to")
	}
	if err := fs.Parse([]string{"--state", "", "--config", "", "--allow-plaintext", "--kappa", "bad value"}); err != nil {
		t.Fatal(err)
	}
	if got, want := s.Args(), []string{"--config=", "--allow-plaintext=true", "--kappa=bad value", "--state="}; !slices.Equal(got, want) {
		t.Errorf("Args = %q, want %q", got, want)
	}
}

func TestFileOfFlagOrEnvironment(t *testing.T) {
	for _, tt := range []struct {
		claim string
		env   []string
		args  []string
		want  string
	}{
		{"none", nil, nil, ""},
		{"environment", []string{"FOREWARM_CONFIG=a"}, nil, "a"},
		{"flag first", []string{"FOREWARM_CONFIG=a"}, []string{"--config=b"}, "b"},
		{"flag against the environment", []string{"FOREWARM_CONFIG=a"}, []string{"--config="}, ""},
	} {
		s := &Set{Environ: tt.env}
		if tt.env == nil {
			s.Environ = []string{}
		}
		fs := pflag.NewFlagSet("serve", pflag.ContinueOnError)
		s.AddFlags(fs)
		if err := fs.Parse(tt.args); err != nil {
			t.Fatal(err)
		}
		if got := s.File(); got != tt.want {
			t.Errorf("%s: File = %q, want %q", tt.claim, got, tt.want)
		}
	}
}

// Kubernetes tells every container of the Services in its namespace, and forewarm's own processes tell each other.
func TestForeignNamesArePassedOver(t *testing.T) {
	inFolder(t)
	_, c := mustLoad(t, "", []string{
		"FOREWARM_SERVICE_HOST=10.96.0.1", "FOREWARM_SERVICE_PORT=10600", "FOREWARM_SERVICE_PORT_ADMIN=10700", "FOREWARM_PORT=tcp://10.96.0.1:10600",
		"FOREWARM_PORT_10600_TCP=tcp://10.96.0.1:10600", "FOREWARM_PORT_10600_TCP_PROTO=tcp", "FOREWARM_PORT_10600_TCP_PORT=10600", "FOREWARM_PORT_10600_TCP_ADDR=10.96.0.1",
		"FOREWARM_ADMIN_SERVICE_HOST=10.96.0.2", "FOREWARM_ADMIN_PORT=tcp://10.96.0.2:10700", "FOREWARM_ADMIN_PORT_10700_TCP_ADDR=10.96.0.2",
		"FOREWARM_TIE_FD=3", "FOREWARM_NODE_FOLDER=/n", "FOREWARMER=1", "PATH=/bin", "odd",
	}, nil)
	if _, none := mustLoad(t, "", nil, nil); Diff(none, c) != nil {
		t.Errorf("changed: %v", Diff(none, c))
	}
}
