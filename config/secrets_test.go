package config

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"strings"
	"testing"
	"time"
)

const (
	tokenA = "0123456789abcdef"
	tokenB = "fedcba9876543210"
)

// certificate writes a self-signed certificate and its key into the working folder.
func certificate(t *testing.T, certFile, keyFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "forewarm"}, NotAfter: time.Now().Add(time.Hour)}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	write(t, certFile, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert})))
	write(t, keyFile, string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})))
}

func TestFilesOfSecrets(t *testing.T) {
	for _, tt := range []struct{ claim, file, want string }{
		{"all right", "tls: {contract: {cert: c, key: k, client_ca: c}}\ntokens: {read_file: a, write_file: b}\nlisten: {address: 0.0.0.0}\n", ""},
		{"no such token", "tokens: {read_file: gone}\n", `f.yaml:1:21: tokens.read_file: cannot be read: open gone: no such file or directory`},
		{"folder for a token", "tokens: {read_file: .}\n", `f.yaml:1:21: tokens.read_file: . is not a file`},
		{"token for all to read", "tokens: {write_file: open}\n", `f.yaml:1:22: tokens.write_file: everybody on this machine can read open (mode 0644): chmod o-r it; in Kubernetes, defaultMode: 0440`},
		{"short token", "tokens: {read_file: short}\n", `f.yaml:1:21: tokens.read_file: short holds 5 characters: write a token of at least 16, as "openssl rand -hex 32" gives`},
		{"two tokens in a file", "tokens: {read_file: two}\n", `f.yaml:1:21: tokens.read_file: two holds more than one word of ASCII: write the token alone`},
		{"one token for both", "tokens: {read_file: a, write_file: a2}\n", `f.yaml:1:36: tokens.write_file: it holds the same token as tokens.read_file, so that whoever may look may change things: write another`},
		{"another's key", "tls: {admin: {cert: c, key: k2}}\n", `f.yaml:1:21: tls.admin.cert: the certificate and its key cannot be used: private key does not match public key`},
		{"key for all to read", "tls: {admin: {cert: c, key: open}}\n", "f.yaml:1:21: tls.admin.cert: the certificate and its key cannot be used: failed to find any PEM data in key input\n" +
			"f.yaml:1:29: tls.admin.key: everybody on this machine can read open (mode 0644): chmod o-r it; in Kubernetes, defaultMode: 0440"},
		{"no certificates of callers", "tls: {admin: {cert: c, key: k, client_ca: a}}\n", `f.yaml:1:43: tls.admin.client_ca: a holds no certificate: write them in PEM`},
	} {
		t.Run(tt.claim, func(t *testing.T) {
			inFolder(t)
			certificate(t, "c", "k")
			certificate(t, "c2", "k2")
			write(t, "a", tokenA+"\n")
			write(t, "a2", tokenA)
			write(t, "b", tokenB)
			write(t, "short", "abcde")
			write(t, "two", tokenA+"\n"+tokenB)
			if err := os.Chmod(write(t, "open", tokenB), 0o644); err != nil {
				t.Fatal(err)
			}
			_, _, err := loadSet(t, tt.file, nil, nil)
			got := ""
			if err != nil {
				got = err.Error()
			}
			if got != tt.want {
				t.Errorf("Load of\n%s\ngot  %s\nwant %s", tt.file, got, tt.want)
			}
			if strings.Contains(got, tokenA) || strings.Contains(got, tokenB) {
				t.Error("the complaint tells a token")
			}
		})
	}
}

// On another machine than the one that runs, the files need not be there.
func TestOffline(t *testing.T) {
	inFolder(t)
	s := &Set{Offline: true, Environ: []string{"FOREWARM_TOKENS_READ_FILE=/gone", "FOREWARM_TLS_ADMIN_CERT=/gone", "FOREWARM_TLS_ADMIN_KEY=/gone"}}
	if _, err := s.Load(); err != nil {
		t.Error(err)
	}
}

func TestReadToken(t *testing.T) {
	inFolder(t)
	if got, err := ReadToken(write(t, "a", " "+tokenA+"\r\n")); string(got) != tokenA || err != nil {
		t.Errorf("ReadToken = %q, %v", got, err)
	}
}

func TestMaskURL(t *testing.T) {
	for url, want := range map[string]string{
		"http://h:1/p":                 "http://h:1/p",
		"http://user:secret@h/p":       "http://xxxxx@h/p",
		"https://token@h/p?key=secret": "https://xxxxx@h/p?xxxxx",
		"http://h/#secret":             "http://h/",
		"http://u:secret@h:x/":         "xxxxx",
	} {
		if got := maskURL(url); got != want {
			t.Errorf("maskURL(%q) = %q, want %q", url, got, want)
		}
	}
}
