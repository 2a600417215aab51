package forwarded_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"gantry.example/internal/forwarded"
)

// TestClient: who counts as the client, by who asks and what the header says.
func TestClient(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		from   string
		header []string
		want   string
	}{
		"nobody's word but a proxy's": {from: "203.0.113.9:1", header: []string{"198.51.100.1"}, want: "203.0.113.9:1"},
		"a proxy":                     {from: "10.1.2.3:1", header: []string{"198.51.100.1"}, want: "198.51.100.1:0"},
		"a proxy without a word":      {from: "10.1.2.3:1", want: "10.1.2.3:1"},
		"two proxies":                 {from: "192.0.2.7:1", header: []string{"198.51.100.1, 10.9.9.9"}, want: "198.51.100.1:0"},
		"two headers":                 {from: "192.0.2.7:1", header: []string{"198.51.100.1", "10.9.9.9"}, want: "198.51.100.1:0"},
		"what the client made up":     {from: "10.1.2.3:1", header: []string{"127.0.0.1, 198.51.100.1"}, want: "198.51.100.1:0"},
		"nonsense before a client":    {from: "10.1.2.3:1", header: []string{"x, 198.51.100.1"}, want: "198.51.100.1:0"},
		"nonsense at the end":         {from: "10.1.2.3:1", header: []string{"198.51.100.1, x"}, want: "10.1.2.3:1"},
		"proxies only":                {from: "10.1.2.3:1", header: []string{"10.5.5.5"}, want: "10.5.5.5:0"},
		"with a port":                 {from: "10.1.2.3:1", header: []string{"[2001:db8::1]:443"}, want: "[2001:db8::1]:0"},
		"mapped":                      {from: "[::ffff:10.1.2.3]:1", header: []string{"::ffff:198.51.100.1"}, want: "198.51.100.1:0"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			proxies, err := forwarded.Parse([]string{"10.0.0.0/8", "192.0.2.7"})
			if err != nil {
				t.Fatal(err)
			}
			got := ""
			r := httptest.NewRequest(http.MethodGet, "/", nil)
			r.RemoteAddr = tt.from
			r.Header["X-Forwarded-For"] = tt.header
			proxies.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = r.RemoteAddr })).ServeHTTP(httptest.NewRecorder(), r)
			if got != tt.want || r.RemoteAddr != tt.from {
				t.Errorf("got client %s (and %s in the caller's request), want %s", got, r.RemoteAddr, tt.want)
			}
		})
	}
	if _, err := forwarded.Parse([]string{"proxy.example"}); err == nil {
		t.Error("got no error for a name, want one: names change")
	}
}
