package edge

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const (
	readSecret  = "read-0123456789abcdef"
	writeSecret = "write-0123456789abcdef"
)

func tokenFile(t *testing.T, text string) string {
	t.Helper()
	f := filepath.Join(t.TempDir(), "tokens")
	must(t, os.WriteFile(f, []byte(text), 0o600))
	return f
}

func newTokens(t *testing.T, read, write string) *Tokens {
	t.Helper()
	tokens, err := NewTokens(TokenFiles{Read: []string{tokenFile(t, read)}, Write: []string{tokenFile(t, write)}}, nil)
	must(t, err)
	return tokens
}

func TestLookup(t *testing.T) {
	tokens := newTokens(t, "# dashboards\n\ngrafana: "+readSecret+"\r\n  unnamed-0123456789abcdef  \nboth:both-0123456789abcdef", "ops:"+writeSecret+"\nboss:both-0123456789abcdef\n")
	for _, tt := range []struct {
		secret, name string
		gives        Need
	}{
		{readSecret, "grafana", Read},
		{"unnamed-0123456789abcdef", "tokens line 4", Read},
		{writeSecret, "ops", Write},
		{"both-0123456789abcdef", "boss", Write},
		{"", "", None},
		{readSecret[:len(readSecret)-1], "", None},
		{readSecret + "x", "", None},
		{"grafana:" + readSecret, "", None},
		{strings.ToUpper(readSecret), "", None},
		{strings.Repeat("x", 1<<16), "", None},
		{"# dashboards", "", None},
	} {
		if name, gives := tokens.Lookup(tt.secret); name != tt.name || gives != tt.gives {
			t.Errorf("Lookup(%.40q) = %q, %v, want %q, %v", tt.secret, name, gives, tt.name, tt.gives)
		}
	}
}

// TestLookupVisitsEveryToken holds what constant time rests on: a candidate is compared with all tokens, found or not.
func TestLookupVisitsEveryToken(t *testing.T) {
	var all strings.Builder
	for i := range 100 {
		fmt.Fprintf(&all, "n%d:secret-%032d\n", i, i)
	}
	tokens := newTokens(t, all.String(), "ops:"+writeSecret)
	visits := 0
	tokens.visited = func() { visits++ }
	for _, secret := range []string{"", "x", strings.Repeat("x", 5000), writeSecret, fmt.Sprintf("secret-%032d", 0), fmt.Sprintf("secret-%032d", 50), fmt.Sprintf("secret-%032d", 99)} {
		visits = 0
		tokens.Lookup(secret)
		if visits != 101 {
			t.Errorf("Lookup(%.40q) compared with %d of 101 tokens", secret, visits)
		}
	}
}

func TestTokenFilesThatCannotBeUsed(t *testing.T) {
	for _, tt := range []struct{ name, text, want string }{
		{"empty", "", "holds none"},
		{"comments only", "# nothing\n\n", "holds none"},
		{"short", "ops:hunter2", "line 1: want 16 to 4096"},
		{"only a name", "\nops:", "line 2: want 16"},
		{"long", strings.Repeat("x", maxToken+1), "line 1: want"},
		{"with a space", "ops:secret secret secret", "line 1: want"},
		{"not ASCII", "ops:sécret-0123456789", "line 1: want"},
		{"a name that paints", "\x1b[31mops:" + writeSecret, "line 1: the name"},
		{"huge", strings.Repeat("#\n", maxFile), "longer than"},
		{"many", strings.Repeat(writeSecret+"\n", maxTokens+1), "more than 1000"},
	} {
		_, err := NewTokens(TokenFiles{Write: []string{tokenFile(t, tt.text)}}, nil)
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want an error with %q", tt.name, err, tt.want)
		}
		if err != nil && (strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), "secret")) {
			t.Errorf("%s: the error quotes the token: %v", tt.name, err)
		}
	}
	if _, err := NewTokens(TokenFiles{}, nil); err == nil {
		t.Error("no files: taken")
	}
	if _, err := NewTokens(TokenFiles{Read: []string{"/nonexistent/tokens"}}, nil); err == nil {
		t.Error("a file that is not there: taken")
	}
}

func TestTokensReload(t *testing.T) {
	f := tokenFile(t, "ops:"+writeSecret)
	var out bytes.Buffer
	tokens, err := NewTokens(TokenFiles{Write: []string{f}}, slog.New(slog.NewTextHandler(&out, nil)))
	must(t, err)
	must(t, os.WriteFile(f, []byte("ops:other-0123456789abcdef"), 0o600))
	tokens.look()
	if _, gives := tokens.Lookup(writeSecret); gives != None {
		t.Error("a revoked token still works")
	}
	must(t, os.WriteFile(f, []byte("ops:short"), 0o600))
	tokens.look()
	tokens.look()
	if _, gives := tokens.Lookup("other-0123456789abcdef"); gives != Write {
		t.Error("a file that cannot be used took the earlier tokens away")
	}
	if n := strings.Count(out.String(), "\n"); n != 2 || strings.Contains(out.String(), "short\n") || strings.Contains(out.String(), "0123456789") {
		t.Errorf("logged %q, want one line for each change and no token", out.String())
	}
}

func TestSecretsDoNotPrint(t *testing.T) {
	s, err := ReadToken(tokenFile(t, "# mine\nops:"+writeSecret+"\n"))
	must(t, err)
	if string(s) != writeSecret {
		t.Fatalf("ReadToken = %q", string(s))
	}
	var out bytes.Buffer
	slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "token", s, "in", struct{ T Secret }{s})
	slog.New(slog.NewTextHandler(&out, nil)).Info("x", "token", s, "in", struct{ T Secret }{s})
	fmt.Fprintf(&out, "%v %s %+v %#v %q", s, s, struct{ T Secret }{s}, struct{ T Secret }{s}, s)
	fmt.Fprint(&out, Bearer(s, false), &GuardOptions{})
	j, err := json.Marshal(map[string]Secret{"a": s})
	must(t, err)
	out.Write(j)
	if strings.Contains(out.String(), "0123456789") {
		t.Errorf("printed: %s", out.String())
	}
}
