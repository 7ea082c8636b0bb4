package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"github.com/forewarm/forewarm/edge"
)

// adminFlags say how to reach a running scheduler's admin port.
type adminFlags struct {
	addr                     string
	tokenFile, ca, cert, key string
}

func (f *adminFlags) add(c *cobra.Command) {
	c.Flags().StringVar(&f.addr, "admin", "127.0.0.1:10700", "host:port of the scheduler's admin port, or https://host:port")
	f.addCredentials(c)
}

func (f *adminFlags) addCredentials(c *cobra.Command) {
	c.Flags().StringVar(&f.tokenFile, "token-file", "", "file whose first token is shown to the admin port")
	c.Flags().StringVar(&f.ca, "ca", "", "certificates that vouch for the admin port, PEM; it is spoken to in TLS then")
	c.Flags().StringVar(&f.cert, "cert", "", "certificate that is shown to the admin port, PEM")
	c.Flags().StringVar(&f.key, "key", "", "its private key, PEM")
}

// dialOptions turn the flags into what gRPC takes. A token goes in the clear only to this machine.
func (f *adminFlags) dialOptions() (target string, o []grpc.DialOption, err error) {
	target, secure := strings.CutPrefix(f.addr, "https://")
	secure = secure || f.ca != "" || f.cert != "" || f.key != ""
	creds := insecure.NewCredentials()
	if secure {
		if creds, err = edge.ClientTLS(f.ca, f.cert, f.key, ""); err != nil {
			return "", nil, err
		}
	}
	o = append(o, grpc.WithTransportCredentials(creds))
	if f.tokenFile == "" {
		return target, o, nil
	}
	token, err := edge.ReadToken(f.tokenFile)
	if err != nil {
		return "", nil, err
	}
	if !secure && !thisMachine(target) {
		return "", nil, fmt.Errorf("the token would go to %s in the clear: give --ca, or https://%[1]s", target)
	}
	return target, append(o, grpc.WithPerRPCCredentials(edge.Bearer(token, !secure))), nil
}

// thisMachine trusts no name but localhost.
func thisMachine(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return false
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// call dials the admin port and says plainly when no scheduler is there, or when it refuses.
func (f *adminFlags) call(ctx context.Context, use func(context.Context, *grpc.ClientConn) error) error {
	target, options, err := f.dialOptions()
	if err != nil {
		return err
	}
	conn, err := grpc.NewClient(target, options...)
	if err != nil {
		return err
	}
	defer conn.Close()
	err = use(ctx, conn)
	st, ok := status.FromError(err)
	if err == nil || !ok {
		return err
	}
	said := shown(st.Message())
	switch st.Code() {
	case codes.Unavailable:
		return fmt.Errorf("no scheduler answers at %s: %s; is one running, is that its --admin, and does it speak TLS?", target, said)
	case codes.Unauthenticated:
		return fmt.Errorf("%s: give --token-file", said)
	case codes.PermissionDenied:
		return fmt.Errorf("%s: that takes a token for writing, or without tokens this machine or a certificate", said)
	}
	return errors.New(said)
}

// maxShown bounds one text of a scheduler on a terminal, in bytes.
const maxShown = 16 << 10

// shown makes a text of a scheduler fit for a terminal: names and what functions print come from anywhere.
func shown(text string) string { return edge.EscapeTo(text, maxShown) }
