package edge

import (
	"bufio"
	"bytes"
	"cmp"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
)

// Need is the right that a call takes.
type Need int

// Rights, from the least to the greatest; one that writes may read.
const (
	None Need = iota
	Read
	Write
)

func (n Need) String() string { return [...]string{"none", "read", "write"}[n] }

// TokenFiles hold one token a line, "name:token" or the token alone; empty lines and those that begin with # are
// skipped. A token without a name is called after its file and line.
type TokenFiles struct {
	Read  []string // tokens that read
	Write []string // tokens that write, and read
}

// Bounds of tokens.
const (
	minToken  = 16      // bytes; shorter ones can be guessed
	maxToken  = 4 << 10 // bytes
	maxTokens = 1000    // each call compares with all
	maxFile   = 1 << 20 // bytes
)

// token is what is kept of one: never itself.
type token struct {
	name   string
	digest [sha256.Size]byte
	gives  Need
}

// Tokens says what a bearer token allows. Run keeps it up to date with its files.
type Tokens struct {
	watched
	files   TokenFiles
	current atomic.Pointer[[]token]
	visited func() // of a test: counts the tokens that a candidate was compared with
}

// NewTokens loads the files, one at least. A file without a token is an error: it would lock everybody out, or in.
func NewTokens(files TokenFiles, log *slog.Logger) (*Tokens, error) {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	t := &Tokens{files: files}
	t.watched = watched{paths: slices.Concat(files.Read, files.Write), what: "token files", load: t.load, log: log}
	if len(t.paths) == 0 {
		return nil, errors.New("edge: no file of tokens is named")
	}
	return t, t.Reload()
}

func (t *Tokens) load() error {
	var all []token
	for _, f := range t.paths {
		gives := Read
		if slices.Contains(t.files.Write, f) {
			gives = Write
		}
		more, err := readTokens(f, gives)
		if err != nil {
			return err
		}
		if all = append(all, more...); len(all) > maxTokens {
			return fmt.Errorf("edge: more than %d tokens", maxTokens)
		}
	}
	slices.SortStableFunc(all, func(a, b token) int { return cmp.Compare(a.gives, b.gives) }) // the last match counts: write wins
	t.current.Store(&all)
	return nil
}

// readTokens quotes no line in its errors: a line that is wrong may still hold a secret.
func readTokens(file string, gives Need) (out []token, err error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("edge: tokens: %w", err)
	}
	if len(text) > maxFile {
		return nil, fmt.Errorf("edge: tokens: %s is longer than %d bytes", file, maxFile)
	}
	lines := bufio.NewScanner(bytes.NewReader(text))
	lines.Buffer(nil, maxFile+1)
	for n := 1; lines.Scan(); n++ {
		name, secret, ok := splitToken(lines.Text())
		if !ok {
			continue
		}
		if name == "" {
			name = fmt.Sprintf("%s line %d", filepath.Base(file), n)
		}
		if len(secret) < minToken || len(secret) > maxToken || strings.ContainsFunc(secret, notVisible) {
			return nil, fmt.Errorf("edge: tokens: %s, line %d: want %d to %d visible ASCII characters", file, n, minToken, maxToken)
		}
		if name != EscapeTo(name, 64) {
			return nil, fmt.Errorf("edge: tokens: %s, line %d: the name before the colon is longer than 64 bytes or does not print", file, n)
		}
		out = append(out, token{name, sha256.Sum256([]byte(secret)), gives})
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("edge: tokens: %s: %w", file, err)
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("edge: tokens: %s holds none", file)
	}
	return out, nil
}

func notVisible(r rune) bool { return r <= ' ' || r > '~' }

// splitToken takes a line apart; false where it holds no token.
func splitToken(line string) (name, secret string, ok bool) {
	line = strings.TrimSpace(line)
	if line == "" || line[0] == '#' {
		return "", "", false
	}
	if name, secret, ok = strings.Cut(line, ":"); !ok {
		return "", line, true
	}
	return strings.TrimSpace(name), strings.TrimSpace(secret), true
}

// Lookup tells what a token allows and what it is called; None for one that is not known.
//
// It compares digests, and with every token whatever came before, so that the time it takes tells nothing about how
// long tokens are, how much of one was guessed, or which one it was.
func (t *Tokens) Lookup(secret string) (name string, gives Need) {
	digest := sha256.Sum256([]byte(secret))
	all := *t.current.Load()
	found := -1
	for i := range all {
		found = subtle.ConstantTimeSelect(subtle.ConstantTimeCompare(digest[:], all[i].digest[:]), i, found)
		if t.visited != nil {
			t.visited()
		}
	}
	if found < 0 {
		return "", None
	}
	return all[found].name, all[found].gives
}
