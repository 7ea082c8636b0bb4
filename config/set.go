package config

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"github.com/forewarm/forewarm/spelling"
)

// Set is what was given on the command line and in the environment. The zero value is ready to use.
type Set struct {
	Environ []string // NAME=value. Default: os.Environ()
	Require []string // settings that must be given, such as manager
	Offline bool     // do not look at the files that settings name, to check a configuration on another machine

	config option // the file itself
	flags  []*option
}

// option holds what was given on the command line, unread: Load reads it, to complain of all settings at once.
type option struct {
	setting setting
	text    string
	given   bool
}

// String is the default, for the help.
func (f *option) String() string {
	if f.given {
		return f.text
	}
	return f.setting.def
}

// Set takes the text as it is.
func (f *option) Set(text string) error {
	f.text, f.given = text, true
	return nil
}

// Type is what the help shows in place of a value.
func (f *option) Type() string {
	switch f.setting.kind {
	case kindSwitch:
		return "bool" // for which the help shows nothing
	case kindChoice:
		return strings.Join(f.setting.words, "|")
	}
	return strings.ReplaceAll(string(f.setting.kind), " ", "-")
}

// configFlag and configEnv name the file.
const (
	configFlag = "config"
	configEnv  = envPrefix + "CONFIG"
)

// AddFlags adds a flag for the file and for each setting, except for the settings named in without: those of a
// command that chooses them itself.
func (s *Set) AddFlags(fs *pflag.FlagSet, without ...string) {
	s.config = option{setting: setting{kind: kindFile}}
	fs.Var(&s.config, configFlag, "YAML file of settings; "+configEnv+" where it is not given")
	for _, r := range settings() {
		if slices.Contains(without, r.name) {
			continue
		}
		f := &option{setting: r.setting}
		s.flags = append(s.flags, f)
		added := fs.VarPF(f, r.flag, "", r.doc)
		if r.kind == kindSwitch {
			added.NoOptDefVal = "true"
		}
	}
}

// Args repeats the flags that were given, for a child process that has them all.
func (s *Set) Args() []string {
	var args []string
	if s.config.given {
		args = append(args, "--"+configFlag+"="+s.config.text)
	}
	for _, f := range s.flags {
		if f.given {
			args = append(args, "--"+f.setting.flag+"="+f.text)
		}
	}
	return args
}

// File is the path of the YAML file, or "" for none.
func (s *Set) File() string {
	if s.config.given {
		return s.config.text
	}
	path := ""
	for _, kv := range s.environ() {
		if name, value, _ := strings.Cut(kv, "="); name == configEnv {
			path = value
		}
	}
	return path
}

func (s *Set) environ() []string {
	if s.Environ == nil {
		return os.Environ()
	}
	return s.Environ
}

// Load reads everything and checks it as a whole. The error, if any, joins up to ten of type *Error, one a line.
func (s *Set) Load() (*Config, error) {
	l := newLoader()
	whole := true
	if path := s.File(); path != "" {
		whole = l.file(path)
	}
	l.environment(s.environ())
	for _, f := range s.flags {
		if f.given {
			l.take(f.setting.name, f.text, Origin{Source: FromFlag, Name: "--" + f.setting.flag})
		}
	}
	if whole { // else what was not read would be missed
		l.check(s)
	}
	if len(l.errs) > 0 {
		return nil, join(l.errs)
	}
	return l.c, nil
}

// loader fills one Config and collects complaints.
type loader struct {
	c    *Config
	rows []row[Config]
	errs []*Error
	bad  map[string]bool // settings and sections with a complaint, of which no more is said
}

// newLoader begins with the defaults.
func newLoader() *loader {
	l := &loader{c: &Config{origins: map[string]Origin{}}, rows: settings(), bad: map[string]bool{}}
	for _, r := range l.rows {
		l.c.origins[r.name] = Origin{}
		if r.def == "" {
			continue
		}
		v, err := r.parse(r.def)
		if err != nil {
			panic("config: default of " + r.name + ": " + err.Error())
		}
		put(r.at(l.c), v)
	}
	return l
}

// failf complains of a place.
func (l *loader) failf(at Origin, format string, args ...any) {
	l.errs = append(l.errs, &Error{Origin: at, Message: fmt.Sprintf(format, args...)})
}

// take sets one setting from text, or complains.
func (l *loader) take(name, text string, from Origin) {
	i := slices.IndexFunc(l.rows, func(r row[Config]) bool { return r.name == name })
	set(l, name, &l.rows[i], l.c, text, from)
}

// set reads text into t, as a row of its table says. Name is the setting's in full.
func set[T any](l *loader, name string, r *row[T], t *T, text string, from Origin) {
	v, err := r.parse(text)
	if err != nil {
		l.bad[name] = true
		l.failf(from, "%s: %v", name, err)
		return
	}
	if from.Source == FromFile {
		v = r.resolve(v, from.Name)
	}
	put(r.at(t), v)
	l.c.origins[name] = from
}

// environment reads the names that are known, and complains of others that begin as ours do. They are errors, not
// warnings, as unknown keys in the file are: nobody reads the warnings of a service that runs. Names that Kubernetes
// gives every container of a namespace with a Service called forewarm are not meant for us and are passed over.
func (l *loader) environment(environ []string) {
	given := map[string]string{}
	var names []string
	for _, kv := range environ {
		if name, value, ok := strings.Cut(kv, "="); ok && value != "" { // NAME= is how a compose file says "not given"
			if _, again := given[name]; !again {
				names = append(names, name)
			}
			given[name] = value
		}
	}
	slices.Sort(names)
	known := map[string]string{configEnv: ""}
	for _, r := range l.rows {
		known[r.envName()] = r.name
		if value, ok := given[r.env]; ok && r.env != "" { // the contract's name gives way to ours
			l.take(r.name, value, Origin{Source: FromEnv, Name: r.env})
		}
	}
	for _, name := range names {
		setting, ok := known[name]
		switch {
		case ok && setting != "":
			l.take(setting, given[name], Origin{Source: FromEnv, Name: name})
		case !ok && strings.HasPrefix(name, envPrefix) && !passedOver(name):
			l.unknownEnv(name)
		}
	}
}

// serviceLink is what Kubernetes calls what it tells of a Service, for any Service whose name begins with forewarm.
var serviceLink = regexp.MustCompile(`^FOREWARM(_[A-Z0-9_]+)?_(SERVICE_HOST|SERVICE_PORT(_[A-Z0-9_]+)?|PORT(_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)$`)

// passedOver reports whether a name that begins as ours do is not a setting: a Service's, or one by which forewarm's
// own processes tell each other something (package cluster/local).
func passedOver(name string) bool {
	return name == envPrefix+"TIE_FD" || name == envPrefix+"NODE_FOLDER" || serviceLink.MatchString(name)
}

func (l *loader) unknownEnv(name string) {
	names := make([]string, 0, len(l.rows))
	for _, r := range l.rows {
		names = append(names, strings.TrimPrefix(r.envName(), envPrefix))
	}
	written := strings.TrimPrefix(name, envPrefix)
	word, ok := spelling.Nearest(written, names)
	for _, r := range l.rows { // KAPPA for PLANNER_KAPPA, MAX_NODES for DISPATCHER_MAX_NODES
		if n := strings.TrimPrefix(r.envName(), envPrefix); strings.HasSuffix(n, "_"+written) || written == strings.ToUpper(strings.ReplaceAll(r.flag, "-", "_")) {
			word, ok = n, true
			break
		}
	}
	message := "no such setting: forewarm config show lists them; remove it"
	if ok {
		message = "no such setting: did you mean " + envPrefix + word + "?"
	}
	l.failf(Origin{Source: FromEnv, Name: name}, "%s", message)
}

// isBad reports whether a setting, or a section around it, was complained of.
func (l *loader) isBad(name string) bool {
	for n := name; n != ""; {
		if l.bad[n] {
			return true
		}
		i := strings.LastIndexByte(n, '.')
		n = n[:max(i, 0)]
	}
	return false
}
