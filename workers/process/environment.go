package process

import "os"

// Environment is the part of this process's environment that a runner gets: what it needs to find programs, its home and
// the network. Everything else, secrets of the worker above all, stays here.
func Environment() []string {
	var env []string
	for _, key := range []string{
		"PATH", "HOME", "TMPDIR", "TZ", "SSL_CERT_FILE", "SSL_CERT_DIR",
		"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "no_proxy", "all_proxy",
	} {
		if v, ok := os.LookupEnv(key); ok {
			env = append(env, key+"="+v)
		}
	}
	return env
}
