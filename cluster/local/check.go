package local

import (
	"fmt"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// maxText is the longest id or name that is taken, bytes.
const maxText = 1024

// check turns the complaints about a request into an error; empty ones are none.
func check(method string, complaints ...string) error {
	var all []string
	for _, c := range complaints {
		if c != "" {
			all = append(all, c)
		}
	}
	if len(all) == 0 {
		return nil
	}
	return status.Errorf(codes.InvalidArgument, "%s: %s", method, strings.Join(all, "; "))
}

// text complains about a text that cannot be passed on: it goes into headers and logs.
func text(field, value string) string {
	if len(value) > maxText {
		return fmt.Sprintf("%s is %d bytes long: send at most %d", field, len(value), maxText)
	}
	for i := range len(value) {
		if b := value[i]; b < ' ' || b == 0x7f {
			return fmt.Sprintf("%s holds the control character %q: leave it out", field, b)
		}
	}
	return ""
}

// name is text that must be given.
func name(field, value string) string {
	if value == "" {
		return field + " is empty: send one"
	}
	return text(field, value)
}

func atLeast(field string, value, least int64) string {
	if value < least {
		return fmt.Sprintf("%s is %d: send at least %d", field, value, least)
	}
	return ""
}
