package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"net"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// cluster is what the manager knows, and what its nodes do.
type cluster struct {
	cap, refuse int
	memory      int64
	start       time.Duration

	mu       sync.Mutex
	nodes    map[string]*node // held, by id; guarded by mu, as what follows
	asked    int
	last     int
	seen     summary
	problems []string // what nobody who keeps the contract does
}

// node is one reserved machine.
type node struct {
	id         string
	port       int
	server     *grpc.Server
	booked     int64
	containers map[string]int64 // id -> bytes
	names      map[string]bool
}

// summary is what is said in the end.
type summary struct {
	Asked      int      `json:"asked"`    // reservations, also those refused
	Reserved   int      `json:"reserved"` // nodes
	Released   int      `json:"released"`
	Refused    int      `json:"refused"` // with code 8
	Held       int      `json:"held"`    // nodes, in the end
	Peak       int      `json:"peak"`    // nodes
	Created    int      `json:"created"` // containers
	Removed    int      `json:"removed"`
	Left       int      `json:"left"`        // containers on nodes that are held, in the end
	LeftBehind int      `json:"left_behind"` // containers on nodes when they were released
	Problems   []string `json:"problems"`
}

func newCluster() *cluster { return &cluster{nodes: map[string]*node{}} }

func (c *cluster) summary() summary {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.seen
	s.Held, s.Problems = len(c.nodes), c.problems
	for _, n := range c.nodes {
		s.Left += len(n.containers)
	}
	return s
}

// problem notes what should not happen, and refuses it.
func (c *cluster) problem(code codes.Code, format string, args ...any) error {
	err := fmt.Sprintf(format, args...)
	c.problems = append(c.problems, err)
	return status.Error(code, err)
}

// manager answers resourcemanagerproto.ResourceManager.
func (c *cluster) manager(_ context.Context, method string, in fields) ([]byte, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch method {
	case "/resourcemanagerproto.ResourceManager/ReserveNode":
		return c.reserve(in.text[2])
	case "/resourcemanagerproto.ResourceManager/ReleaseNode":
		return c.release(in.text[2])
	}
	return nil, c.problem(codes.Unimplemented, "method %s", method)
}

func (c *cluster) reserve(account string) ([]byte, error) {
	c.asked++
	c.seen.Asked++
	if account == "" {
		return nil, c.problem(codes.InvalidArgument, "a reservation without an account")
	}
	if len(c.nodes) >= c.cap || c.refuse > 0 && c.asked%c.refuse == 1 { // the first one, too
		c.seen.Refused++
		return nil, status.Error(codes.ResourceExhausted, "no available node can be reserved")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	c.last++
	n := &node{id: fmt.Sprintf("vm-%d", c.last), port: l.Addr().(*net.TCPAddr).Port, containers: map[string]int64{}, names: map[string]bool{}}
	n.server = serve(l, func(ctx context.Context, method string, in fields) ([]byte, error) { return c.node(ctx, n, method, in) })
	c.nodes[n.id] = n
	c.seen.Reserved++
	c.seen.Peak = max(c.seen.Peak, len(c.nodes))
	desc := number(number(text(text(nil, 1, n.id), 2, "127.0.0.1"), 3, int64(n.port)), 4, c.memory)
	return message(nil, 1, number(desc, 5, time.Now().UnixMilli())), nil
}

func (c *cluster) release(id string) ([]byte, error) {
	n := c.nodes[id]
	if n == nil {
		return nil, c.problem(codes.NotFound, "release of node %q, which is not held", id)
	}
	delete(c.nodes, id)
	c.seen.Released++
	c.seen.LeftBehind += len(n.containers)
	go n.server.Stop()
	return nil, nil
}

// node answers nodeservoceproto.NodeService, spelled as it is.
func (c *cluster) node(ctx context.Context, n *node, method string, in fields) ([]byte, error) {
	switch method {
	case "/nodeservoceproto.NodeService/CreateContainer":
		return c.create(ctx, n, in)
	case "/nodeservoceproto.NodeService/RemoveContainer":
		return c.remove(n, in.text[2])
	case "/nodeservoceproto.NodeService/GetStats":
		return c.stats(n)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return nil, c.problem(codes.Unimplemented, "method %s", method)
}

func (c *cluster) create(ctx context.Context, n *node, in fields) ([]byte, error) {
	name := in.text[2]
	meta, err := parse([]byte(in.text[3]))
	if err != nil {
		return nil, status.Error(codes.InvalidArgument, err.Error())
	}
	memory := int64(meta.num[4])
	if err := c.book(n, name, meta.text[1], memory); err != nil {
		return nil, err
	}
	select {
	case <-time.After(c.start):
	case <-ctx.Done():
		c.mu.Lock()
		n.booked -= memory
		c.mu.Unlock()
		return nil, ctx.Err()
	}
	var id [32]byte
	rand.Read(id[:])
	c.mu.Lock()
	defer c.mu.Unlock()
	n.containers[hex.EncodeToString(id[:])] = memory
	c.seen.Created++
	return text(nil, 1, hex.EncodeToString(id[:])), nil
}

// book takes memory before the start, and complains about what no scheduler should ask for.
func (c *cluster) book(n *node, name, function string, memory int64) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case function == "" || memory <= 0:
		return c.problem(codes.InvalidArgument, "container %q of function %q with %d bytes", name, function, memory)
	case name == "" || n.names[name]:
		return c.problem(codes.AlreadyExists, "container name %q is empty or used a second time on %s", name, n.id)
	case n.booked+memory > c.memory:
		return c.problem(codes.ResourceExhausted, "%s: %d bytes are booked, %d more would pass %d", n.id, n.booked, memory, c.memory)
	}
	n.booked += memory
	n.names[name] = true
	return nil
}

func (c *cluster) remove(n *node, id string) ([]byte, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	memory, ok := n.containers[id]
	if !ok {
		return nil, c.problem(codes.NotFound, "removal of container %.16q, which %s does not have", id, n.id)
	}
	delete(n.containers, id)
	n.booked -= memory
	c.seen.Removed++
	return nil, nil
}

// stats tells of the node and lists no containers.
func (c *cluster) stats(n *node) ([]byte, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	used := n.booked / 4
	s := double(number(number(number(nil, 1, 4<<30), 2, used), 3, 4<<30-used), 4, 12.5)
	return text(text(message(nil, 1, s), 3, "live-"+n.id), 4, "test-account-id"), nil
}
