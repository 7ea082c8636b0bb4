package edge

import (
	"math/rand/v2"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

func TestEscape(t *testing.T) {
	for _, tt := range []struct{ name, in, want string }{
		{"a name stays", "account/thumbnail_v2.1", "account/thumbnail_v2.1"},
		{"letters of the world stay", "größe-函数-функция", "größe-函数-функция"},
		{"a newline", "a\nlevel=ERROR msg=forged", `a\nlevel=ERROR msg=forged`},
		{"a carriage return hides what came before", "evil\rgood", `evil\rgood`},
		{"a tab", "a\tb", `a\tb`},
		{"a colour", "\x1b[31mred\x1b[0m", `\x1b[31mred\x1b[0m`},
		{"a title of the window", "\x1b]0;owned\a", `\x1b]0;owned\x07`},
		{"a control sequence in one byte of Latin-1", "\u009b31m", `\u009b31m`},
		{"delete and backspace", "a\x7f\b", `a\x7f\x08`},
		{"nul", "a\x00b", `a\x00b`},
		{"letters turned around", "user\u202egnp.exe", `user\u202egnp.exe`},
		{"isolates", "\u2066a\u2069", `\u2066a\u2069`},
		{"nothing to see", "a\u200bb\ufeff", `a\u200bb\ufeff`},
		{"a space that does not break", "a\u00a0b", `a\u00a0b`},
		{"ends of lines of Unicode", "a\u2028b\u0085", `a\u2028b\u0085`},
		{"tags", "a\U000e0041", `a\U000e0041`},
		{"bytes that are no text", "a\xff\xc0b", `a\xff\xc0b`},
		{"a true replacement character", "a\ufffdb", "a\ufffdb"},
		{"a backslash stays", `C:\new`, `C:\new`},
		{"nothing", "", ""},
	} {
		if got := Escape(tt.in); got != tt.want {
			t.Errorf("%s: Escape(%q) = %q, want %q", tt.name, tt.in, got, tt.want)
		}
	}
}

func TestEscapeCuts(t *testing.T) {
	exact := strings.Repeat("x", MaxName)
	if got := Escape(exact); got != exact {
		t.Errorf("%d bytes were cut: %q", MaxName, got)
	}
	for _, in := range []string{exact + "x", strings.Repeat("ü", 1000), strings.Repeat("\x1b", 1000), strings.Repeat("\xff", 1<<20)} {
		got := Escape(in)
		if len(got) > MaxName || len(got) < MaxName-2*noteRoom || !strings.HasSuffix(got, " bytes)") {
			t.Errorf("Escape of %d bytes = %q (%d), want at most %d and a note", len(in), got, len(got), MaxName)
		}
	}
	if got, want := EscapeTo(strings.Repeat("x", 100), 0), strings.Repeat("x", noteRoom)+"…(+69 bytes)"; got != want {
		t.Errorf("EscapeTo the least = %q, want %q", got, want)
	}
}

// holdEscape is what holds for every input.
func holdEscape(t *testing.T, in string, most int) {
	t.Helper()
	got := EscapeTo(in, most)
	if len(got) > max(most, minEscape) {
		t.Errorf("EscapeTo(%q, %d) is %d bytes long", in, most, len(got))
	}
	if !utf8.ValidString(got) || strings.ContainsFunc(got, func(r rune) bool { return !unicode.IsPrint(r) }) {
		t.Errorf("EscapeTo(%q, %d) = %q does not print", in, most, got)
	}
	if again := EscapeTo(got, most); again != got {
		t.Errorf("EscapeTo(%q, %d) = %q, and once more %q", in, most, got, again)
	}
	if clean(in, most) && got != in {
		t.Errorf("EscapeTo(%q, %d) = %q, it was clean", in, most, got)
	}
}

func TestEscapeOfTenThousand(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	pieces := []string{"a", "name", "\n", "\r\n", "\x1b[2J", "\x1b]8;;http://x\x1b\\", "\u202e", "\u2066", "\xff", "\xe2\x80", "é", "函", "\U0001f600", "\x00", "\\", "\u009b", "\U000e0041", "\ufffd"}
	for range 10_000 {
		var b strings.Builder
		for range r.IntN(100) {
			if r.IntN(3) == 0 {
				b.WriteByte(byte(r.Uint32()))
			} else {
				b.WriteString(pieces[r.IntN(len(pieces))])
			}
		}
		holdEscape(t, b.String(), r.IntN(400))
	}
}

func FuzzEscape(f *testing.F) {
	f.Add("a\nb\x1b[31m\u202e\xff", 256)
	f.Add(strings.Repeat("\xf0\x9f", 300), 64)
	f.Fuzz(func(t *testing.T, in string, most int) { holdEscape(t, in, min(most, 1<<16)) })
}

func TestEscapeOfACleanNameAllocatesNothing(t *testing.T) {
	if n := testing.AllocsPerRun(1000, func() { Escape("account/thumbnail") }); n != 0 {
		t.Errorf("%v allocs, want 0", n)
	}
}
