package gateway

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/forewarm/forewarm/catalog"
	"github.com/forewarm/forewarm/proto/minifaas/nodeservoceproto"
)

// answer collects the pieces of a node's answer.
type answer struct {
	limit   int64 // bytes of body that are kept
	reached bool  // the node has taken the call, so the function may have run
	empty   bool  // no piece came
	size    int64 // bytes of body that came
	body    []byte
	header  *nodeservoceproto.InvokeFunctionReply_Header
	footer  *nodeservoceproto.InvokeFunctionReply_Footer
}

// add takes a piece. What is too much is let go by, not refused, so that the function ends as it would.
func (a *answer) add(p *nodeservoceproto.InvokeFunctionReply) {
	a.reached, a.empty = true, false
	a.size += int64(len(p.GetBody()))
	switch {
	case a.size > a.limit:
		a.body = nil
	case a.body == nil:
		a.body = p.GetBody() // most answers are of one piece
	default:
		a.body = append(a.body, p.GetBody()...)
	}
	if p.GetHeader() != nil {
		a.header = p.GetHeader()
	}
	if p.GetFooter() != nil {
		a.footer = p.GetFooter()
	}
}

// fill copies the answer into a reply.
func (a *answer) fill(r *Reply) {
	r.Body = a.body
	r.Error = a.ownError()
	r.Status = a.statusCode()
	r.Log = a.header.GetFunctionLog()
	r.MaxMemory = max(0, a.header.GetMaxMemUsageInBytes())
	r.Duration = max(0, time.Duration(a.footer.GetDurationInNanos()))
	if hs := a.header.GetHeaders(); len(hs) > 0 {
		r.Headers = make(map[string][]string, len(hs))
		for name, v := range hs {
			r.Headers[name] = v.GetItems()
		}
	}
}

// ownError is the error that the function itself ended with, in its words.
func (a *answer) ownError() string {
	if e := a.footer.GetInvokeException(); e != "" {
		return e
	}
	if a.header.GetHandled() {
		return string(a.header.GetError())
	}
	return ""
}

// statusCode reads the status, which the contract has as free text. Where it is no final HTTP status, the function
// went well unless it had an error.
func (a *answer) statusCode() int {
	if n, err := strconv.Atoi(a.header.GetStatusCode()); err == nil && 200 <= n && n <= 599 {
		return n
	}
	if a.ownError() != "" {
		return 500
	}
	return 200
}

// runtimeError is the failure of whatever runs the function: out of memory, out of time, died.
func (a *answer) runtimeError() string {
	if e := a.footer.GetError(); e != "" {
		return e
	}
	if e := a.header.GetError(); len(e) > 0 && !a.header.GetHandled() {
		return string(e)
	}
	return ""
}

// verdict is what an answer, or the lack of one, means.
type verdict struct {
	err    error
	retire string
}

// judge decides what the caller is told and whether the container may be used again. It goes when the function was
// stopped or nobody knows what it is doing. It stays when the function answered, with whatever status, and when the
// node refused the call as such.
func judge(a *answer, err error, f *catalog.Function) verdict {
	if err != nil {
		return judgeError(a, status.Convert(err), f)
	}
	if e := a.runtimeError(); e != "" {
		if aboutTime(e) {
			return verdict{fmt.Errorf("%w: %s", ErrDeadline, e), shorten(e)}
		}
		return verdict{fmt.Errorf("%w: %s", ErrFailed, e), shorten(e)}
	}
	switch {
	case a.empty:
		return verdict{fmt.Errorf("%w: the node's answer is empty", ErrFailed), "the node's answer was empty"}
	case a.size > a.limit:
		return verdict{fmt.Errorf("%w: its answer of %d bytes is larger than %d", ErrFailed, a.size, a.limit), ""}
	}
	return verdict{}
}

// judgeError is judge for a stream that broke off.
func judgeError(a *answer, st *status.Status, f *catalog.Function) verdict {
	said := shorten(st.Message())
	switch st.Code() {
	case codes.Unavailable, codes.NotFound:
		if !a.reached {
			return verdict{fmt.Errorf("%w: %w: %s", ErrUnavailable, errNotReached, said), "the call did not reach it: " + said}
		}
		return verdict{fmt.Errorf("%w: the connection was lost: %s", ErrFailed, said), "connection lost: " + said}
	case codes.DeadlineExceeded:
		return verdict{fmt.Errorf("%w: the function did not end within %v", ErrDeadline, f.Timeout), "timeout: " + said}
	case codes.Canceled:
		return verdict{fmt.Errorf("%w: the gateway is stopping", ErrUnavailable), "the gateway stopped during the call"}
	case codes.InvalidArgument:
		return verdict{fmt.Errorf("%w: the node refused the call: %s", ErrFailed, said), ""}
	case codes.ResourceExhausted:
		if aboutSize(said) {
			return verdict{fmt.Errorf("%w: %s", ErrFailed, said), ""}
		}
		return verdict{fmt.Errorf("%w: out of memory: %s", ErrFailed, said), "out of memory: " + said}
	}
	return verdict{fmt.Errorf("%w: %s (code %d)", ErrFailed, said, st.Code()), said}
}

// aboutTime reports whether a runtime's error is that the function took too long: the contract has words only.
func aboutTime(e string) bool {
	e = strings.ToLower(e)
	return strings.Contains(e, "timeout") || strings.Contains(e, "timed out") || strings.Contains(e, "deadline")
}

// aboutSize tells a message over a gRPC size limit, which the libraries (Go, C and Java) report with the same code
// as want of memory.
func aboutSize(e string) bool {
	return strings.Contains(e, "larger than max") || strings.Contains(e, "exceeds maximum size")
}

// shorten keeps somebody else's words to what fits a record, never empty.
func shorten(e string) string {
	const most = 1 << 10 // bytes
	if e == "" {
		return "no reason given"
	}
	if len(e) > most {
		return strings.ToValidUTF8(e[:most], "") + "..."
	}
	return e
}
