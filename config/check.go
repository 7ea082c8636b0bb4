package config

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"os"
	"strings"
)

// check looks at what settings say together. Of a setting that was complained of, nothing more is said.
func (l *loader) check(s *Set) {
	for _, name := range s.Require {
		l.required(name)
	}
	l.checkPorts()
	l.checkWorth()
	l.ordered("planner.rounds.min", "planner.rounds.max", l.c.Planner.Rounds.Min > l.c.Planner.Rounds.Max,
		formatDuration(l.c.Planner.Rounds.Min), formatDuration(l.c.Planner.Rounds.Max))
	for name, f := range l.c.Functions {
		l.checkFunction("functions."+name, f)
	}
	if !s.Offline {
		l.checkTLSFiles("tls.contract", l.c.TLS.Contract)
		l.checkTLSFiles("tls.admin", l.c.TLS.Admin)
		l.checkTokens()
	}
}

// fail complains of a setting, where its value was given.
func (l *loader) fail(name, format string, args ...any) {
	l.failf(l.c.origins[name], "%s: %s", name, fmt.Sprintf(format, args...))
}

// given reports whether something was said about a setting, and was right.
func (l *loader) given(name string) bool {
	return l.c.origins[name].Source != FromDefault && !l.isBad(name)
}

// anyBad reports whether one of them was complained of, so that they cannot be compared.
func (l *loader) anyBad(names ...string) bool {
	for _, n := range names {
		if l.isBad(n) {
			return true
		}
	}
	return false
}

func (l *loader) required(name string) {
	for _, r := range l.rows {
		if r.name == name && !l.isBad(name) && r.format(r.at(l.c)) == "" {
			or := ""
			if r.env != "" {
				or = " or " + r.env
			}
			l.fail(name, "not given: write --%s, %s%s in the environment, or %s in the file", r.flag, r.envName(), or, name)
		}
	}
}

// checkPorts holds that no port can be reached from other machines in the clear unless that was said to be meant.
func (l *loader) checkPorts() {
	c := l.c
	for _, p := range []struct{ setting, value, host, tls string }{
		{"listen.address", c.Listen.Address, c.Listen.Address, "tls.contract"},
		{"admin", c.Admin, hostOf(c.Admin), "tls.admin"},
	} {
		t := c.TLS.Contract
		if p.tls == "tls.admin" {
			t = c.TLS.Admin
		}
		if (p.setting != "admin" || c.Admin != None) && !loopback(p.host) && !t.On() && !c.AllowPlaintext &&
			!l.anyBad(p.setting, p.tls+".cert", p.tls, "allow_plaintext") {
			l.fail(p.setting, "other machines can reach %s, and the port has no TLS: give %s.cert and %[2]s.key, listen on 127.0.0.1, or say allow_plaintext: true",
				quote(p.value), p.tls)
		}
		l.checkTLS(p.tls, t)
	}
	if c.Admin == c.Listen.HostPort() && c.Listen.Port != 0 && !l.anyBad("admin", "listen") {
		l.fail("admin", "%s is the contract's port, too: choose another", c.Admin)
	}
}

// loopback reports whether only this machine reaches a host. Of names, it trusts localhost alone.
func loopback(host string) bool {
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback() || strings.EqualFold(host, "localhost")
}

// hostOf is the host of host:port.
func hostOf(addr string) string {
	host, _, _ := net.SplitHostPort(addr) // it was checked, or is None
	return host
}

// checkTLS holds that what belongs together is given together.
func (l *loader) checkTLS(name string, t TLS) {
	cert, key, ca := name+".cert", name+".key", name+".client_ca"
	switch {
	case l.anyBad(cert, key):
	case t.Cert != "" && t.Key == "":
		l.fail(cert, "there is no %s: give the private key of the certificate as well", key)
	case t.Cert == "" && t.Key != "":
		l.fail(key, "there is no %s: give the certificate of the key as well", cert)
	case t.Cert == "" && t.ClientCA != "":
		l.fail(ca, "callers cannot show a certificate to a port without TLS: give %s and %s as well", cert, key)
	}
}

// checkTLSFiles holds that the files are there and fit.
func (l *loader) checkTLSFiles(name string, t TLS) {
	if t.Key != "" && !l.isBad(name+".key") {
		l.secret(name+".key", t.Key)
	}
	if t.Cert != "" && t.Key != "" && !l.anyBad(name+".cert", name+".key") {
		if _, err := tls.LoadX509KeyPair(t.Cert, t.Key); err != nil {
			l.fail(name+".cert", "the certificate and its key cannot be used: %s", plain(err))
		}
	}
	if t.ClientCA != "" && !l.isBad(name+".client_ca") {
		if pem, err := os.ReadFile(t.ClientCA); err != nil {
			l.fail(name+".client_ca", "cannot be read: %s", plain(err))
		} else if !x509.NewCertPool().AppendCertsFromPEM(pem) {
			l.fail(name+".client_ca", "%s holds no certificate: write them in PEM", t.ClientCA)
		}
	}
}

// plain is an error's text without the prefix of package tls.
func plain(err error) string { return strings.TrimPrefix(err.Error(), "tls: ") }

// minToken is the least length of a token, in bytes: 16 of hexadecimal letters are 64 bits, which cannot be guessed
// through a port.
const minToken = 16

// ReadToken reads the token that a file holds, without the line end after it. Errors name the file and not what is
// in it.
func ReadToken(path string) ([]byte, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	token := bytes.TrimSpace(data)
	switch {
	case len(token) < minToken:
		return nil, fmt.Errorf("%s holds %d characters: write a token of at least %d, as \"openssl rand -hex 32\" gives", path, len(token), minToken)
	case bytes.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }):
		return nil, fmt.Errorf("%s holds more than one word of ASCII: write the token alone", path)
	}
	return token, nil
}

func (l *loader) checkTokens() {
	var tokens [2][]byte
	for i, f := range []struct{ name, path string }{{"tokens.read_file", l.c.Tokens.ReadFile}, {"tokens.write_file", l.c.Tokens.WriteFile}} {
		if f.path == "" || l.isBad(f.name) || !l.secret(f.name, f.path) {
			continue
		}
		var err error
		if tokens[i], err = ReadToken(f.path); err != nil {
			l.fail(f.name, "%s", plain(err))
		}
	}
	if tokens[0] != nil && bytes.Equal(tokens[0], tokens[1]) {
		l.fail("tokens.write_file", "it holds the same token as tokens.read_file, so that whoever may look may change things: write another")
	}
}

// secret holds that a file can be read by us and not by everybody.
func (l *loader) secret(name, path string) bool {
	f, err := os.Open(path)
	if err != nil {
		l.fail(name, "cannot be read: %s", plain(err))
		return false
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		l.fail(name, "cannot be read: %s", plain(err))
	case !info.Mode().IsRegular():
		l.fail(name, "%s is not a file", path)
	case info.Mode().Perm()&0o004 != 0:
		l.fail(name, "everybody on this machine can read %s (mode %04o): chmod o-r it; in Kubernetes, defaultMode: 0440", path, info.Mode().Perm())
	default:
		return true
	}
	return false
}

// checkWorth holds that what a cold start is worth is said in one way. Where it is not kappa, Kappa is 0.
func (l *loader) checkWorth() {
	const kappa, cold, gib, node, target = "planner.kappa", "planner.prices.cold", "planner.prices.gib_second", "planner.prices.node_second", "planner.target_cold"
	p := &l.c.Planner
	if l.anyBad(kappa, cold, gib, node, target) {
		return
	}
	prices := first(l, cold, gib, node)
	for _, pair := range [][2]string{{prices, first(l, kappa)}, {prices, first(l, target)}, {first(l, target), first(l, kappa)}} {
		if pair[0] != "" && pair[1] != "" {
			l.fail(pair[0], "%s (%v) says already what a cold start is worth: give one of kappa, prices and target_cold", pair[1], l.c.origins[pair[1]])
		}
	}
	for _, need := range []struct {
		name  string
		value float64
	}{{cold, p.Prices.Cold}, {gib, p.Prices.GiBSecond}} {
		switch {
		case prices == "" || need.value > 0:
		case l.given(need.name):
			l.fail(need.name, "0 prices nothing: write more than 0")
		default:
			l.fail(prices, "there is no %s: kappa is worked out from both %s and %s", need.name, cold, gib)
		}
	}
	if l.given(target) && p.TargetCold >= 1 {
		l.fail(target, "at 100%% every call may start cold, and nothing is to be learnt: write less, or planner.policy: reactive")
	}
	if prices != "" || l.given(target) {
		p.Kappa = 0
	}
}

// first is the first of the settings that was given, or "".
func first(l *loader, names ...string) string {
	for _, n := range names {
		if l.given(n) {
			return n
		}
	}
	return ""
}

// ordered complains where a lower bound is over an upper one, at the one that was given.
func (l *loader) ordered(low, high string, wrong bool, lowValue, highValue string) {
	if !wrong || l.anyBad(low, high) {
		return
	}
	at, other, word, value, bound := low, high, "more", lowValue, highValue
	if !l.given(low) {
		at, other, word, value, bound = high, low, "less", highValue, lowValue
	}
	l.fail(at, "%s is %s than %s, which is %s (%v)", value, word, other, bound, l.c.origins[other])
}

func (l *loader) checkFunction(name string, f Function) {
	bound := func(low, high string, a, b int) {
		l.ordered(low, high, b > 0 && a > b, fmt.Sprint(a), fmt.Sprint(b))
	}
	bound(name+".min", name+".max", f.Min, f.Max)
	if f.Max == 0 || f.Min <= f.Max { // else the one complaint will do
		bound(name+".min", name+".max_containers", f.Min, f.MaxContainers)
	}
	bound(name+".max", name+".max_containers", f.Max, f.MaxContainers)
	for i, w := range f.Calendar {
		l.checkWindow(name, fmt.Sprintf("%s.calendar[%d]", name, i), f, w)
	}
}

func (l *loader) checkWindow(function, name string, f Function, w Window) {
	for _, key := range []string{"cron", "duration"} {
		if !l.given(name+"."+key) && !l.isBad(name+"."+key) {
			l.fail(name, "there is no %s: write a window such as %s", key, windowExample)
		}
	}
	low, high := name+".min", name+".max"
	if !l.given(low) && !l.given(high) && !l.anyBad(low, high) {
		l.fail(name, "it has neither min nor max, and so changes nothing: give one")
		return
	}
	l.ordered(low, high, w.Max > 0 && w.Min > w.Max, fmt.Sprint(w.Min), fmt.Sprint(w.Max))
	l.ordered(function+".min", high, w.Max > 0 && f.Min > w.Max, fmt.Sprint(f.Min), fmt.Sprint(w.Max)) // the larger min holds
	if w.Max == 0 {
		l.ordered(low, function+".max", f.Max > 0 && w.Min > f.Max, fmt.Sprint(w.Min), fmt.Sprint(f.Max))
	}
	l.ordered(low, function+".max_containers", f.MaxContainers > 0 && w.Min > f.MaxContainers, fmt.Sprint(w.Min), fmt.Sprint(f.MaxContainers))
}
