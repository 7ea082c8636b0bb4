package config

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
	_ "time/tzdata" // so that a zone is known or not alike on every machine, and in an image without a database
	"unicode"

	"github.com/forewarm/forewarm/spelling"
)

// kind is how a setting is written. Its text is what documentation and help call it.
type kind string

const (
	kindText      kind = "text"
	kindCount     kind = "number"
	kindShare     kind = "share" // 1% or 0.01
	kindMoney     kind = "money" // a number without a unit, in any one money
	kindSwitch    kind = "true or false"
	kindDuration  kind = "duration"
	kindChoice    kind = "choice"
	kindHost      kind = "address"
	kindAddress   kind = "host:port"
	kindFile      kind = "file"
	kindURL       kind = "URL"
	kindFileOrURL kind = "file or URL"
	kindCron      kind = "cron"
	kindZone      kind = "time zone"
)

// parse reads a value that somebody wrote. Its errors say what is wrong and what would be right, and never repeat a
// URL, which may hold a password.
func (s *setting) parse(text string) (any, error) {
	if text == "" && s.isString() && s.empty {
		return "", nil
	}
	if err := checkText(text); err != nil {
		return nil, err
	}
	if s.kind != kindChoice && s.kind != kindCount && slices.Contains(s.words, text) {
		return text, nil
	}
	switch s.kind {
	case kindCount:
		return s.count(text)
	case kindShare:
		return parseShare(text)
	case kindMoney:
		v, err := strconv.ParseFloat(text, 64)
		if err != nil || !(v >= 0 && v < 1e15) || !isDecimal(strings.Replace(text, "e-", "", 1)) { // prices may be small
			return 0.0, fmt.Errorf("%s is not a price: write a number, such as 0.0002", quote(text))
		}
		return v, nil
	case kindSwitch:
		if text != "true" && text != "false" {
			return false, fmt.Errorf("%s is neither: write true or false", quote(text))
		}
		return text == "true", nil
	case kindDuration:
		return s.duration(text)
	case kindChoice:
		return text, s.choice(text)
	case kindHost:
		return text, checkHost(text)
	case kindAddress:
		return text, s.address(text)
	case kindURL:
		return text, checkURL(text)
	case kindFileOrURL:
		if strings.Contains(text, "://") {
			return text, checkURL(text)
		}
		return text, nil
	case kindCron:
		return text, checkCron(text)
	case kindZone:
		return text, checkZone(text)
	}
	return text, nil
}

// isString reports whether a value is kept as it was written.
func (s *setting) isString() bool {
	switch s.kind {
	case kindCount, kindShare, kindMoney, kindSwitch, kindDuration:
		return false
	}
	return true
}

// put stores what parse gave.
func put(at, v any) {
	switch p := at.(type) {
	case *string:
		*p = v.(string)
	case *Mode:
		*p = Mode(v.(string))
	case *int:
		*p = v.(int)
	case *float64:
		*p = v.(float64)
	case *bool:
		*p = v.(bool)
	case *time.Duration:
		*p = v.(time.Duration)
	default:
		panic(fmt.Sprintf("config: a setting is kept in a %T", at))
	}
}

// format writes a value as parse reads it, except that passwords are masked. Nothing is "".
func (s *setting) format(at any) string {
	switch p := at.(type) {
	case *string:
		if s.kind == kindURL || s.kind == kindFileOrURL && strings.Contains(*p, "://") {
			return maskURL(*p)
		}
		return *p
	case *Mode:
		return string(*p)
	case *int:
		if *p == Auto {
			return "auto"
		}
		return strconv.Itoa(*p)
	case *float64:
		switch {
		case *p == 0 && s.empty:
			return ""
		case s.kind == kindShare:
			return strconv.FormatFloat(*p*100, 'g', 6, 64) + "%"
		}
		return strconv.FormatFloat(*p, 'f', -1, 64)
	case *bool:
		return strconv.FormatBool(*p)
	case *time.Duration:
		if *p == 0 && s.empty {
			return ""
		}
		return formatDuration(*p)
	}
	panic(fmt.Sprintf("config: a setting is kept in a %T", at))
}

func (s *setting) count(text string) (int, error) {
	if slices.Contains(s.words, text) { // auto is the only one
		return Auto, nil
	}
	or := ""
	if len(s.words) > 0 {
		or = ", or " + strings.Join(s.words, " or ")
	}
	n, err := strconv.ParseInt(text, 10, 64)
	switch {
	case err != nil:
		return 0, fmt.Errorf("%s is not a whole number: write %d to %d%s", quote(text), s.least, s.most, or)
	case n < s.least:
		return 0, fmt.Errorf("%s is too little: write at least %d%s", quote(text), s.least, or)
	case n > s.most:
		return 0, fmt.Errorf("%s is too much: write at most %d%s", quote(text), s.most, or)
	}
	return int(n), nil
}

func (s *setting) duration(text string) (time.Duration, error) {
	d, err := time.ParseDuration(text)
	switch {
	case isDecimal(text):
		return 0, fmt.Errorf("%s has no unit: write %ss for seconds (ms, s, m and h are known)", quote(text), text)
	case err != nil:
		return 0, fmt.Errorf("%s is not a duration: write a number and ms, s, m or h, such as 30s or 1m30s", quote(text))
	case d < time.Duration(s.least):
		return 0, fmt.Errorf("%s is too short: write at least %s", quote(text), formatDuration(time.Duration(s.least)))
	case d > time.Duration(s.most):
		return 0, fmt.Errorf("%s is too long: write at most %s", quote(text), formatDuration(time.Duration(s.most)))
	}
	return d, nil
}

// formatDuration is d without zeroes at the end: 1m, not 1m0s.
func formatDuration(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// parseShare reads 1% or 0.01, above nothing and up to all.
func parseShare(text string) (float64, error) {
	digits, percent := strings.CutSuffix(text, "%")
	digits = strings.TrimSpace(digits)
	v, err := strconv.ParseFloat(digits, 64)
	if err != nil || !isDecimal(digits) {
		return 0, fmt.Errorf("%s is not a share: write a percentage, such as 5%%, or a fraction, such as 0.05", quote(text))
	}
	if percent {
		v /= 100
	}
	if !(v > 0 && v <= 1) {
		return 0, fmt.Errorf("%s is outside of what there is: write more than 0%% and at most 100%%, or 0.05 for 5%%", quote(text))
	}
	return v, nil
}

func (s *setting) choice(text string) error {
	if slices.Contains(s.words, text) {
		return nil
	}
	if word, ok := spelling.Nearest(text, s.words); ok {
		return fmt.Errorf("%s does not exist: did you mean %s?", quote(text), word)
	}
	return fmt.Errorf("%s does not exist: write one of %s", quote(text), strings.Join(s.words, ", "))
}

// checkHost wants an address or a name, without a port.
func checkHost(text string) error {
	if host, port, err := net.SplitHostPort(text); err == nil && isDecimal(port) {
		return fmt.Errorf("%s holds a port: write the address alone, %s, and the port as listen.port", quote(text), quote(host))
	}
	if net.ParseIP(text) == nil && (text == "" || strings.ContainsAny(text, ":/[] ")) {
		return fmt.Errorf("%s is not an address: write one such as 127.0.0.1, ::1 or 0.0.0.0", quote(text))
	}
	return nil
}

// address wants a host and a port.
func (s *setting) address(text string) error {
	or, example := "", s.def
	if len(s.words) > 0 {
		or = ", or " + strings.Join(s.words, " or ")
	}
	if example == "" {
		example = "127.0.0.1:10400"
	}
	host, port, err := net.SplitHostPort(text)
	if err != nil || host == "" && s.def == "" || strings.ContainsAny(host, "/@ ") {
		return fmt.Errorf("%s is not host:port: write it such as %s%s", quote(text), example, or)
	}
	if n, err := strconv.Atoi(port); err != nil || n < 0 || n > 65535 {
		return fmt.Errorf("the port of %s is not a number up to 65535: write it such as %s%s", quote(text), example, or)
	}
	return nil
}

// urlExample ends what is said of a URL, which itself is not repeated.
const urlExample = "write one such as http://127.0.0.1:8428/api/v1/import/prometheus"

func checkURL(text string) error {
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return errors.New("it is not a URL: " + urlExample)
	case u.Scheme != "http" && u.Scheme != "https":
		return errors.New("it is not a URL of http or https: " + urlExample)
	case u.Hostname() == "":
		return errors.New("it is a URL without a host: " + urlExample)
	}
	return nil
}

// maskURL hides what may be a secret in a URL: the user's password, and the query.
func maskURL(text string) string {
	u, err := url.Parse(text)
	if err != nil {
		return "xxxxx"
	}
	if u.RawQuery != "" {
		u.RawQuery = "xxxxx"
	}
	if u.User != nil {
		u.User = url.User("xxxxx") // a token may stand in the user's place
	}
	u.Fragment = ""
	return u.String()
}

// checkZone wants a place of the time zone database. It refuses "Local", which is another one on each machine.
func checkZone(text string) error {
	if _, err := time.LoadLocation(text); err != nil || text == "" || text == "Local" {
		return fmt.Errorf("%s is not a time zone: write UTC, or a place such as Europe/Berlin", quote(text))
	}
	return nil
}

// checkText refuses what would garble a log or a terminal.
func checkText(text string) error {
	switch {
	case text == "":
		return errors.New("it is empty: write a value, or remove it")
	case strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }):
		return errors.New("it holds characters that cannot be printed: remove them")
	}
	return nil
}

// isDecimal holds back what ParseFloat reads besides plain numbers: inf, 0x1p4, signs.
func isDecimal(s string) bool {
	return strings.Trim(s, "0123456789.") == "" && strings.Trim(s, ".") != ""
}

// resolve makes a path that stands in a file one that is found from the working folder.
func (s *setting) resolve(v any, file string) any {
	path, ok := v.(string)
	if !ok || path == "" || s.kind != kindFile && s.kind != kindFileOrURL || strings.Contains(path, "://") || filepath.IsAbs(path) {
		return v
	}
	return filepath.Join(filepath.Dir(file), path)
}

// quote makes a value fit for one line of a message.
func quote(s string) string {
	const most = 40 // bytes; enough to find it in the file
	if len(s) > most {
		return strconv.Quote(s[:most]) + "..."
	}
	return strconv.Quote(s)
}
