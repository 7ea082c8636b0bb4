package scheduler

import (
	"context"
	"errors"
	"net"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/reflection"

	"github.com/forewarm/forewarm/console"
	"github.com/forewarm/forewarm/edge"
	"github.com/forewarm/forewarm/metrics"
)

// ports are the two that a scheduler listens on.
type ports struct {
	contract, admin net.Listener
	grpc            *grpc.Server
	http            *http.Server // nil without an admin port
	health          *health.Server
	certs           []*edge.TLS  // that follow their files
	tokens          *edge.Tokens // nil without
	exposition      *prometheus.Registry
}

// maxContractMessage lets messages through that are far too large to be right, so that their senders hear what is
// wrong with them rather than that they are large.
const maxContractMessage = 4 << 20

// listen opens both ports. A port in use is an error that names it and the flag that changes it.
func (s *Scheduler) listen() error {
	if err := s.openPorts(); err != nil {
		return err
	}
	limits := edge.ContractLimits()
	limits.MaxReceive = maxContractMessage
	options := append(edge.ServerOptions(limits), s.outside.GRPC(metrics.ContractPort)...)
	s.grpc = grpc.NewServer(append(options, grpc.ChainUnaryInterceptor(s.impatient), grpc.WaitForHandlers(true))...)
	s.Shell.Register(s.grpc)
	s.health = health.NewServer()
	healthv1.RegisterHealthServer(s.grpc, s.health)
	reflection.Register(s.grpc)
	if s.admin == nil {
		return nil
	}
	return s.serveAdmin()
}

// openPorts opens both, unless that was done to take them over.
func (s *Scheduler) openPorts() (err error) {
	if s.contract != nil {
		return nil
	}
	if s.contract, err = s.open(s.opts.Listen, "contract's port", "--port", s.opts.TLS, metrics.ContractPort); err != nil || s.opts.Admin == "none" {
		return err
	}
	s.admin, err = s.open(s.opts.Admin, "admin port", "--admin", s.opts.AdminTLS, metrics.AdminPort)
	return err
}

// closePorts is for a scheduler that never came to serve.
func (s *Scheduler) closePorts() error {
	var errs []error
	for _, l := range []net.Listener{s.contract, s.admin} {
		if l != nil {
			errs = append(errs, l.Close())
		}
	}
	return errors.Join(errs...)
}

func (s *Scheduler) open(addr, name, flag string, files edge.TLSFiles, p metrics.Port) (net.Listener, error) {
	o := edge.Options{Addr: addr, Name: name, Flag: flag, AllowPlaintext: s.opts.AllowPlaintext, Join: s.opts.Takeover, Refused: s.outside.ConnectionRefused(p)}
	if files.Cert != "" {
		t, err := edge.NewTLS(files, s.log)
		if err != nil {
			return nil, err
		}
		s.certs = append(s.certs, t)
		o.TLS = t
	}
	return edge.Listen(o)
}

// serveAdmin puts metrics, health, profiles and forewarm.v1 on one port, behind the guard.
func (s *Scheduler) serveAdmin() (err error) {
	if len(s.opts.Tokens.Read)+len(s.opts.Tokens.Write) > 0 {
		if s.tokens, err = edge.NewTokens(s.opts.Tokens, s.log); err != nil {
			return err
		}
	}
	guard := edge.NewGuard(edge.GuardOptions{Tokens: s.tokens, Failed: s.outside.AdminRefused, Log: s.log})
	options := append(edge.ServerOptions(edge.Limits{}), s.outside.GRPC(metrics.AdminPort)...)
	g := grpc.NewServer(append(options, guard.ServerOptions()...)...)
	(&console.Service{Shell: s.Shell, Planner: s.Controller}).Register(g)
	(&console.Logs{Shell: s.Shell}).Register(g)
	(&console.Control{Shell: s.Shell, Planner: s.Controller, Levers: control{s}, Log: s.audit}).Register(g)
	reflection.Register(g)
	healthv1.RegisterHealthServer(g, s.health)
	if err := s.collect(); err != nil {
		return err
	}
	pages := s.outside.HTTP(metrics.NewAdmin(metrics.AdminOptions{Registry: s.exposition, Ready: s.ready, Log: s.log}))
	s.http = metrics.NewServer(s.opts.Admin, metrics.WithGRPC(guard.HTTP(pages), g))
	s.http.RegisterOnShutdown(g.Stop)
	edge.LimitHTTP(s.http, edge.Limits{}, s.log)
	return nil
}

// collect puts the one exposition together.
func (s *Scheduler) collect() error {
	c, err := metrics.New(metrics.Options{Core: s.Shell.Core(), Now: s.Shell.Now, Planner: metrics.OfController(s.Controller), Outside: s.outside,
		Ready: s.ready, Functions: s.opts.Series, Version: s.opts.Version})
	if err != nil {
		return err
	}
	s.exposition, err = metrics.NewRegistry(c)
	return err
}

// follow keeps certificates and tokens up to date with their files until ctx ends.
func (s *Scheduler) follow(ctx context.Context) {
	for _, t := range s.certs {
		s.background.Go(func() { _ = t.Run(ctx) }) // returns nil only
	}
	if s.tokens != nil {
		s.background.Go(func() { _ = s.tokens.Run(ctx) }) // returns nil only
	}
}

// Reload reads certificates and tokens anew. One that cannot be used leaves the old one in force.
func (s *Scheduler) Reload() error {
	var errs []error
	for _, t := range s.certs {
		errs = append(errs, t.Reload())
	}
	if s.tokens != nil {
		errs = append(errs, s.tokens.Reload())
	}
	return errors.Join(errs...)
}

// Addr is where the contract is served.
func (s *Scheduler) Addr() string { return s.contract.Addr().String() }

// AdminAddr is where metrics, health and forewarm.v1 are served; "" where they are not.
func (s *Scheduler) AdminAddr() string {
	if s.admin == nil {
		return ""
	}
	return s.admin.Addr().String()
}
