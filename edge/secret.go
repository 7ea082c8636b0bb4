package edge

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"

	"google.golang.org/grpc/credentials"
)

// Secret is a string that does not print: not in logs, errors, JSON or YAML. Convert it to use it.
type Secret string

const hidden = "(hidden)"

func (Secret) String() string               { return hidden }
func (Secret) GoString() string             { return hidden }
func (Secret) LogValue() slog.Value         { return slog.StringValue(hidden) }
func (Secret) MarshalText() ([]byte, error) { return []byte(hidden), nil }

// ReadToken takes the first token of a file, for a command that shows it.
func ReadToken(file string) (Secret, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("edge: token: %w", err)
	}
	for line := range strings.Lines(string(text)) {
		if _, secret, ok := splitToken(line); ok {
			return Secret(secret), nil
		}
	}
	return "", fmt.Errorf("edge: token: %s holds none", file)
}

// Bearer sends a token with each call of a connection. It goes over TLS, or with plaintext over whatever there is:
// give true only for loopback, or where the operator permitted it.
func Bearer(token Secret, plaintext bool) credentials.PerRPCCredentials {
	return &bearer{func() string { return "Bearer " + string(token) }, plaintext}
}

type bearer struct {
	header    func() string // not a field of text, so that it does not print
	plaintext bool
}

func (b *bearer) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return map[string]string{"authorization": b.header()}, nil
}

func (b *bearer) RequireTransportSecurity() bool { return !b.plaintext }
