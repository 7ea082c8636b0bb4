package config

import (
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func TestSettingsAreConsistent(t *testing.T) {
	name := regexp.MustCompile(`^[a-z]+(_[a-z]+)*(\.[a-z]+(_[a-z]+)*)*$`)
	flagName := regexp.MustCompile(`^[a-z]+(-[a-z]+)*$`)
	flags, envs := map[string]string{configFlag: "the file"}, map[string]string{configEnv: "the file"}
	var sections []string
	for _, r := range settings() {
		if !name.MatchString(r.name) || !flagName.MatchString(r.flag) || r.doc == "" || strings.HasSuffix(r.doc, ".") {
			t.Errorf("%s: name, flag %q or doc %q is not in shape", r.name, r.flag, r.doc)
		}
		if other, dup := flags[r.flag]; dup {
			t.Errorf("--%s is %s and %s", r.flag, r.name, other)
		}
		flags[r.flag] = r.name
		for _, e := range []string{r.envName(), r.env} {
			if other, dup := envs[e]; dup && e != "" {
				t.Errorf("%s is %s and %s", e, r.name, other)
			}
			envs[e] = r.name
		}
		if passedOver(r.envName()) && r.name != "listen.port" { // which only a Service called forewarm-listen would take
			t.Errorf("%s could come from Kubernetes", r.envName())
		}
		if i := strings.LastIndexByte(r.name, '.'); i > 0 {
			sections = append(sections, r.name[:i])
		}
		if r.def == "" && !r.empty {
			t.Errorf("%s has no default and may not be empty", r.name)
		}
	}
	for _, s := range sections {
		if flags[s] == s || slices.ContainsFunc(settings(), func(r row[Config]) bool { return r.name == s }) {
			t.Errorf("%s is a section and a setting", s)
		}
	}
}

// Each value is kept in a place of its own, in a form that put knows, and is written as it is read.
func TestValuesRoundTrip(t *testing.T) {
	var c Config
	var f Function
	var a Account
	var w Window
	holdRows(t, settings(), &c)
	holdRows(t, functionSettings(), &f)
	holdRows(t, accountSettings(), &a)
	holdRows(t, windowSettings(), &w)
}

func holdRows[T any](t *testing.T, rows []row[T], kept *T) {
	places := map[any]string{}
	for _, r := range rows {
		at := r.at(kept)
		if other, dup := places[at]; dup {
			t.Errorf("%s and %s are kept in one place", r.name, other)
		}
		places[at] = r.name
		examples := map[kind][]string{kindText: {"x"}, kindCount: {"1"}, kindShare: {"12.5%"}, kindMoney: {"0.25"}, kindSwitch: {"true", "false"}, kindDuration: {"30s", "1m"},
			kindChoice: r.words, kindHost: {"0.0.0.0", "::1", "localhost"}, kindAddress: {"127.0.0.1:1", "[::1]:2", "a.b:3"}, kindFile: {"a/b.c"}, kindURL: {"http://h/p"},
			kindFileOrURL: {"f", "https://h:9"}, kindCron: {"0 8 * * mon-fri"}, kindZone: {"UTC", "Europe/Berlin"}}[r.kind]
		if strings.HasPrefix(r.name, "planner.rounds.") {
			examples = []string{"250ms"}
		}
		for _, text := range append(examples, r.words...) {
			v, err := r.parse(text)
			if err != nil {
				t.Errorf("%s: parse %q: %v", r.name, text, err)
				continue
			}
			if put(at, v); r.format(at) != text {
				t.Errorf("%s: %q is written as %q", r.name, text, r.format(at))
			}
		}
		if len(examples) == 0 {
			t.Errorf("%s: no example of a %s", r.name, r.kind)
		}
	}
}

// Every field of a Config can be set, so that none is promised in vain.
func TestEveryFieldHasASetting(t *testing.T) {
	var c Config
	places := map[any]bool{}
	for _, r := range settings() {
		places[r.at(&c)] = true
	}
	var walk func(path string, v reflect.Value)
	walk = func(path string, v reflect.Value) {
		for i := range v.NumField() {
			sf, fv := v.Type().Field(i), v.Field(i)
			switch {
			case !sf.IsExported() || sf.Type.Kind() == reflect.Map:
			case sf.Type.Kind() == reflect.Struct:
				walk(path+sf.Name+".", fv)
			case !places[fv.Addr().Interface()]:
				t.Errorf("%s%s has no setting", path, sf.Name)
			}
		}
	}
	walk("", reflect.ValueOf(&c).Elem())
}
