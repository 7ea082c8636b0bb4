package edge

import (
	"context"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// GuardOptions tells who may do what on a port. The zero value is ready to use.
type GuardOptions struct {
	// Tokens, where there are any, are needed for all but healthz, readyz and the contract. Without them everybody who
	// reaches the port reads, and those write that are on this machine or showed a certificate that was verified.
	Tokens *Tokens
	Failed func(codes.Code) // is told of each refusal: Unauthenticated or PermissionDenied; must not block. Default: none
	Log    *slog.Logger     // gets a line about refusals each ten seconds at most. Default: none
}

// Guard lets calls through to a port, or does not, and notes who makes them: see Caller.
type Guard struct {
	opts GuardOptions
	log  *slog.Logger
}

// Refusals have one wording each: whether a token is wrong, missing or twice there is not told.
const (
	unauthenticated = "a valid token is needed"
	notAllowed      = "not allowed"
)

// NewGuard makes a Guard.
func NewGuard(o GuardOptions) *Guard {
	if o.Failed == nil {
		o.Failed = func(codes.Code) {}
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Guard{opts: o, log: slog.New(NewRepeats(o.Log.Handler(), RepeatOptions{Window: 10 * time.Second}))}
}

// ServerOptions put the guard before every method of a gRPC server.
func (g *Guard) ServerOptions() []grpc.ServerOption {
	return []grpc.ServerOption{grpc.ChainUnaryInterceptor(g.unary), grpc.ChainStreamInterceptor(g.stream)}
}

func (g *Guard) unary(ctx context.Context, request any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
	ctx, err := g.admit(ctx, info.FullMethod, requestNeed(info.FullMethod, request))
	if err != nil {
		return nil, err
	}
	return next(ctx, request)
}

func (g *Guard) stream(server any, s grpc.ServerStream, info *grpc.StreamServerInfo, next grpc.StreamHandler) error {
	ctx, err := g.admit(s.Context(), info.FullMethod, MethodNeed(info.FullMethod))
	if err != nil {
		return err
	}
	return next(server, &stream{s, ctx})
}

type stream struct {
	grpc.ServerStream
	ctx context.Context
}

func (s *stream) Context() context.Context { return s.ctx }

func (g *Guard) admit(ctx context.Context, method string, need Need) (context.Context, error) {
	caller, code := g.decide(ofPeer(ctx), metadata.ValueFromIncomingContext(ctx, "authorization"), need)
	if code != codes.OK {
		g.refused(caller, method, code)
		return nil, status.Error(code, wording(code))
	}
	return withCaller(ctx, caller), nil
}

// HTTP puts the guard before the pages of the admin port. gRPC calls on the same port are not to pass through it:
// their server has the guard's ServerOptions.
func (g *Guard) HTTP(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		caller, code := g.decide(ofRequest(r), r.Header.Values("Authorization"), PathNeed(r.URL.Path))
		if code != codes.OK {
			g.refused(caller, r.URL.Path, code)
			refuse(w, code)
			return
		}
		next.ServeHTTP(w, r.WithContext(withCaller(r.Context(), caller)))
	})
}

func refuse(w http.ResponseWriter, code codes.Code) {
	w.Header().Set("Cache-Control", "no-store")
	if code == codes.PermissionDenied {
		http.Error(w, wording(code), http.StatusForbidden)
		return
	}
	w.Header().Set("WWW-Authenticate", `Bearer realm="forewarm"`)
	http.Error(w, wording(code), http.StatusUnauthorized)
}

// decide is the whole matrix. It names the token even of a call that needs none.
func (g *Guard) decide(caller Identity, headers []string, need Need) (Identity, codes.Code) {
	if g.opts.Tokens == nil {
		if need == Write && !caller.Local && caller.Subject == "" {
			return caller, codes.PermissionDenied
		}
		return caller, codes.OK
	}
	var gives Need
	if secret, ok := bearerOf(headers); ok {
		caller.Token, gives = g.opts.Tokens.Lookup(secret)
	}
	switch {
	case need == None || gives >= need:
		return caller, codes.OK
	case gives == None:
		return caller, codes.Unauthenticated
	}
	return caller, codes.PermissionDenied
}

// bearerOf takes the token out of the headers; two of them are as good as none (RFC 6750 2.1, RFC 9110 11.6.2).
func bearerOf(headers []string) (string, bool) {
	if len(headers) != 1 {
		return "", false
	}
	scheme, secret, ok := strings.Cut(headers[0], " ")
	return strings.TrimLeft(secret, " "), ok && strings.EqualFold(scheme, "Bearer")
}

func wording(c codes.Code) string {
	if c == codes.PermissionDenied {
		return notAllowed
	}
	return unauthenticated
}

func (g *Guard) refused(caller Identity, what string, code codes.Code) {
	g.opts.Failed(code)
	g.log.Warn("call refused", "code", code.String(), "what", Escape(what), "caller", caller.String())
}
