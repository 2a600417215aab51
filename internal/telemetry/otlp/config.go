// Package otlp sends spans to an OpenTelemetry collector over OTLP/HTTP. Spans are made after the fact, from what the
// server stored, so nothing of OpenTelemetry's SDK is needed; its exporter would link gRPC, which every runner process (the
// same program) would pay for at its start.
package otlp

import (
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"
)

// Config says where spans go. FromEnv makes one.
type Config struct {
	Endpoint string            // address that spans are posted to; empty means that nothing is sent
	Headers  map[string]string // with each request: often a secret, never logged
	Resource map[string]string // what the spans are of: service.name, …
	Timeout  time.Duration     // of one request; 0 means 10 s
	Client   *http.Client      // nil means one that follows no redirect
}

// FromEnv reads OpenTelemetry's own variables: OTEL_EXPORTER_OTLP_ENDPOINT and _TRACES_ENDPOINT, _HEADERS and
// _TRACES_HEADERS, OTEL_SERVICE_NAME, OTEL_RESOURCE_ATTRIBUTES, OTEL_SDK_DISABLED. flag, if not empty, stands for
// OTEL_EXPORTER_OTLP_ENDPOINT. The Endpoint is empty when none of them asks for traces.
func FromEnv(getenv func(string) string, flag, version string) (Config, error) {
	source, base := "OTEL_EXPORTER_OTLP_ENDPOINT", getenv("OTEL_EXPORTER_OTLP_ENDPOINT")
	if flag != "" {
		source, base = "--otlp-endpoint", flag
	}
	endpoint := ""
	if base != "" {
		endpoint = strings.TrimSuffix(base, "/") + "/v1/traces"
	}
	if own := getenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"); own != "" && flag == "" {
		source, endpoint = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", own
	}
	if endpoint == "" || strings.EqualFold(getenv("OTEL_SDK_DISABLED"), "true") {
		return Config{}, nil
	}
	u, err := url.Parse(endpoint)
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
		return Config{}, fmt.Errorf("%s: not an address like http://127.0.0.1:4318", source)
	}
	cfg := Config{Endpoint: endpoint, Headers: map[string]string{}}
	for _, name := range []string{"OTEL_EXPORTER_OTLP_HEADERS", "OTEL_EXPORTER_OTLP_TRACES_HEADERS"} {
		if err := pairs(getenv(name), cfg.Headers); err != nil {
			return Config{}, fmt.Errorf("%s: want key=value,key=value with values percent-encoded", name)
		}
	}
	host, _ := os.Hostname()
	cfg.Resource = map[string]string{"service.name": "gantry", "service.version": version, "host.name": host}
	if err := pairs(getenv("OTEL_RESOURCE_ATTRIBUTES"), cfg.Resource); err != nil {
		return Config{}, fmt.Errorf("OTEL_RESOURCE_ATTRIBUTES: want key=value,key=value with values percent-encoded")
	}
	if name := getenv("OTEL_SERVICE_NAME"); name != "" {
		cfg.Resource["service.name"] = name
	}
	return cfg, nil
}

// shown is the endpoint without a password that may be in it.
func (c Config) shown() string {
	u, err := url.Parse(c.Endpoint)
	if err != nil {
		return "(not a URL)"
	}
	return u.Redacted()
}

func pairs(text string, into map[string]string) error {
	for item := range strings.SplitSeq(text, ",") {
		if item = strings.TrimSpace(item); item == "" {
			continue
		}
		key, value, ok := strings.Cut(item, "=")
		plain, err := url.PathUnescape(strings.TrimSpace(value))
		if !ok || err != nil || strings.TrimSpace(key) == "" {
			return fmt.Errorf("not key=value")
		}
		into[strings.TrimSpace(key)] = plain
	}
	return nil
}
