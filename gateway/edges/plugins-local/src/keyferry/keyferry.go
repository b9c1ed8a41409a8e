// Package keyferry is a plugin for Traefik with the two things that its own middlewares cannot do:
// to find the viewer's address behind trusted peers, before the question to Keyferry, and to ask
// the origin for the path that Keyferry's answer names, after it.
package keyferry

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strings"
)

// Config says which of the two a middleware does.
type Config struct {
	Step    string   `json:"step"`    // "viewer" or "path"
	Trust   []string `json:"trust"`   // networks of peers that are believed about the viewer
	Country string   `json:"country"` // the header in which they name the viewer's country
}

// CreateConfig returns the configuration that Traefik fills in.
func CreateConfig() *Config {
	return &Config{}
}

// New returns the middleware that config asks for.
func New(_ context.Context, next http.Handler, config *Config, _ string) (http.Handler, error) {
	switch config.Step {
	case "viewer":
		trusted, err := readNetworks(config.Trust)
		return &viewer{next, trusted, config.Country}, err
	case "path":
		return &named{next}, nil
	}
	return nil, fmt.Errorf("keyferry: there is no step %q", config.Step)
}

func readNetworks(texts []string) ([]*net.IPNet, error) {
	networks := []*net.IPNet{}
	for _, text := range texts {
		_, network, err := net.ParseCIDR(text)
		if err != nil {
			return nil, err
		}
		networks = append(networks, network)
	}
	return networks, nil
}

// viewer lets GET and HEAD pass, as requests from the viewer's own address: the connection's, or
// the last one in X-Forwarded-For that no trusted peer vouches for.
type viewer struct {
	next    http.Handler
	trusted []*net.IPNet
	country string
}

func (step *viewer) ServeHTTP(answer http.ResponseWriter, request *http.Request) {
	switch request.Method {
	case http.MethodGet, http.MethodHead:
	case http.MethodOptions:
		answer.WriteHeader(http.StatusNoContent)
		return
	default:
		answer.Header().Set("Allow", "GET, HEAD, OPTIONS")
		answer.WriteHeader(http.StatusMethodNotAllowed)
		return
	}
	address := bare(request.RemoteAddr)
	if step.country != "" && !step.trusts(address) {
		request.Header.Del(step.country)
	}
	told := strings.Join(request.Header.Values("X-Forwarded-For"), ",")
	hops := strings.FieldsFunc(told, isComma)
	for ; len(hops) > 0 && step.trusts(address); hops = hops[:len(hops)-1] {
		address = bare(hops[len(hops)-1])
	}
	request.Header.Del("X-Forwarded-For")
	request.RemoteAddr = net.JoinHostPort(address, "0")
	step.next.ServeHTTP(answer, request)
}

func (step *viewer) trusts(address string) bool {
	ip := net.ParseIP(address)
	for _, network := range step.trusted {
		if ip != nil && network.Contains(ip) {
			return true
		}
	}
	return false
}

func isComma(char rune) bool {
	return char == ','
}

// bare returns an address without spaces, brackets, port and zone.
func bare(text string) string {
	text = strings.TrimSpace(text)
	if host, _, err := net.SplitHostPort(text); err == nil {
		text = host
	}
	return strings.SplitN(strings.Trim(text, "[]"), "%", 2)[0]
}

var (
	folder    = regexp.MustCompile(`^[A-Za-z0-9_-][A-Za-z0-9._-]*$`)
	path      = regexp.MustCompile(`^/[^?#\s]+$`)
	ambiguous = regexp.MustCompile(`(?i)//|\\|/\.\.?(?:[/;]|$)|%(?:2[ef5]|5c|[01]|7f)`)
)

// named asks the origin for what Keyferry's answer names, whatever the viewer's path was, and
// without the token.
type named struct {
	next http.Handler
}

func (step *named) ServeHTTP(answer http.ResponseWriter, request *http.Request) {
	target, err := readTarget(request.Header.Get("X-Auth-Path"), request.Header.Get("X-Auth-Sub"))
	if err != nil {
		answer.WriteHeader(http.StatusForbidden)
		return
	}
	target.RawQuery = withoutTokens(request.URL.RawQuery)
	request.URL.Path, request.URL.RawPath = target.Path, target.RawPath
	request.URL.RawQuery = target.RawQuery
	request.RequestURI = target.RequestURI()
	step.next.ServeHTTP(answer, request)
}

// readTarget refuses what could be read in another way than Keyferry did.
func readTarget(text string, subject string) (*url.URL, error) {
	if !folder.MatchString(subject) || !path.MatchString(text) || ambiguous.MatchString(text) {
		return nil, errors.New("keyferry: there is nothing to serve")
	}
	return url.ParseRequestURI(text)
}

func withoutTokens(query string) string {
	kept := []string{}
	for _, field := range strings.Split(query, "&") {
		name, err := url.QueryUnescape(strings.SplitN(field, "=", 2)[0])
		if err == nil && name != "token" && name != "jwt" && field != "" {
			kept = append(kept, field)
		}
	}
	return strings.Join(kept, "&")
}
