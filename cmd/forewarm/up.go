package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/forewarm/forewarm/catalog"
	"github.com/forewarm/forewarm/cluster/local"
	"github.com/forewarm/forewarm/config"
)

func upCommand() *cobra.Command {
	u := up{manager: 10400, contract: 10500, scheduler: 10600}
	c := &cobra.Command{
		Use:   "up",
		Short: "Run the whole platform on this machine: manager, nodes, scheduler, gateway",
		Long: `Run the whole platform on this machine. Each role is a process of its own; all end with this one.

  forewarm up
  curl -i localhost:8080/function/hello`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return u.run(c.Context()) },
	}
	u.set.AddFlags(c.Flags(), "listen.address", "listen.port", "manager", "catalog", "log.level", "log.format")
	u.cluster.add(c)
	u.log.add(c)
	c.Flags().StringVar(&u.functions, "functions", "", "functions.yaml; without it, the built-in samples hello, sleep, cpu and memory")
	c.Flags().StringVar(&u.listen, "listen", "127.0.0.1", "address that the gateway listens on; the other roles stay on loopback")
	c.Flags().IntVar(&u.http, "http-port", 8080, "of HTTP: /function/NAME")
	c.Flags().IntVar(&u.contract, "gateway-port", u.contract, "of the contract's APIServer")
	c.Flags().IntVar(&u.scheduler, "scheduler-port", u.scheduler, "of the contract's Scheduler")
	c.Flags().IntVar(&u.manager, "manager-port", u.manager, "of the contract's ResourceManager")
	return c
}

// up starts the roles, in the order in which they need each other, and ends them in the reverse order.
type up struct {
	functions, listen                  string
	http, contract, scheduler, manager int
	set                                config.Set
	cfg                                *config.Config // as the scheduler will load it
	cluster                            clusterFlags
	log                                logFlags
}

// role is one running child.
type role struct {
	name    string
	cmd     *exec.Cmd
	release func()
	orders  *orders
	ended   chan struct{}
	err     error

	patience time.Duration // how long it may take to end
}

func (u *up) run(ctx context.Context) error {
	var err error
	if u.cfg, err = u.set.Load(); err != nil {
		return err
	}
	if err := u.cluster.check(); err != nil {
		return err
	}
	log, err := u.log.logger("up")
	if err != nil {
		return err
	}
	c, err := functions(u.functions)
	if err != nil {
		return err
	}
	file := u.functions
	if file == "" {
		file = samples
	} else if file, err = filepath.Abs(file); err != nil {
		return err
	}
	if err := u.portsFree(); err != nil {
		return err
	}
	logs := []string{"--log-level", u.log.level, "--log-format", u.log.format, "--functions", file}
	var roles []*role
	for _, args := range [][]string{
		append(append([]string{"manager", "--port", fmt.Sprint(u.manager)}, u.cluster.args()...), logs...),
		append(append([]string{"serve", "--port", fmt.Sprint(u.scheduler), "--manager", hostPort("127.0.0.1", u.manager)}, u.set.Args()...), logs...),
		append([]string{"gateway", "--listen", u.listen, "--http-port", fmt.Sprint(u.http), "--port", fmt.Sprint(u.contract), "--scheduler", hostPort("127.0.0.1", u.scheduler)}, logs...),
	} {
		r, err := startRole(args, u.cfg.Dispatcher.Drain)
		if err != nil {
			return errors.Join(err, endRoles(roles, true))
		}
		roles = append(roles, r)
	}
	if err := u.waitReady(ctx, roles); err == nil {
		defer u.control(log, c, file, roles).serve(ctx, u.http)()
		u.greet(c)
	}
	failed := firstToEnd(ctx, roles)
	return errors.Join(failed, endRoles(roles, failed != nil))
}

// control changes the functions of the roles, which all go by c at first.
func (u *up) control(log *slog.Logger, c *catalog.Catalog, file string, roles []*role) *control {
	ctl := &control{log: log, base: base(file), inForce: c}
	for _, r := range roles {
		ctl.roles = append(ctl.roles, functionsRole{r.name, r.orders.setFunctions})
	}
	return ctl
}

// portsFree says at once which port is in use, rather than have a child say it later.
func (u *up) portsFree() error {
	for _, p := range []struct{ flag, addr string }{
		{"http-port", hostPort(u.listen, u.http)}, {"gateway-port", hostPort(u.listen, u.contract)},
		{"scheduler-port", hostPort("127.0.0.1", u.scheduler)}, {"manager-port", hostPort("127.0.0.1", u.manager)}, {"admin", u.cfg.Admin},
	} {
		l, err := net.Listen("tcp", p.addr)
		if err != nil {
			return fmt.Errorf("up: %w; choose another with --%s", err, p.flag)
		}
		defer l.Close() // only at the end, so that two roles with the same port are noticed
	}
	return nil
}

// startRole starts a role, which may take a little longer to end than its calls get.
func startRole(args []string, drain time.Duration) (*role, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	r := &role{name: args[0], cmd: exec.Command(self, args...), ended: make(chan struct{}), patience: max(drain, finishCalls) + 15*time.Second}
	if r.name == "serve" {
		r.name = "scheduler"
	}
	r.cmd.Stdout, r.cmd.Stderr = os.Stdout, os.Stderr
	r.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // a terminal's interrupt is for us: we end the roles in order
	release, err := local.Tie(r.cmd)
	if err != nil {
		return nil, err
	}
	r.release = sync.OnceFunc(release)
	orders, started, err := withOrders(r.cmd)
	if err != nil {
		r.release()
		return nil, err
	}
	r.orders = orders
	err = r.cmd.Start()
	started()
	if err != nil {
		r.release()
		return nil, fmt.Errorf("up: %s: %w", r.name, err)
	}
	go func() {
		r.err = r.cmd.Wait()
		r.release()
		close(r.ended)
	}()
	return r, nil
}

// firstToEnd waits until ctx ends, or a role does, which is an error.
func firstToEnd(ctx context.Context, roles []*role) error {
	first := make(chan *role, len(roles))
	for _, r := range roles {
		go func() { <-r.ended; first <- r }()
	}
	select {
	case <-ctx.Done():
		return nil
	case r := <-first:
		if ctx.Err() != nil {
			return nil
		}
		return fmt.Errorf("up: the %s ended by itself: %v; its log says why", r.name, r.err)
	}
}

// endRoles ends the roles from the last to the first: the gateway finishes its calls, the scheduler gives its nodes
// back, the manager goes. Where one of them is missing that does not work out, and they are only told that they are
// alone.
func endRoles(roles []*role, broken bool) (err error) {
	for _, r := range slices.Backward(roles) {
		if broken {
			r.release()
		} else {
			_ = r.cmd.Process.Signal(syscall.SIGTERM) // it may have ended
		}
		select {
		case <-r.ended:
		case <-time.After(r.patience):
			_ = r.cmd.Process.Kill()
			<-r.ended
			err = errors.Join(err, fmt.Errorf("up: the %s did not end within %v and was killed", r.name, r.patience))
		}
	}
	return err
}

// waitReady waits until all roles answer. It fails when one ends instead.
func (u *up) waitReady(ctx context.Context, roles []*role) error {
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	for !u.answers(ctx) {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
		for _, r := range roles {
			select {
			case <-r.ended:
				return fmt.Errorf("up: the %s ended", r.name)
			default:
			}
		}
	}
	return nil
}

// answers says whether the gateway, the scheduler and the manager listen.
func (u *up) answers(ctx context.Context) bool {
	for _, url := range []string{"http://" + hostPort(u.listen, u.http) + "/functions", "http://" + u.cfg.Admin + "/readyz"} {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return false
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return false
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return false
		}
	}
	conn, err := net.Dial("tcp", hostPort("127.0.0.1", u.manager))
	if err != nil {
		return false
	}
	conn.Close()
	return true
}

func (u *up) greet(c *catalog.Catalog) {
	var once sync.Once
	for _, f := range c.Functions {
		once.Do(func() {
			fmt.Printf("\nforewarm is up. Try:\n\n  curl -i http://%s/function/%s\n", hostPort(u.listen, u.http), f.Name)
		})
	}
	fmt.Printf("  forewarm explain --admin %s\n  curl http://%s/metrics\n\nFunctions:", u.cfg.Admin, u.cfg.Admin)
	for _, f := range c.Functions {
		fmt.Printf(" %s", f.Name)
	}
	fmt.Print("\nCtrl-C ends everything.\n\n")
}

// base is the folder in which a functions.yaml's commands find their files.
func base(functionsFile string) string {
	if functionsFile == "" || functionsFile == samples {
		return ""
	}
	return filepath.Dir(functionsFile)
}
