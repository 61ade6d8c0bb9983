// SPDX-License-Identifier: Apache-2.0

package checks

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"vipd/agent/config"
	"vipd/agent/ordinary"
)

// authority is a CA of its own, with its certificate in a file.
type authority struct {
	t    testing.TB
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	file string
}

func newAuthority(t testing.TB) *authority {
	t.Helper()
	a := &authority{t: t, file: filepath.Join(t.TempDir(), "ca.crt")}
	a.cert, a.key = a.sign(&x509.Certificate{
		Subject: pkix.Name{CommonName: "test CA"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	})
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw})
	if err := os.WriteFile(a.file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return a
}

// sign completes a certificate; the first one signs itself.
func (a *authority) sign(c *x509.Certificate) (*x509.Certificate, *ecdsa.PrivateKey) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	c.SerialNumber, c.NotBefore, c.NotAfter = big.NewInt(1), time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	parent, signer := a.cert, a.key
	if parent == nil {
		parent, signer = c, key
	}
	raw, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, signer)
	if err != nil {
		a.t.Fatal(err)
	}
	out, err := x509.ParseCertificate(raw)
	if err != nil {
		a.t.Fatal(err)
	}
	return out, key
}

// serve starts a TLS server whose certificate is for one address.
func (a *authority) serve(ip string, h http.HandlerFunc) *httptest.Server {
	a.t.Helper()
	cert, key := a.sign(&x509.Certificate{IPAddresses: []net.IP{net.ParseIP(ip)}})
	s := httptest.NewUnstartedServer(h)
	s.Config.ErrorLog = nil
	s.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{cert.Raw}, PrivateKey: key}}}
	s.StartTLS()
	a.t.Cleanup(s.Close)
	return s
}

func httpCheck(target string) config.Check {
	return config.Check{
		Name: "a", Type: config.CheckHTTP, Target: target, Timeout: 5 * time.Second,
		HTTP: config.HTTPCheck{Status: []config.StatusRange{{Low: 200, High: 399}}},
	}
}

func TestHTTPS(t *testing.T) {
	t.Parallel()
	ours, others := newAuthority(t), newAuthority(t)
	status := func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.RequestURI() {
		case "/livez?verbose=1":
			_, _ = io.WriteString(w, "ok")
		case "/moved":
			http.Redirect(w, r, "/broken", http.StatusFound)
		default:
			w.WriteHeader(http.StatusInternalServerError)
			_, _ = io.WriteString(w, "\n[-]etcd failed\nmore")
		}
	}
	server := ours.serve("127.0.0.1", status)
	elsewhere := ours.serve("192.0.2.1", status)
	plain := httptest.NewServer(http.HandlerFunc(status))
	defer plain.Close()
	empty := filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	insecure := func(h *config.HTTPCheck) { h.CAFile, h.Insecure = "", true }
	for _, tt := range []struct {
		name, target string
		change       func(h *config.HTTPCheck)
		want         string
	}{
		{"good", server.URL + "/livez?verbose=1", nil, ""},
		{"redirect", server.URL + "/moved", nil, ""},
		{
			"redirect not accepted", server.URL + "/moved",
			func(h *config.HTTPCheck) { h.Status = []config.StatusRange{{Low: 200, High: 299}} },
			`status 302, expected 200-299: <a href="/broken">Found</a>.`,
		},
		{"wrong status", server.URL, nil, "status 500, expected 200-399: [-]etcd failed"},
		{"plain", plain.URL + "/livez?verbose=1", func(h *config.HTTPCheck) { h.CAFile = "" }, ""},
		{
			"TLS to a plain port", strings.Replace(plain.URL, "http:", "https:", 1), nil,
			"tls: first record does not look like a TLS handshake",
		},
		{
			"plain to a TLS port", strings.Replace(server.URL, "https:", "http:", 1), nil,
			"status 400, expected 200-399: Client sent an HTTP request to an HTTPS server.",
		},
		{
			"another CA", server.URL, func(h *config.HTTPCheck) { h.CAFile = others.file },
			"no certificate in ca_file has signed the server's",
		},
		{
			"no CA", server.URL, func(h *config.HTTPCheck) { h.CAFile = "" },
			"no CA that this host knows has signed the server's certificate; set ca_file",
		},
		{
			"no file", server.URL, func(h *config.HTTPCheck) { h.CAFile = "/none" },
			"ca_file cannot be read: no such file or directory",
		},
		{"empty file", server.URL, func(h *config.HTTPCheck) { h.CAFile = empty }, "ca_file has no certificate"},
		{"another host", elsewhere.URL, nil, "x509: certificate is valid for 192.0.2.1, not 127.0.0.1"},
		{"insecure", elsewhere.URL + "/livez?verbose=1", insecure, ""},
		{"refused", "https://" + closedPort(t) + "/", nil, "connection refused"},
	} {
		c := httpCheck(tt.target)
		c.HTTP.CAFile = ours.file
		if tt.change != nil {
			tt.change(&c.HTTP)
		}
		if got := once(t, c); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}

// raw is a server that answers each connection with bytes and then keeps it open.
func raw(t *testing.T, answer string) (url string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			t.Cleanup(func() { _ = c.Close() })
			go func() {
				_, _ = c.Read(make([]byte, 1024))
				_, _ = io.WriteString(c, answer)
			}()
		}
	}()
	return "http://" + l.Addr().String() + "/"
}

// No answer is read further than its status needs, and none is waited for longer than the timeout.
func TestHTTPOddAnswers(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, answer, want string }{
		{"body that never ends", "HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\nfirst", ""},
		{"interim", "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n", ""},
		{"bad body that never ends", "HTTP/1.1 503 x\r\n\r\nbusy", "status 503, expected 200-399: busy"},
		{"long header", "HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", maxAnswer), "no complete HTTP answer: unexpected EOF"},
		{"no HTTP", "SSH-2.0-x\r\n", `no complete HTTP answer: malformed HTTP response "SSH-2.0-x"`},
	} {
		if got := once(t, httpCheck(raw(t, tt.answer))); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
	for name, answer := range map[string]string{"silence": "", "half a header": "HTTP/1.1 200 OK\r\nX: "} {
		c := httpCheck(raw(t, answer))
		c.Timeout = 200 * time.Millisecond
		if got := once(t, c); got != "no answer within 200ms" {
			t.Errorf("%s: %q", name, got)
		}
	}
}

// Each run makes a connection of its own.
func TestHTTPKeepsNoConnection(t *testing.T) {
	t.Parallel()
	var connections atomic.Int32
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			connections.Add(1)
		}
	}
	s.Start()
	defer s.Close()
	probe := httpProbe(httpCheck(s.URL), nil)
	for range 3 {
		if err := probe(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if n := connections.Load(); n != 3 {
		t.Errorf("%d connections for 3 runs", n)
	}
}

// A check that waits for its server keeps no other from the processor.
func TestHTTPChecksWaitApart(t *testing.T) {
	t.Parallel()
	gate := ordinary.NewGate(ordinary.CheckShare)
	hangs := make(chan struct{})
	arrived := make(chan struct{})
	slow := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		close(arrived)
		<-hangs
	}))
	defer slow.Close()
	quick := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer quick.Close()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- httpProbe(httpCheck(slow.URL), gate)(ctx) }()
	<-arrived
	done := make(chan error)
	go func() { done <- httpProbe(httpCheck(quick.URL), gate)(t.Context()) }()
	if err := <-done; err != nil {
		t.Errorf("beside one that hangs: %v", err)
	}
	cancel()
	if err := <-ended; err == nil {
		t.Error("the one that hangs passes")
	}
	close(hangs)
}
