package history

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"strconv"
	"strings"
	"time"
)

// Bounds on what a file may hold.
const (
	maxLine    = 1 << 20 // bytes
	maxName    = 1024    // bytes, as the dispatcher takes
	maxCount   = 1 << 40
	maxService = 24 * time.Hour
)

func readFile(ctx context.Context, path string, b *book) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("history: %w", err)
	}
	defer f.Close()
	var r io.Reader = f
	if strings.HasSuffix(path, ".gz") {
		z, err := gzip.NewReader(f)
		if err != nil {
			return fmt.Errorf("history: %s: %w", path, err)
		}
		defer z.Close()
		r = z
	}
	return readLines(ctx, path, r, b)
}

// readLines reads one row a line, so that no row is longer than a line and an error knows where it stands. The first
// line tells what they are.
func readLines(ctx context.Context, path string, r io.Reader, b *book) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 64<<10), maxLine)
	var parse func(line string) (fields, error)
	n := 0
	for lines.Scan() {
		n++
		line := lines.Text()
		if n == 1 {
			line = strings.TrimPrefix(line, "\ufeff") // some spreadsheets begin with a byte order mark
		}
		if n%1024 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		if strings.TrimSpace(line) == "" {
			continue
		}
		if parse == nil {
			var done bool
			var err error
			if parse, done, err = format(line); err != nil {
				return fmt.Errorf("history: %s:%d: %w", path, n, err)
			}
			if done {
				continue
			}
		}
		if err := enter(b, parse, line); err != nil {
			return fmt.Errorf("history: %s:%d: %w", path, n, err)
		}
	}
	switch err := lines.Err(); {
	case errors.Is(err, bufio.ErrTooLong):
		return fmt.Errorf("history: %s:%d: the line is longer than %d bytes", path, n+1, maxLine)
	case err != nil:
		return fmt.Errorf("history: %s:%d: %w", path, n+1, err)
	case parse == nil:
		return fmt.Errorf("history: %s is empty; CSV begins with a line of column names, timestamp and function among them", path)
	}
	return nil
}

func enter(b *book, parse func(string) (fields, error), line string) error {
	f, err := parse(line)
	if err != nil {
		return err
	}
	at, err := f.time()
	if err != nil {
		return err
	}
	if f.function == "" || len(f.function) > maxName || len(f.account) > maxName {
		return fmt.Errorf("function %.64q of account %.64q: a function has a name, and neither may be longer than %d bytes", f.function, f.account, maxName)
	}
	service, err := f.service()
	if err != nil {
		return err
	}
	count, err := f.calls()
	if err != nil || count == 0 {
		return err
	}
	b.add(f.account, f.function, at, service, count)
	return nil
}

// fields are a row as it is written.
type fields struct{ timestamp, function, account, duration, count string }

// format finds out what a file is by its first line, and whether that line is done with.
func format(first string) (parse func(string) (fields, error), done bool, err error) {
	switch first = strings.TrimSpace(first); first[0] {
	case '{':
		return parseJSON, false, nil
	case '[':
		return nil, false, errors.New("a JSON array; write one object a line, without commas between them")
	}
	names, err := split(first)
	if err != nil {
		return nil, false, err
	}
	parse, err = csvParser(names)
	return parse, true, err
}

// csvParser reads the columns that it knows from where the head line says they are.
func csvParser(names []string) (func(string) (fields, error), error) {
	at := map[string]int{}
	for i, name := range names {
		name = strings.ToLower(strings.TrimSpace(name))
		if _, twice := at[name]; twice && name != "" {
			return nil, fmt.Errorf("column %q stands twice in the head line", name)
		}
		at[name] = i
	}
	for _, name := range []string{"timestamp", "function"} {
		if _, ok := at[name]; !ok {
			return nil, fmt.Errorf("no column %q in the head line %.200q; there are timestamp and function, and may be account, duration_ms and count", name, strings.Join(names, ","))
		}
	}
	return func(line string) (fields, error) {
		cells, err := split(line)
		if err != nil {
			return fields{}, err
		}
		if len(cells) != len(names) {
			return fields{}, fmt.Errorf("%d cells, the head line has %d", len(cells), len(names))
		}
		cell := func(name string) string {
			if i, ok := at[name]; ok {
				return strings.TrimSpace(cells[i])
			}
			return ""
		}
		return fields{cell("timestamp"), cell("function"), cell("account"), cell("duration_ms"), cell("count")}, nil
	}, nil
}

// split takes a line of CSV apart. A quoted cell must end in its line.
func split(line string) ([]string, error) {
	if !strings.Contains(line, `"`) {
		return strings.Split(line, ","), nil
	}
	cells, err := csv.NewReader(strings.NewReader(line)).Read()
	var bad *csv.ParseError
	if errors.As(err, &bad) { // its line number is not the file's
		return nil, fmt.Errorf("column %d: %w", bad.Column, bad.Err)
	}
	return cells, err
}

func parseJSON(line string) (fields, error) {
	var o struct {
		Timestamp, Function, Account json.RawMessage
		Duration                     json.RawMessage `json:"duration_ms"`
		Count                        json.RawMessage
	}
	if err := json.Unmarshal([]byte(line), &o); err != nil {
		return fields{}, err
	}
	var f fields
	var errs []error
	text := func(to *string, raw json.RawMessage) {
		switch raw = bytes.TrimSpace(raw); {
		case len(raw) == 0 || string(raw) == "null":
		case raw[0] == '"':
			errs = append(errs, json.Unmarshal(raw, to))
		default:
			*to = string(raw) // a number; whatever else is refused where it is read
		}
	}
	text(&f.timestamp, o.Timestamp)
	text(&f.function, o.Function)
	text(&f.account, o.Account)
	text(&f.duration, o.Duration)
	text(&f.count, o.Count)
	return f, errors.Join(errs...)
}

// Numbers below are seconds since 1970, those above are milliseconds: 1973 in the one, 5138 in the other.
const millisFrom = 1e11

func (f *fields) time() (time.Time, error) {
	n, err := strconv.ParseFloat(f.timestamp, 64)
	if err != nil {
		t, err := time.Parse(time.RFC3339Nano, f.timestamp)
		if err != nil {
			return t, fmt.Errorf("timestamp %.64q is neither RFC 3339, as 2026-01-31T12:00:00Z, nor a number of seconds or milliseconds since 1970", f.timestamp)
		}
		return t, nil
	}
	if n >= millisFrom {
		n /= 1000
	}
	if !(n > 0 && n < millisFrom) {
		return time.Time{}, fmt.Errorf("timestamp %.64q is no number of seconds or milliseconds since 1970", f.timestamp)
	}
	whole, part := math.Modf(n)
	return time.Unix(int64(whole), int64(part*1e6)*1000), nil // a float64 has no more than microseconds today
}

func (f *fields) service() (time.Duration, error) {
	if f.duration == "" {
		return untimed, nil
	}
	ms, err := strconv.ParseFloat(f.duration, 64)
	if err != nil || !(ms >= 0 && ms <= float64(maxService.Milliseconds())) {
		return 0, fmt.Errorf("duration_ms %.64q; it is a number from 0 to %d", f.duration, maxService.Milliseconds())
	}
	return time.Duration(ms * float64(time.Millisecond)), nil
}

func (f *fields) calls() (int64, error) {
	if f.count == "" {
		return 1, nil
	}
	n, err := strconv.ParseInt(f.count, 10, 64)
	if err != nil || n < 0 || n > maxCount {
		return 0, fmt.Errorf("count %.64q; it is a whole number from 0 to %d", f.count, int64(maxCount))
	}
	return n, nil
}
