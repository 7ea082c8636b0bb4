package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/forewarm/forewarm/catalog"
)

// applyRequest is what "forewarm apply" sends to "forewarm up".
type applyRequest struct {
	File    string `json:"file"`    // name of what was read, for errors
	Folder  string `json:"folder"`  // where it is, from which its commands are found
	Text    []byte `json:"text"`    // what was read
	DryRun  bool   `json:"dry_run"` // only tell
	Version string `json:"version"` // that the list in force must still have; "" for any
}

// applyReply is the answer.
type applyReply struct {
	Changes []catalog.Change `json:"changes"`
	Version string           `json:"version"` // of the list in force
	Error   string           `json:"error,omitempty"`
}

// control changes the functions of a running platform. Requests come over a socket in a folder of the user's own, and
// not over the gateway's or the scheduler's port: functions reach those, and who may write the list of functions may
// run programs. The new list goes to the manager and its nodes first, then to the scheduler, and to the gateway last:
// so whatever the gateway lets in can be started by then. That order serves removals, too, since manager and nodes
// forget nothing that a call may still wait for, and the scheduler only stops holding containers ahead.
type control struct {
	log   *slog.Logger
	base  string // folder from which commands are found
	roles []functionsRole

	mu      sync.Mutex
	inForce *catalog.Catalog // guarded by mu
}

// functionsRole is a role that goes by the list.
type functionsRole struct {
	name string
	set  func(*catalog.Catalog) error
}

// errStale means that the list was changed since the changes were shown.
var errStale = errors.New("the functions were changed by somebody else in the meantime: apply again and look at what would change now")

// apply puts a list in force, as a whole or not at all.
func (c *control) apply(r *applyRequest) (applyReply, error) {
	wanted, err := catalog.Parse(r.File, r.Text)
	if err != nil {
		return applyReply{}, err
	}
	if r.Folder != c.base {
		anchor(wanted, r.Folder)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	reply := applyReply{Changes: catalog.Diff(c.inForce, wanted), Version: digest(c.inForce)}
	switch {
	case r.Version != "" && r.Version != reply.Version:
		return reply, errStale
	case r.DryRun || len(reply.Changes) == 0:
		return reply, nil
	}
	for i, role := range c.roles {
		if err := role.set(wanted); err != nil {
			c.undo(c.roles[:i+1])
			return reply, fmt.Errorf("nothing was changed: the %s did not take the new functions: %w", role.name, err)
		}
	}
	c.inForce = wanted
	reply.Version = digest(wanted)
	for _, ch := range reply.Changes {
		c.log.Info("function "+ch.Kind, "function", ch.Function, "fields", fieldNames(ch)) // no values: env may hold secrets
	}
	return reply, nil
}

func (c *control) undo(told []functionsRole) {
	for _, role := range slices.Backward(told) {
		if err := role.set(c.inForce); err != nil {
			c.log.Error("a role may go by a list of functions that is not in force; apply again", "role", role.name, "error", err)
		}
	}
}

func fieldNames(c catalog.Change) string {
	names := make([]string, len(c.Fields))
	for i, f := range c.Fields {
		names[i] = f.Name
	}
	return strings.Join(names, ", ")
}

// digest tells one list from another.
func digest(c *catalog.Catalog) string {
	text, err := json.Marshal(c)
	if err != nil {
		panic(err) // plain values only
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:16])
}

// anchor makes the files of commands whole that are in a folder other than the platform's, by the nodes' own rule:
// the program if it has a slash, an argument if there is such a file.
func anchor(c *catalog.Catalog, folder string) {
	for i := range c.Functions {
		words := c.Functions[i].Command
		for j, word := range words {
			path := filepath.Join(folder, word)
			info, err := os.Stat(path)
			if !filepath.IsAbs(word) && (j == 0 && strings.Contains(word, "/") || j > 0 && err == nil && info.Mode().IsRegular()) {
				words[j] = path
			}
		}
	}
}

func (c *control) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	if req.URL.Path != "/functions" || req.Method != http.MethodPost {
		http.Error(w, "want POST /functions", http.StatusNotFound)
		return
	}
	var r applyRequest
	var reply applyReply
	const most = 32 << 20 // bytes; a catalog of thousands of functions is a tenth of that
	err := json.NewDecoder(http.MaxBytesReader(w, req.Body, most)).Decode(&r)
	if err == nil {
		reply, err = c.apply(&r)
	}
	if err != nil {
		reply.Error = err.Error()
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(reply) // who hung up will not hear of it either
}

// serve listens until ctx ends, which close waits for. A platform runs without, if need be.
func (c *control) serve(ctx context.Context, gatewayPort int) (close func()) {
	path, err := controlSocket(strconv.Itoa(gatewayPort))
	var l net.Listener
	if err == nil {
		_ = os.Remove(path) // of an earlier one that was killed: the gateway's port was free
		l, err = net.Listen("unix", path)
	}
	if err != nil {
		c.log.Warn("functions cannot be changed while the platform runs", "error", err)
		return func() {}
	}
	s := &http.Server{Handler: c, ReadHeaderTimeout: 10 * time.Second}
	done := make(chan struct{})
	go func() {
		defer func() { done <- struct{}{} }()
		_ = s.Serve(l) // it ends with the server
	}()
	return func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 3*orderLimit)
		defer cancel()
		if s.Shutdown(ctx) != nil {
			s.Close()
		}
		<-done
	}
}

// controlSocket is the path of the socket of the platform with that gateway port, in a folder that is this user's
// alone.
func controlSocket(gatewayPort string) (string, error) {
	dir := filepath.Join(os.TempDir(), "forewarm-"+strconv.Itoa(os.Getuid()))
	if run := os.Getenv("XDG_RUNTIME_DIR"); run != "" {
		dir = filepath.Join(run, "forewarm")
	}
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return "", fmt.Errorf("folder for the platform's socket: %w", err)
	}
	info, err := os.Lstat(dir)
	if err != nil {
		return "", fmt.Errorf("folder for the platform's socket: %w", err)
	}
	if owner, ok := info.Sys().(*syscall.Stat_t); !ok || !info.IsDir() || int(owner.Uid) != os.Getuid() || info.Mode().Perm()&0o077 != 0 {
		return "", fmt.Errorf("folder for the platform's socket: %s must be this user's, and closed to others (mode 0700)", dir)
	}
	return filepath.Join(dir, "up-"+gatewayPort+".sock"), nil
}
