package edge

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// MaxName bounds what Escape gives, in bytes. Names that are allowed are half as long.
const MaxName = 256

const (
	noteRoom  = len("…(+9223372036854775807 bytes)") // the note that something was cut, at its longest
	minEscape = 2 * noteRoom
)

// Escape makes a name from outside fit for logs, labels and terminals: valid UTF-8 of at most MaxName bytes, in which
// every rune shows. What does not show, or acts on a terminal or on the order of letters, is written as Go would write
// it in a string: \n, \x1b, \u202e. Bytes that are not UTF-8 become \xff.
//
// A backslash stays as it is, so that escaping twice does no harm; a name with a true backslash and n in it thus looks
// like one with a newline. Telling these apart is worth less than lines that do not grow from layer to layer.
func Escape(name string) string { return EscapeTo(name, MaxName) }

// EscapeTo is Escape for at most most bytes, 62 or more.
func EscapeTo(s string, most int) string {
	most = max(most, minEscape)
	if clean(s, most) {
		return s
	}
	var b strings.Builder
	keep := 0 // length of b with which a note still fits
	cut := 0  // bytes of s that the first keep bytes of b stand for
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		writeRune(&b, s[i], r, n)
		i += n
		if b.Len()+noteRoom <= most {
			keep, cut = b.Len(), i
		}
		if b.Len() > most {
			return b.String()[:keep] + fmt.Sprintf("…(+%d bytes)", len(s)-cut)
		}
	}
	return b.String()
}

func clean(s string, most int) bool {
	if len(s) > most {
		return false
	}
	for _, r := range s {
		if !unicode.IsPrint(r) || r == utf8.RuneError { // the latter may be a byte that is none
			return false
		}
	}
	return true
}

func writeRune(b *strings.Builder, first byte, r rune, size int) {
	switch {
	case r == utf8.RuneError && size == 1:
		fmt.Fprintf(b, `\x%02x`, first)
	case unicode.IsPrint(r): // of all spaces only ASCII's
		b.WriteRune(r)
	case r == '\n':
		b.WriteString(`\n`)
	case r == '\r':
		b.WriteString(`\r`)
	case r == '\t':
		b.WriteString(`\t`)
	case r < utf8.RuneSelf:
		fmt.Fprintf(b, `\x%02x`, r)
	case r <= 0xffff:
		fmt.Fprintf(b, `\u%04x`, r)
	default:
		fmt.Fprintf(b, `\U%08x`, r)
	}
}
