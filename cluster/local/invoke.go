package local

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"strconv"
	"sync"
	"time"

	"google.golang.org/grpc/metadata"

	pb "github.com/forewarm/forewarm/proto/minifaas/nodeservoceproto"
)

// call is one request to a function.
type call struct {
	id      string // printable ASCII, or empty
	handler string // the same
	event   []byte
	timeout time.Duration
}

// partBytes is how much of an answer goes into one message.
const partBytes = 32 << 10

var parts = sync.Pool{New: func() any { return new([partBytes]byte) }}

var errTimeout = errors.New("timed out")

// transport talks to one container.
func transport(address string) *http.Transport {
	var dialer net.Dialer
	return &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, "tcp", address)
		},
		MaxIdleConnsPerHost: 64,
		// Less than servers wait (gunicorn 2 s, Node.js 5 s), so that a call does not meet a connection that is being closed.
		IdleConnTimeout:    time.Second,
		DisableCompression: true, // answers pass as they are
	}
}

// answer is what came of a call so far.
type answer struct {
	header *pb.InvokeFunctionReply_Header
	footer *pb.InvokeFunctionReply_Footer
	body   io.ReadCloser
	n      int   // bytes read of the body and not yet sent
	err    error // of that reading; io.EOF when it was the last
}

// replies is the way back to the caller.
type replies interface {
	SendHeader(metadata.MD) error
	Send(*pb.InvokeFunctionReply) error
}

// invoke runs one call and sends the answer in pieces: a header, the body, a
// footer. What goes wrong in the container is part of the answer; an error means
// that the caller is gone, or errGone that the function has seen nothing of the
// call, which may then run elsewhere. The caller can tell even when the node
// dies: before the function can see anything, it gets the stream's header (which
// is gRPC's and has nothing to do with that of the answer).
//
// The most memory used has its place in the header. So a short answer, which most
// are, is read to its end first, and the reading covers all of it; a long or slow
// one is passed on as it comes, with the reading at its first piece.
func (c *container) invoke(ctx context.Context, call call, out replies) error {
	begin := time.Now()
	if c.active.Add(1) == 1 { // else it would hide what the others use
		c.fence.resetPeak()
	}
	defer c.active.Add(-1)
	callCtx, cancel := context.WithTimeoutCause(ctx, call.timeout,
		fmt.Errorf("%w after %v, which is the timeout of the function", errTimeout, call.timeout))
	defer cancel()
	buffer := parts.Get().(*[partBytes]byte)
	defer parts.Put(buffer)

	a, err := c.ask(callCtx, call, buffer[:], func() { _ = out.SendHeader(nil) }) // fails when the caller is gone, which ctx says too
	if err != nil {
		return err
	}
	defer a.body.Close()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err := out.Send(&pb.InvokeFunctionReply{Header: a.header}); err != nil {
		return err
	}
	for a.n > 0 {
		if err := out.Send(&pb.InvokeFunctionReply{Body: buffer[:a.n]}); err != nil {
			return err
		}
		a.n = 0
		if a.err == nil {
			a.n, a.err = a.body.Read(buffer[:])
		}
	}
	if a.err != nil && a.err != io.EOF && a.footer.Error == "" {
		_, a.footer.Error = c.diagnose(callCtx, a.err)
	}
	a.footer.DurationInNanos = time.Since(begin).Nanoseconds()
	return out.Send(&pb.InvokeFunctionReply{Footer: a.footer})
}

// ask posts the event and takes the first part of the answer. Just before that it
// calls taken; if it cannot connect, it does not, and returns errGone.
func (c *container) ask(ctx context.Context, call call, buffer []byte, taken func()) (*answer, error) {
	a := &answer{footer: &pb.InvokeFunctionReply_Footer{}, body: http.NoBody}
	connected := false
	resp, err := c.post(httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) {
		if !connected { // it may connect again, if the first connection was about to be closed
			connected = true
			taken()
		}
	}}), call)
	if err != nil && !connected && ctx.Err() == nil {
		return nil, c.deaf(err)
	}
	if err != nil {
		a.err = fmt.Errorf("no answer: %w", err) // also io.EOF means that here
	} else {
		a.body = resp.Body
		a.n, a.err = firstPart(resp, buffer)
	}
	a.header = c.header(resp)
	switch {
	case a.err != nil && a.err != io.EOF:
		a.header.StatusCode, a.footer.Error = c.diagnose(ctx, a.err)
		a.header.FunctionLog = c.logs.words(c.id, 4<<10)
		a.n = 0
	case resp.StatusCode >= 500:
		a.footer.InvokeException = "the function answered " + resp.Status
		if c.overrun() { // a child of it was killed
			a.footer.Error = c.memoryNote()
			c.giveUp()
		}
	}
	a.header.Error = []byte(cmp.Or(a.footer.Error, a.footer.InvokeException))
	a.header.Handled = a.footer.Error == ""
	return a, nil
}

// deaf is the error for a container that does not take connections.
func (c *container) deaf(err error) error {
	c.settle()
	if err := c.gone(); err != nil {
		return err
	}
	return fmt.Errorf("container %q %w: it runs, but takes no connections: %v%s", c.id, errGone, err, c.quote())
}

// settle waits a little for the end of the process, which first breaks its
// connections and is noticed a little later.
func (c *container) settle() {
	select {
	case <-c.exited:
	case <-time.After(200 * time.Millisecond):
	}
}

// gone says why the container takes no calls any more; nil if it does.
func (c *container) gone() error {
	switch {
	case c.doomed.Load():
		return fmt.Errorf("container %q %w: it was removed", c.id, errGone)
	case c.hasExited():
		return fmt.Errorf("container %q %w: %s", c.id, errGone, c.whyEnded())
	}
	return nil
}

func (c *container) post(ctx context.Context, call call) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+c.address()+"/", bytes.NewReader(call.event))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", contentType(call.event))
	if call.id != "" {
		req.Header.Set("X-Request-Id", call.id)
	}
	if call.handler != "" {
		req.Header.Set("X-Function-Handler", call.handler)
	}
	return c.http.RoundTrip(req) // a client would follow redirects
}

// contentType is a guess that saves functions from guessing: many frameworks read
// a body only if its type says how.
func contentType(event []byte) string {
	if e := bytes.TrimLeft(event, " \t\r\n"); len(e) > 0 && (e[0] == '{' || e[0] == '[') {
		return "application/json"
	}
	return "application/octet-stream"
}

// firstPart reads all of a short answer, else what there is of it. io.EOF says that it is all.
func firstPart(resp *http.Response, buffer []byte) (int, error) {
	if resp.ContentLength < 0 || resp.ContentLength > int64(len(buffer)) {
		return resp.Body.Read(buffer)
	}
	n, err := io.ReadFull(resp.Body, buffer[:resp.ContentLength])
	if err == nil {
		err = io.EOF
	}
	return n, err
}

// header tells of an answer that has begun, or of none.
func (c *container) header(resp *http.Response) *pb.InvokeFunctionReply_Header {
	h := &pb.InvokeFunctionReply_Header{MaxMemUsageInBytes: c.fence.peak()}
	if resp == nil {
		return h
	}
	h.StatusCode = strconv.Itoa(resp.StatusCode)
	h.Headers = make(map[string]*pb.InvokeFunctionReply_Header_Value, len(resp.Header))
	for name, values := range resp.Header {
		switch name {
		case "Connection", "Keep-Alive", "Transfer-Encoding": // about our connection, not about the answer
		default:
			h.Headers[name] = &pb.InvokeFunctionReply_Header_Value{Items: values}
		}
	}
	return h
}

// diagnose says in words, and as an HTTP status, why a call brought no answer.
func (c *container) diagnose(ctx context.Context, err error) (status, why string) {
	if cause := context.Cause(ctx); errors.Is(cause, errTimeout) {
		return "504", cause.Error()
	}
	if ctx.Err() == nil {
		c.settle()
	}
	switch ended := c.hasExited(); {
	case c.overrun():
		c.giveUp()
		return "502", c.memoryNote()
	case c.doomed.Load():
		return "502", "the container was removed"
	case ended:
		return "502", c.whyEnded()
	}
	return "502", fmt.Sprintf("the function broke off: %v%s", err, c.quote())
}

// giveUp ends a container that lost a part to want of memory: the rest cannot be trusted to work.
func (c *container) giveUp() { go c.stop(0) }
