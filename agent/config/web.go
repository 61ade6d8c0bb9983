// SPDX-License-Identifier: Apache-2.0

package config

import (
	"net/netip"
	"net/url"
	"path/filepath"
	"strings"
)

const (
	// unixPrefix of http.listen is followed by the path of a unix socket.
	unixPrefix = "unix:"
	// minToken cannot be guessed over the network at five attempts per second.
	minToken = 16
	maxToken = 256
	// maxHosts, maxOrigins and maxNodes limit headers and requests to other nodes.
	maxHosts   = 64
	maxOrigins = 32
	maxNodes   = 8
)

// HTTP is the table [http].
type HTTP struct {
	// Listen is host:port or unix:/path; empty means off.
	Listen string
	// Controls lets the page change the node; over TCP it needs a login with Token.
	Controls  bool
	TokenFile string
	// Token is the first line of TokenFile; empty without the file.
	Token Secret
	// Hosts are names of this page in addition to its listen address and localhost.
	Hosts []string
}

// Unix returns the path of the unix socket that Listen names.
func (h HTTP) Unix() (path string, ok bool) { return strings.CutPrefix(h.Listen, unixPrefix) }

// Web is the table [web].
type Web struct {
	// WidgetOrigins are the origins of pages that may frame /widget.
	WidgetOrigins []string
	// Nodes are the base URLs of the other nodes' pages.
	Nodes []string
}

func decodeHTTP(top *section, cfg *Config, opts Options) {
	s := top.table("http")
	if s == nil {
		return
	}
	h := &cfg.HTTP
	if s.str("listen", &h.Listen) {
		checkListen(s, h)
		if path, ok := h.Unix(); ok && filepath.Clean(path) == cfg.Control.Socket {
			s.problem("listen", "%q is the [control] socket; choose another path", h.Listen)
		}
	}
	s.boolean("controls", &h.Controls)
	if s.path("token_file", &h.TokenFile) {
		readToken(s, h, opts)
	}
	for _, it := range s.list("hosts", "host names") {
		if name := strings.ToLower(it.text); validHost(name) {
			h.Hosts = append(h.Hosts, name)
		} else {
			s.r.problem(it.line, "hosts", "%q is not a host name or address; allowed is what the browser's address bar shows, "+
				"without scheme and port", it.text)
		}
	}
	if len(h.Hosts) > maxHosts {
		s.problem("hosts", "has %d names, allowed are %d", len(h.Hosts), maxHosts)
	}
	checkControls(s, h)
	s.done()
}

func checkListen(s *section, h *HTTP) {
	if path, ok := h.Unix(); ok {
		checkSocketPath(s, "listen", path)
	} else if why := listenFault(h.Listen); why != "" {
		s.problem("listen", "%q %s; allowed is ADDRESS:PORT such as \"127.0.0.1:9112\" or \"[::1]:9112\", "+
			"\"unix:/path\", or \"\" for off", h.Listen, why)
	}
}

func checkSocketPath(s *section, key, path string) {
	if checkPath(s, key, path) && len(path) > maxSocketPath {
		s.problem(key, "is %d bytes long, the path of a unix socket may have at most %d", len(path), maxSocketPath)
	}
}

// checkControls refuses controls that every host on the network could use.
func checkControls(s *section, h *HTTP) {
	if !h.Controls {
		return
	}
	_, local := h.Unix()
	switch {
	case h.Listen == "":
		s.problem("controls", "is true, but listen is \"\", so the page is off; set listen or remove controls")
	case !local && h.TokenFile == "" && !s.tried("token_file"):
		s.problem("controls", "is true without token_file, so everybody who reaches %s could change this node; "+
			"set token_file, or listen on \"unix:/path\"", h.Listen)
	case !local && !loopback(h.Listen):
		s.warn("controls", "the token is sent over the network in clear text; put a TLS proxy in front of the page, "+
			"or listen on 127.0.0.1 and use an SSH tunnel")
	}
}

func loopback(listen string) bool {
	if strings.HasPrefix(listen, "localhost:") {
		return true
	}
	a, err := netip.ParseAddrPort(listen)
	return err == nil && a.Addr().IsLoopback()
}

func readToken(s *section, h *HTTP, opts Options) {
	const key = "token_file"
	data, mode, err := opts.ReadFile(h.TokenFile)
	if err != nil {
		s.problem(key, "%s %v", h.TokenFile, err)
		return
	}
	line, _, _ := strings.Cut(string(data), "\n")
	line = strings.TrimSuffix(line, "\r")
	switch {
	case mode.Perm()&0o004 != 0:
		s.problem(key, "%s is readable by every user of this host; `chmod o-r %s`", h.TokenFile, h.TokenFile)
	case len(line) < minToken || len(line) > maxToken || textFault(line, maxToken) != "":
		s.problem(key, "the first line of %s is not a token; allowed are %d..%d printable bytes, "+
			"such as the output of `openssl rand -hex 16`", h.TokenFile, minToken, maxToken)
	default:
		h.Token = NewSecret([]byte(line))
	}
}

// validHost accepts a name or an address, as in the Host header.
func validHost(name string) bool {
	if _, err := netip.ParseAddr(strings.Trim(name, "[]")); err == nil {
		return true
	}
	return name != "" && len(name) <= maxText && strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789-._") == ""
}

func decodeWeb(top *section, cfg *Config) {
	s := top.table("web")
	if s == nil {
		return
	}
	w := &cfg.Web
	for _, it := range s.list("widget_origins", "origins") {
		if validOrigin(it.text) {
			w.WidgetOrigins = append(w.WidgetOrigins, it.text)
			continue
		}
		s.r.problem(it.line, "widget_origins", "%q is not an origin; allowed is SCHEME://HOST[:PORT] of the page "+
			"that frames the widget, such as \"https://wall.example\"", it.text)
	}
	for _, it := range s.list("nodes", "URLs") {
		if base, ok := nodeURL(it.text); ok {
			w.Nodes = append(w.Nodes, base)
			continue
		}
		s.r.problem(it.line, "nodes", "%q is not the URL of another node's status page; allowed is http(s)://HOST[:PORT], "+
			"such as \"https://fw2.example:9112\"", it.text)
	}
	atMost := func(key string, n, limit int) {
		if n > limit {
			s.problem(key, "has %d entries, allowed are %d", n, limit)
		}
	}
	atMost("widget_origins", len(w.WidgetOrigins), maxOrigins)
	atMost("nodes", len(w.Nodes), maxNodes)
	s.done()
}

// nodeURL returns the URL without a trailing slash.
func nodeURL(text string) (string, bool) {
	u, err := url.Parse(text)
	if err != nil || (u.Scheme != "https" && u.Scheme != "http") || u.Hostname() == "" || u.User != nil ||
		u.RawQuery != "" || u.Fragment != "" || len(text) > maxText {
		return "", false
	}
	return strings.TrimRight(u.String(), "/"), true
}

// validOrigin is strict: the text becomes part of a header.
func validOrigin(text string) bool {
	u, err := url.Parse(text)
	if err != nil || (u.Scheme != "https" && u.Scheme != "http") || u.Host == "" || u.Scheme+"://"+u.Host != text {
		return false
	}
	port := u.Port()
	host := strings.TrimSuffix(u.Host, ":"+port)
	return validHost(strings.ToLower(host)) && strings.Trim(port, "0123456789") == ""
}
