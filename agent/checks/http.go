// SPDX-License-Identifier: Apache-2.0

package checks

import (
	"bufio"
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"vipd/agent/config"
	"vipd/agent/ordinary"
)

const (
	// maxAnswer limits what is read of an answer: its header, and the beginning of its body for the reason.
	maxAnswer = 64 << 10
	// bodyWait is how long the beginning of a body is waited for.
	bodyWait = 50 * time.Millisecond
)

// httpProbe passes if the URL answers with an accepted status. Each run makes a connection of its own, since one that
// is kept hides a server that accepts no new ones, and follows no redirect, since the target is what is checked.
//
// The client of net/http works in goroutines of its own, which would have the real-time priority of the daemon. Here
// one goroutine does the work, on a thread of ordinary priority.
func httpProbe(c config.Check, gate *ordinary.Gate) Probe {
	dialer := &net.Dialer{KeepAlive: -1}
	return func(ctx context.Context) error {
		u, err := url.Parse(c.Target)
		if err != nil {
			return err // config has parsed it
		}
		dialed, err := dialer.DialContext(ctx, "tcp", c.HostPort())
		if err != nil {
			return bare(err)
		}
		defer dialed.Close()
		cut := func() {
			_ = dialed.SetDeadline(time.Unix(1, 0)) // fails only if it is closed
		}
		stop := context.AfterFunc(ctx, cut)
		defer stop()
		refused := gate.Do(ctx, c.Timeout/2, func(ctx context.Context) {
			var conn net.Conn = &politeConn{dialed, ctx}
			if u.Scheme == "https" {
				if conn, err = secure(ctx, conn, u.Hostname(), &c.HTTP); err != nil {
					err = bare(err)
					return
				}
			}
			err = ask(conn, cut, u, &c.HTTP)
		})
		return cmp.Or(turnless(refused), err)
	}
}

// turnless is the error of a probe that got no turn at the processor.
func turnless(err error) error {
	if errors.Is(err, ordinary.ErrBusy) {
		return errors.New("vipd has no processor time left for it; configure fewer http checks or longer intervals")
	}
	return err
}

// politeConn gives up its turn while it waits for the network, so that a server that hangs delays no other check.
type politeConn struct {
	net.Conn
	ctx context.Context // of the turn
}

// Read implements net.Conn.
func (c *politeConn) Read(b []byte) (n int, err error) {
	turn := ordinary.Outside(c.ctx, func() { n, err = c.Conn.Read(b) })
	return n, cmp.Or(err, turnless(turn))
}

// secure makes the TLS handshake. The file of CAs is read for each run: the service that it belongs to may replace it.
func secure(ctx context.Context, conn net.Conn, host string, h *config.HTTPCheck) (net.Conn, error) {
	host, _, _ = strings.Cut(host, "%") // of a link-local address
	settings := &tls.Config{
		ServerName: host, InsecureSkipVerify: h.Insecure, MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"},
	}
	if h.CAFile != "" {
		var data []byte
		var err error
		if busy := ordinary.Outside(ctx, func() { data, err = config.ReadCAFile(h.CAFile) }); busy != nil {
			return nil, turnless(busy)
		}
		pool, err := config.CAs(data, err)
		if err != nil {
			return nil, fmt.Errorf("ca_file %w", err)
		}
		settings.RootCAs = pool
	}
	secured := tls.Client(conn, settings)
	err := secured.Handshake()
	if err == nil {
		return secured, nil
	}
	if bad, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		err = bad.Err
	}
	if _, unknown := errors.AsType[x509.UnknownAuthorityError](err); unknown {
		if h.CAFile != "" {
			return nil, errors.New("no certificate in ca_file has signed the server's")
		}
		return nil, errors.New("no CA that this host knows has signed the server's certificate; set ca_file")
	}
	return nil, err
}

// ask makes the request and returns why the answer is not accepted. cut ends what waits for the connection.
func ask(conn net.Conn, cut func(), u *url.URL, h *config.HTTPCheck) error {
	req := &http.Request{
		Method: http.MethodGet, URL: u, Host: u.Host, Close: true, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{"User-Agent": {"vipd"}, "Accept": {"*/*"}},
	}
	if err := req.Write(conn); err != nil {
		return bare(err)
	}
	answer := bufio.NewReader(io.LimitReader(conn, maxAnswer))
	resp, err := http.ReadResponse(answer, req)
	for err == nil && resp.StatusCode < 200 && resp.StatusCode != http.StatusSwitchingProtocols { // interim
		resp, err = http.ReadResponse(answer, req)
	}
	if err != nil {
		return fmt.Errorf("no complete HTTP answer: %w", bare(err))
	}
	// The body is not closed: that would read it to its end. The connection is.
	if h.Accepts(resp.StatusCode) {
		return nil
	}
	why := fmt.Errorf("status %d, expected %s", resp.StatusCode, h.StatusText())
	defer time.AfterFunc(bodyWait, cut).Stop()
	body, _ := io.ReadAll(io.LimitReader(resp.Body, maxSaid)) // as much as came in time
	if said := firstLine(body); said != "" {
		return fmt.Errorf("%w: %s", why, said)
	}
	return why
}
