package metrics

import (
	"context"
	"net/http"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Port says at which of our ports a gRPC call came in.
type Port uint8

// Ports with gRPC.
const (
	ContractPort Port = iota // calls of API servers
	AdminPort                // calls of operators
)

// String gives the word used in metrics.
func (p Port) String() string { return [...]string{"contract", "admin"}[p] }

// GRPC makes the server of a port count its calls by code. Calls that gRPC itself refuses, such as those of unknown
// methods and messages that are too long, are not among them: a stats handler would see these too, and allocates
// half a dozen events for every call.
func (o *Outside) GRPC(p Port) []grpc.ServerOption {
	if o == nil {
		return nil
	}
	return []grpc.ServerOption{
		grpc.ChainUnaryInterceptor(func(ctx context.Context, r any, _ *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
			reply, err := next(ctx, r)
			o.call(p, err)
			return reply, err
		}),
		grpc.ChainStreamInterceptor(func(srv any, ss grpc.ServerStream, _ *grpc.StreamServerInfo, next grpc.StreamHandler) error {
			err := next(srv, ss)
			o.call(p, err)
			return err
		}),
	}
}

func (o *Outside) call(p Port, err error) {
	code := codes.OK
	if err != nil {
		st, ok := status.FromError(err)
		if !ok {
			st = status.FromContextError(err) // as gRPC does it
		}
		code = st.Code()
	}
	if int(code) >= grpcCodes {
		code = codes.Unknown
	}
	o.grpc[p][code].Inc()
}

// HTTP makes a handler of pages count its answers by class of status. Streams and profiles are counted when they end.
func (o *Outside) HTTP(h http.Handler) http.Handler {
	if o == nil {
		return h
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a := &answer{ResponseWriter: w, status: http.StatusOK}
		h.ServeHTTP(a, r)
		o.http[min(max(a.status/100-firstClass, 0), len(o.http)-1)].Inc()
	})
}

// firstClass of statuses is 2xx: those before are no answers yet.
const firstClass = 2

// answer remembers the status that is written.
type answer struct {
	http.ResponseWriter
	status int
}

// WriteHeader implements [http.ResponseWriter].
func (a *answer) WriteHeader(status int) {
	if status/100 >= firstClass {
		a.status = status
	}
	a.ResponseWriter.WriteHeader(status)
}

// Unwrap lets http.ResponseController reach deadlines and flushing.
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }
