package e2e

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

// platform is a running "forewarm up".
type platform struct {
	*process
	flags                                    []string
	http, gateway, scheduler, manager, admin string // host:port
}

// functionsFile lists one built-in function and one command, which is the program under test again, since no other
// is sure to be there. Both are marked.
func functionsFile(t testing.TB, mark string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "functions.yaml")
	text := fmt.Sprintf(`functions:
  - name: hello
    sample: hello
    env: {%[1]s: %[2]s}
  - name: echo-command
    command: [%[3]s, sample, hello]
    memory: 64MiB
    timeout: 10s
    env: {%[1]s: %[2]s}
  - name: naps
    sample: sleep
    concurrency: auto
    env: {%[1]s: %[2]s, SLEEP_MS: "300"}
`, markVar, mark, forewarm)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// startPlatform starts one on free ports and waits until it is up.
func startPlatform(t testing.TB, more ...string) *platform {
	t.Helper()
	mark := rand.Text()
	u := &platform{}
	for _, f := range []struct {
		flag string
		addr *string
	}{{"--http-port", &u.http}, {"--gateway-port", &u.gateway}, {"--scheduler-port", &u.scheduler}, {"--manager-port", &u.manager}} {
		port := freePort(t)
		*f.addr = loopback(port)
		u.flags = append(u.flags, f.flag, fmt.Sprint(port))
	}
	u.admin = loopback(freePort(t))
	u.flags = append(append(u.flags, "--admin", u.admin, "--functions", functionsFile(t, mark)), more...)
	u.process = startMarked(t, mark, nil, forewarm, append([]string{"up"}, u.flags...)...)
	u.awaitUp()
	return u
}

// again starts one like u, after u has ended.
func (u *platform) again() *platform {
	u.Helper()
	next := *u
	next.process = startMarked(u.TB, u.mark, nil, forewarm, append([]string{"up"}, u.flags...)...)
	next.awaitUp()
	return &next
}

func (u *platform) awaitUp() {
	u.Helper()
	until(u, "forewarm up says that it is up", 20*time.Second, func() bool {
		select {
		case <-u.ended:
			u.Fatalf("forewarm up ended: %s%s", u.stdout.String(), u.stderr.String())
		default:
		}
		return strings.Contains(u.stdout.String(), "Ctrl-C ends everything.")
	})
}

// answer is what an HTTP call brought.
type answer struct {
	status int
	header http.Header
	body   string
}

// call calls a function over HTTP.
func (u *platform) call(function, body string) answer {
	u.Helper()
	return fetch(u, http.MethodPost, "http://"+u.http+"/function/"+function, body)
}

func fetch(t testing.TB, method, url, body string) answer {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatalf("%s %s: %v", method, url, err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("%s %s: read the answer: %v", method, url, err)
	}
	return answer{resp.StatusCode, resp.Header, string(text)}
}

// dial connects to host:port; the connection lasts as long as the test.
func dial(t testing.TB, addr string) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient(addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}
