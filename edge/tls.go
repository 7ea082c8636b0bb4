package edge

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/credentials"
)

// TLSFiles are the PEM files of one port.
type TLSFiles struct {
	Cert     string // chain, the port's own certificate first
	Key      string // its key
	ClientCA string // authorities of which every client must show a certificate. Default: clients need none
}

// TLS is a port's side of TLS 1.3, or 1.2 where the client has no better. Run keeps it up to date with its files.
type TLS struct {
	watched
	files   TLSFiles
	current atomic.Pointer[tls.Config]
	expires atomic.Pointer[time.Time]
}

// NewTLS loads the files. A pair that does not fit, or is not valid now, is an error.
func NewTLS(files TLSFiles, log *slog.Logger) (*TLS, error) {
	if files.Cert == "" || files.Key == "" {
		return nil, errors.New("edge: TLS needs both a certificate and its key")
	}
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	t := &TLS{files: files}
	t.watched = watched{paths: []string{files.Cert, files.Key}, what: "TLS files", load: t.load, log: log}
	if files.ClientCA != "" {
		t.paths = append(t.paths, files.ClientCA)
	}
	return t, t.Reload()
}

// Expires is when the certificate in force ends.
func (t *TLS) Expires() time.Time { return *t.expires.Load() }

// Mutual tells whether clients have to show a certificate.
func (t *TLS) Mutual() bool { return t.files.ClientCA != "" }

func (t *TLS) load() error {
	pair, err := tls.LoadX509KeyPair(t.files.Cert, t.files.Key)
	if err != nil {
		return fmt.Errorf("edge: TLS pair %s and %s: %w", t.files.Cert, t.files.Key, err)
	}
	if now := time.Now(); now.After(pair.Leaf.NotAfter) || now.Before(pair.Leaf.NotBefore) {
		return fmt.Errorf("edge: TLS certificate %s is valid from %s to %s, not now", t.files.Cert,
			pair.Leaf.NotBefore.Format(time.RFC3339), pair.Leaf.NotAfter.Format(time.RFC3339))
	}
	c := &tls.Config{
		Certificates: []tls.Certificate{pair},
		MinVersion:   tls.VersionTLS12,
		NextProtos:   []string{"h2", "http/1.1"},
		// A resumed session would outlive a change of the client authorities. Connections here are few and long.
		SessionTicketsDisabled: true,
	}
	if t.Mutual() {
		if c.ClientCAs, err = pool(t.files.ClientCA); err != nil {
			return err
		}
		c.ClientAuth = tls.RequireAndVerifyClientCert
	}
	t.current.Store(c)
	t.expires.Store(&pair.Leaf.NotAfter)
	return nil
}

// server is a config that takes what is current for each new connection; open ones keep what they began with.
func (t *TLS) server() *tls.Config {
	return &tls.Config{
		MinVersion:             tls.VersionTLS12,
		SessionTicketsDisabled: true,
		GetConfigForClient:     func(*tls.ClientHelloInfo) (*tls.Config, error) { return t.current.Load(), nil },
	}
}

// ClientTLS is how commands and the gateway reach a port with TLS. The authorities in ca vouch for the port, or those
// of the system where ca is ""; cert and key, both or neither, are shown to ports that ask; serverName overrides the
// host that was dialed, "" does not. The pair is read again for each connection, so that a renewed one is used.
func ClientTLS(ca, cert, key, serverName string) (credentials.TransportCredentials, error) {
	c, err := ClientConfig(ca, cert, key, serverName)
	if err != nil {
		return nil, err
	}
	return credentials.NewTLS(c), nil
}

// ClientConfig is ClientTLS for an http.Transport.
func ClientConfig(ca, cert, key, serverName string) (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: serverName}
	var err error
	if ca != "" {
		if c.RootCAs, err = pool(ca); err != nil {
			return nil, err
		}
	}
	if (cert == "") != (key == "") {
		return nil, errors.New("edge: a client's certificate and its key go together")
	}
	if cert == "" {
		return c, nil
	}
	load := func() (*tls.Certificate, error) {
		pair, err := tls.LoadX509KeyPair(cert, key)
		if err != nil {
			return nil, fmt.Errorf("edge: client's pair %s and %s: %w", cert, key, err)
		}
		return &pair, nil
	}
	c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return load() }
	_, err = load() // a pair that cannot be used is better said now
	return c, err
}

func pool(file string) (*x509.CertPool, error) {
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("edge: certificate authorities: %w", err)
	}
	p := x509.NewCertPool()
	if !p.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("edge: certificate authorities: %s holds no certificate in PEM", file)
	}
	return p, nil
}
