// SPDX-License-Identifier: Apache-2.0

package config

import (
	"crypto/x509"
	"errors"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// HTTPCheck is what a [[check]] of type http has besides its URL.
type HTTPCheck struct {
	// Status are the accepted ones, never empty.
	Status []StatusRange
	// CAFile has the certificates that the server's must be signed by; empty means those of the host.
	CAFile string
	// Insecure accepts any certificate.
	Insecure bool
}

// StatusRange is a range of HTTP status codes, both ends included.
type StatusRange struct{ Low, High int }

// defaultStatus is what a kubelet takes for success.
func defaultStatus() []StatusRange { return []StatusRange{{200, 399}} }

// Accepts reports whether a status is one of the accepted.
func (h *HTTPCheck) Accepts(status int) bool {
	return slices.ContainsFunc(h.Status, func(r StatusRange) bool { return r.Low <= status && status <= r.High })
}

// StatusText is the accepted status as in the config.
func (h *HTTPCheck) StatusText() string {
	parts := make([]string, len(h.Status))
	for i, r := range h.Status {
		parts[i] = strconv.Itoa(r.Low)
		if r.High != r.Low {
			parts[i] += "-" + strconv.Itoa(r.High)
		}
	}
	return strings.Join(parts, ",")
}

func (h *HTTPCheck) equal(other *HTTPCheck) bool {
	return slices.Equal(h.Status, other.Status) && h.CAFile == other.CAFile && h.Insecure == other.Insecure
}

// parseStatus parses "200", "200-399" or a list of these with commas.
func parseStatus(text string) ([]StatusRange, bool) {
	var out []StatusRange
	for part := range strings.SplitSeq(text, ",") {
		low, high, isRange := strings.Cut(strings.TrimSpace(part), "-")
		if !isRange {
			high = low
		}
		a, errA := strconv.ParseUint(low, 10, 16)
		b, errB := strconv.ParseUint(high, 10, 16)
		if errA != nil || errB != nil || a < 200 || b > 599 || a > b {
			return nil, false
		}
		out = append(out, StatusRange{int(a), int(b)})
	}
	return out, true
}

// decodeHTTPCheck reads the keys that only type http has. hasType is false if the type is unknown.
func decodeHTTPCheck(s *section, c *Check, hasType bool) {
	var status string
	hasStatus := s.str("status", &status)
	hasFile := s.str("ca_file", &c.HTTP.CAFile)
	s.boolean("insecure", &c.HTTP.Insecure)
	if c.Type != CheckHTTP {
		for _, key := range []string{"status", "ca_file", "insecure"} {
			if hasType && s.tried(key) {
				s.problem(key, "is for type \"http\" only; leave it out")
			}
		}
		c.HTTP = HTTPCheck{}
		return
	}
	c.HTTP.Status = defaultStatus()
	if hasStatus {
		if list, ok := parseStatus(status); ok {
			c.HTTP.Status = list
		} else {
			s.problem("status", "%q is not a status; allowed are numbers and ranges in 200..599, such as \"200\", \"200-399\" "+
				"or \"200,401-403\"", status)
		}
	}
	plain := strings.HasPrefix(strings.ToLower(c.Target), "http://")
	switch {
	case plain && s.tried("ca_file"):
		s.problem("ca_file", "is for https:// targets only; leave it out")
	case plain && s.tried("insecure"):
		s.problem("insecure", "is for https:// targets only; leave it out")
	case c.HTTP.Insecure && s.tried("ca_file"):
		s.problem("insecure", "is set together with ca_file; keep one of the two")
	case hasFile && checkPath(s, "ca_file", c.HTTP.CAFile):
		// Not a problem: the service that is checked may create it later, and may replace it at any time.
		if _, err := CAs(ReadCAFile(c.HTTP.CAFile)); err != nil {
			s.warn("ca_file", "%s %v; the check fails until it is a file of certificates in PEM", c.HTTP.CAFile, err)
		}
	}
}

// maxCAFile is several times the size of a host's own list of CAs.
const maxCAFile = 2 << 20

// ReadCAFile reads a file of certificates, for CAs. Its errors do not have the path.
func ReadCAFile(path string) ([]byte, error) {
	data, _, err := readFile(path, maxCAFile)
	return data, err
}

// CAs returns the certificates of a file, or the error of reading it.
func CAs(data []byte, err error) (*x509.CertPool, error) {
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(data) {
		return nil, errors.New("has no certificate")
	}
	return pool, nil
}

// hostPort returns the host and port of a URL of http or https.
func hostPort(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	return net.JoinHostPort(u.Hostname(), port)
}

// HostPort is where a check of type http connects to.
func (c *Check) HostPort() string {
	u, err := url.Parse(c.Target)
	if err != nil {
		return ""
	}
	return hostPort(u)
}

func urlFault(target string) string {
	u, err := url.Parse(target)
	switch {
	case err != nil:
		return "is not a URL"
	case u.Scheme != "http" && u.Scheme != "https":
		return "does not begin with http:// or https://"
	case u.User != nil:
		return "has a user name, which the check would not send"
	case u.Hostname() == "":
		return "has no host"
	}
	if _, err := netip.ParseAddr(u.Hostname()); strings.Contains(u.Hostname(), ":") && err != nil {
		return "has no valid host"
	}
	return strings.Replace(hostPortFault(hostPort(u)), "has no host before the port", "has no valid host", 1)
}
