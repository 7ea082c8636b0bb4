package config

import (
	"net"
	"strconv"
	"time"
)

// Config is everything that can be set. It is not changed once it is loaded. docs/configuration.md says what each
// setting means.
type Config struct {
	Listen         Listen
	Manager        string // host:port of the resource manager; "" when none is given
	Admin          string // host:port, or None
	HostName       string // what this machine is called in logs
	Catalog        string // file of functions, or "" for none
	AllowPlaintext bool   // to listen wider than loopback without TLS
	TLS            struct {
		Contract, Admin TLS
	}
	Tokens     Tokens
	Dispatcher Dispatcher
	Planner    Planner
	Functions  map[string]Function // by name, whatever the account
	Accounts   map[string]Account  // by name
	State      State
	Metrics    Metrics
	Log        Log

	file    string            // that it was read from, or ""
	stamp   stamp             // of the file, as it was when it was read
	origins map[string]Origin // of every setting that is shown
}

// None is the Admin of a scheduler without an admin port.
const None = "none"

// Auto is the Concurrency of a function whose containers take as many requests as measurements allow.
const Auto = -1

// Listen is where the contract's Scheduler is served.
type Listen struct {
	Address string
	Port    int // 0 takes a free one
}

// HostPort is the address to listen on.
func (l Listen) HostPort() string { return net.JoinHostPort(l.Address, strconv.Itoa(l.Port)) }

// TLS is the files of one port. Cert and Key are both given or both "".
type TLS struct {
	Cert, Key string
	ClientCA  string // "" asks no certificate of callers
}

// On reports whether the port speaks TLS.
func (t TLS) On() bool { return t.Cert != "" }

// Tokens are the files that hold what callers of the admin port must present; "" asks for none.
type Tokens struct {
	ReadFile  string // for calls that look
	WriteFile string // for calls that change something
}

// Dispatcher bounds the hot path.
type Dispatcher struct {
	MaxNodes int
	MaxWait  time.Duration
	MaxLine  int
	Drain    time.Duration
	Grace    time.Duration
}

// Mode is how much the planner may do.
type Mode string

// Modes of a planner.
const (
	On     Mode = "on"     // it plans, and what it plans is done
	Shadow Mode = "shadow" // it plans, and what it plans is only recorded
	Off    Mode = "off"    // it does not plan
)

// Planner says what decides ahead of calls, and what a cold start is worth to it.
type Planner struct {
	Mode       Mode
	Policy     string
	Kappa      time.Duration // 0 where Prices or TargetCold say it instead
	Prices     Prices
	TargetCold float64 // share of calls that may start cold, in (0,1); 0 for none
	Rounds     Rounds
}

// Prices are in one money, whichever it is. All are 0 when none is given.
type Prices struct {
	Cold       float64 // of one cold start
	GiBSecond  float64 // of one GiB of an idle container for one second
	NodeSecond float64 // of one node for one second
}

// Given reports whether prices, and not Kappa, say what a cold start is worth.
func (p Prices) Given() bool { return p.Cold > 0 }

// Rounds is the time between two rounds of planning: the least while things move, the most while nothing does.
type Rounds struct{ Min, Max time.Duration }

// Function is what is set for one function. What is 0 is not set.
type Function struct {
	Min           int  // containers kept warm at least
	Max           int  // containers kept warm at most
	Pause         bool // nothing is started ahead
	Concurrency   int  // requests that one container may hold; or Auto; before what the catalog says
	MaxContainers int  // of all kinds
	MaxWaiting    int  // calls that may wait
	Calendar      []Window
}

// Window is a time that comes again, in which other bounds hold. It converts to a calendar.Window.
type Window struct {
	Cron     string // when it begins: five fields, or a word such as @daily
	Duration time.Duration
	Min, Max int    // the larger Min holds, of this and the function's, and Max holds in place of the function's; 0 says nothing
	Zone     string // in which Cron is read
}

// Account is what is set for one account. What is 0 is not set.
type Account struct {
	MaxContainers int
	MaxWaiting    int     // calls that may wait, over all functions
	MemoryShare   float64 // of all memory that is sold, in (0,1]
}

// State is what is remembered.
type State struct {
	File    string // in which what was learnt survives; "" keeps none
	History string // file or Prometheus URL to learn from at the start; "" for none
}

// Metrics says where they go beside the admin port.
type Metrics struct {
	PushURL   string // "" pushes nowhere
	PushEvery time.Duration
	Series    int // functions with series of their own
}

// Log says what is written to standard error.
type Log struct {
	Level         string // debug, info, warn or error
	Format        string // text or json
	DebugFunction string // one function to trace fully; "" for none
}

// File is the path of the file that was read, or "".
func (c *Config) File() string { return c.file }

// Origin says where a setting's value came from.
func (c *Config) Origin(name string) Origin { return c.origins[name] }
