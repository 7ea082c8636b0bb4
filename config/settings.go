package config

import (
	"slices"
	"strings"
	"time"
)

// setting describes one thing that can be set.
type setting struct {
	name string // as in the file, with dots between the sections
	kind kind
	def  string // as one would write it; "" for none
	flag string // without its dashes; "" where there is none, which is in lists
	env  string // the contract's own name in the environment, read beside the one that env() gives
	live bool   // may change while the scheduler runs
	doc  string

	least, most int64    // bounds of counts, and of durations in nanoseconds; most 0 is no bound
	words       []string // that are values: all of a choice, and for other kinds the exceptions
	empty       bool     // it may be nothing, which is "" or 0
}

// row is a setting and where it is kept in a T.
type row[T any] struct {
	setting
	at func(*T) any // a pointer to a string, Mode, int, float64, bool or time.Duration
}

// envPrefix begins every name in the environment that is ours.
const envPrefix = "FOREWARM_"

// envName is a setting's name in the environment.
func (s *setting) envName() string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(s.name, ".", "_"))
}

// day bounds durations that nobody means to be longer.
const day = 24 * time.Hour

// settings lists everything but what is set per function and per account.
func settings() []row[Config] {
	return slices.Concat(portSettings(), securitySettings(), dispatcherSettings(), plannerSettings(), restSettings())
}

func portSettings() []row[Config] {
	return []row[Config]{
		{setting{name: "listen.address", kind: kindHost, def: "127.0.0.1", flag: "listen",
			doc: "address that the contract's Scheduler listens on; 0.0.0.0 for all"},
			func(c *Config) any { return &c.Listen.Address }},
		{setting{name: "listen.port", kind: kindCount, def: "10600", flag: "port", env: "SERVICE_PORT", most: 65535,
			doc: "port of the contract's Scheduler; 0 takes a free one"},
			func(c *Config) any { return &c.Listen.Port }},
		{setting{name: "manager", kind: kindAddress, flag: "manager", env: "RESOURCE_MANAGER_ENDPOINT", empty: true,
			doc: "host:port of the resource manager"},
			func(c *Config) any { return &c.Manager }},
		{setting{name: "admin", kind: kindAddress, def: "127.0.0.1:10700", flag: "admin", words: []string{None},
			doc: "host:port of metrics, health and forewarm.v1; none for no admin port"},
			func(c *Config) any { return &c.Admin }},
		{setting{name: "host_name", kind: kindText, flag: "host-name", env: "HOST_NAME", empty: true,
			doc: "what this machine is called in the log"},
			func(c *Config) any { return &c.HostName }},
		{setting{name: "catalog", kind: kindFile, flag: "functions", empty: true,
			doc: "functions.yaml, which says how many requests share a container; without it, as many as measurements allow"},
			func(c *Config) any { return &c.Catalog }},
	}
}

func securitySettings() []row[Config] {
	rows := []row[Config]{
		{setting{name: "allow_plaintext", kind: kindSwitch, def: "false", flag: "allow-plaintext",
			doc: "let ports without TLS be reached from other machines"},
			func(c *Config) any { return &c.AllowPlaintext }},
	}
	for _, port := range []struct {
		name string
		at   func(*Config) *TLS
	}{
		{"contract", func(c *Config) *TLS { return &c.TLS.Contract }},
		{"admin", func(c *Config) *TLS { return &c.TLS.Admin }},
	} {
		rows = append(rows,
			row[Config]{setting{name: "tls." + port.name + ".cert", kind: kindFile, flag: "tls-" + port.name + "-cert", empty: true,
				doc: "certificate of the " + port.name + " port, PEM, with those between it and the root"},
				func(c *Config) any { return &port.at(c).Cert }},
			row[Config]{setting{name: "tls." + port.name + ".key", kind: kindFile, flag: "tls-" + port.name + "-key", empty: true,
				doc: "its private key, PEM; others must not be able to read the file"},
				func(c *Config) any { return &port.at(c).Key }},
			row[Config]{setting{name: "tls." + port.name + ".client_ca", kind: kindFile, flag: "tls-" + port.name + "-client-ca", empty: true,
				doc: "certificates of which one must have signed a caller's, PEM; without it, callers need none"},
				func(c *Config) any { return &port.at(c).ClientCA }})
	}
	return append(rows,
		row[Config]{setting{name: "tokens.read_file", kind: kindFile, flag: "token-read-file", empty: true,
			doc: "holds the token for admin calls that look; others must not be able to read the file"},
			func(c *Config) any { return &c.Tokens.ReadFile }},
		row[Config]{setting{name: "tokens.write_file", kind: kindFile, flag: "token-write-file", empty: true,
			doc: "holds the token for admin calls that change something"},
			func(c *Config) any { return &c.Tokens.WriteFile }})
}

func dispatcherSettings() []row[Config] {
	return []row[Config]{
		{setting{name: "dispatcher.max_nodes", kind: kindCount, def: "20", flag: "max-nodes", least: 1, most: 100_000,
			doc: "nodes held at most"},
			func(c *Config) any { return &c.Dispatcher.MaxNodes }},
		{setting{name: "dispatcher.max_wait", kind: kindDuration, def: "30s", flag: "max-wait", least: int64(time.Millisecond), most: int64(day),
			doc: "that a call without a deadline of its own waits for a container"},
			func(c *Config) any { return &c.Dispatcher.MaxWait }},
		{setting{name: "dispatcher.max_line", kind: kindCount, def: "10000", flag: "max-line", least: 1, most: 10_000_000,
			doc: "calls of one function that may wait"},
			func(c *Config) any { return &c.Dispatcher.MaxLine }},
		{setting{name: "dispatcher.drain", kind: kindDuration, def: "30s", flag: "drain", most: int64(day),
			doc: "that running calls get when the scheduler stops"},
			func(c *Config) any { return &c.Dispatcher.Drain }},
		{setting{name: "dispatcher.grace", kind: kindDuration, def: "10s", flag: "grace", least: int64(time.Millisecond), most: int64(day),
			doc: "after a function's timeout, until a container that was not returned is taken back"},
			func(c *Config) any { return &c.Dispatcher.Grace }},
	}
}

func plannerSettings() []row[Config] {
	return []row[Config]{
		{setting{name: "planner.mode", kind: kindChoice, def: string(On), flag: "mode", live: true, words: []string{string(On), string(Shadow), string(Off)},
			doc: "on plans and acts, shadow only records what it would have done, off does not plan"},
			func(c *Config) any { return &c.Planner.Mode }},
		{setting{name: "planner.policy", kind: kindChoice, def: "gap", flag: "policy", words: []string{"gap", "reactive", "ewma", "holt", "pgmix"},
			doc: "what decides how many containers to hold"},
			func(c *Config) any { return &c.Planner.Policy }},
		{setting{name: "planner.kappa", kind: kindDuration, def: "60s", flag: "kappa", empty: true, least: int64(time.Millisecond), most: int64(30 * day),
			doc: "what a cold start is worth, in idle time of the function's container; instead of prices or a target"},
			func(c *Config) any { return &c.Planner.Kappa }},
		{setting{name: "planner.prices.cold", kind: kindMoney, flag: "price-cold", empty: true,
			doc: "of one cold start; together with gib_second, instead of kappa"},
			func(c *Config) any { return &c.Planner.Prices.Cold }},
		{setting{name: "planner.prices.gib_second", kind: kindMoney, flag: "price-gib-second", empty: true,
			doc: "of one GiB of an idle container for one second"},
			func(c *Config) any { return &c.Planner.Prices.GiBSecond }},
		{setting{name: "planner.prices.node_second", kind: kindMoney, flag: "price-node-second", empty: true,
			doc: "of one node for one second; without it, nodes cost nothing"},
			func(c *Config) any { return &c.Planner.Prices.NodeSecond }},
		{setting{name: "planner.target_cold", kind: kindShare, flag: "target-cold", empty: true,
			doc: "share of calls that may start cold, below 100%; kappa is learnt to meet it, instead of kappa or prices"},
			func(c *Config) any { return &c.Planner.TargetCold }},
		{setting{name: "planner.rounds.min", kind: kindDuration, def: "200ms", flag: "round-min", least: int64(10 * time.Millisecond), most: int64(time.Minute),
			doc: "between two rounds of planning while things move"},
			func(c *Config) any { return &c.Planner.Rounds.Min }},
		{setting{name: "planner.rounds.max", kind: kindDuration, def: "800ms", flag: "round-max", least: int64(10 * time.Millisecond), most: int64(time.Minute),
			doc: "between two rounds of planning while nothing does"},
			func(c *Config) any { return &c.Planner.Rounds.Max }},
	}
}

func restSettings() []row[Config] {
	return []row[Config]{
		{setting{name: "state.file", kind: kindFile, flag: "state", empty: true,
			doc: "in which what was learnt survives a restart"},
			func(c *Config) any { return &c.State.File }},
		{setting{name: "state.history", kind: kindFileOrURL, flag: "history", empty: true,
			doc: "file, or URL of a Prometheus, with past calls to learn from at the start"},
			func(c *Config) any { return &c.State.History }},
		{setting{name: "metrics.push_url", kind: kindURL, flag: "metrics-push-url", empty: true,
			doc: "URL to which metrics are pushed, as VictoriaMetrics takes them"},
			func(c *Config) any { return &c.Metrics.PushURL }},
		{setting{name: "metrics.push_every", kind: kindDuration, def: "10s", flag: "metrics-push-every", least: int64(time.Second), most: int64(time.Hour),
			doc: "between two pushes"},
			func(c *Config) any { return &c.Metrics.PushEvery }},
		{setting{name: "metrics.series", kind: kindCount, def: "200", flag: "metrics-series", least: 1, most: 100_000,
			doc: "functions with metrics of their own; the rest is summed as other"},
			func(c *Config) any { return &c.Metrics.Series }},
		{setting{name: "log.level", kind: kindChoice, def: "info", flag: "log-level", live: true, words: []string{"debug", "info", "warn", "error"},
			doc: "the least that is logged"},
			func(c *Config) any { return &c.Log.Level }},
		{setting{name: "log.format", kind: kindChoice, def: "text", flag: "log-format", words: []string{"text", "json"},
			doc: "how it is logged"},
			func(c *Config) any { return &c.Log.Format }},
		{setting{name: "log.debug_function", kind: kindText, flag: "debug-function", live: true, empty: true,
			doc: "one function that is traced fully"},
			func(c *Config) any { return &c.Log.DebugFunction }},
	}
}

// most containers and calls that a per-function or per-account number may say.
const most = 10_000_000

// functionSettings lists what can be set below functions.NAME, but for the calendar.
func functionSettings() []row[Function] {
	return []row[Function]{
		{setting{name: "min", kind: kindCount, live: true, most: most,
			doc: "containers kept warm at least"},
			func(f *Function) any { return &f.Min }},
		{setting{name: "max", kind: kindCount, live: true, least: 1, most: most,
			doc: "containers kept warm at most, whatever is forecast; calls that wait may have more started, up to max_containers"},
			func(f *Function) any { return &f.Max }},
		{setting{name: "pause", kind: kindSwitch, live: true,
			doc: "take no calls, and hold nothing"},
			func(f *Function) any { return &f.Pause }},
		{setting{name: "concurrency", kind: kindCount, live: true, least: 1, most: 1000, words: []string{"auto"},
			doc: "requests that one container may hold, or auto for as many as measurements allow; goes before the catalog"},
			func(f *Function) any { return &f.Concurrency }},
		{setting{name: "max_containers", kind: kindCount, live: true, least: 1, most: most,
			doc: "containers at most, for whatever reason they are started"},
			func(f *Function) any { return &f.MaxContainers }},
		{setting{name: "max_waiting", kind: kindCount, live: true, least: 1, most: most,
			doc: "calls that may wait; dispatcher.max_line where it is not given"},
			func(f *Function) any { return &f.MaxWaiting }},
	}
}

// windowSettings lists what can be set in one entry of functions.NAME.calendar.
func windowSettings() []row[Window] {
	return []row[Window]{
		{setting{name: "cron", kind: kindCron, live: true,
			doc: "when the window begins: minute, hour, day of the month, month, day of the week; or @hourly, @daily, @weekly, @monthly, @yearly"},
			func(w *Window) any { return &w.Cron }},
		{setting{name: "duration", kind: kindDuration, live: true, least: int64(time.Second), most: int64(31 * day),
			doc: "how long it lasts"},
			func(w *Window) any { return &w.Duration }},
		{setting{name: "min", kind: kindCount, live: true, least: 1, most: most,
			doc: "containers kept warm at least meanwhile"},
			func(w *Window) any { return &w.Min }},
		{setting{name: "max", kind: kindCount, live: true, least: 1, most: most,
			doc: "containers kept warm at most meanwhile"},
			func(w *Window) any { return &w.Max }},
		{setting{name: "zone", kind: kindZone, def: "UTC", live: true,
			doc: "in which cron is read, such as Europe/Berlin"},
			func(w *Window) any { return &w.Zone }},
	}
}

// accountSettings lists what can be set below accounts.NAME.
func accountSettings() []row[Account] {
	return []row[Account]{
		{setting{name: "max_containers", kind: kindCount, live: true, least: 1, most: most,
			doc: "containers at most, over all functions"},
			func(a *Account) any { return &a.MaxContainers }},
		{setting{name: "max_waiting", kind: kindCount, live: true, least: 1, most: most,
			doc: "calls that may wait, over all functions"},
			func(a *Account) any { return &a.MaxWaiting }},
		{setting{name: "memory_share", kind: kindShare, live: true,
			doc: "of the memory that the nodes sell, above 0 and at most 100%"},
			func(a *Account) any { return &a.MemoryShare }},
	}
}
