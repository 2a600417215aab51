package postgres

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/lib/pq"
	"golang.org/x/sys/unix"
)

var (
	_ pq.Dialer        = dialer{}
	_ pq.DialerContext = dialer{}
)

// TestConnectionsEndWithTheirHost looks at what the system was told: a host that vanishes can't be shown on one machine. It is in
// the package because nothing outside of it sees the connections.
func TestConnectionsEndWithTheirHost(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // at once
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	for name, dial := range map[string]func() (net.Conn, error){
		"DialContext": func() (net.Conn, error) {
			return newDialer().DialContext(context.Background(), "tcp", ln.Addr().String())
		},
		"DialTimeout": func() (net.Conn, error) { return newDialer().DialTimeout("tcp", ln.Addr().String(), time.Minute) },
	} {
		conn, err := dial()
		if err != nil {
			t.Fatal(err)
		}
		raw, err := conn.(*net.TCPConn).SyscallConn()
		if err != nil {
			t.Fatal(err)
		}
		want := map[int]int{unix.TCP_USER_TIMEOUT: 20_000, unix.TCP_KEEPIDLE: 10, unix.TCP_KEEPINTVL: 2, unix.TCP_KEEPCNT: 4}
		err = raw.Control(func(fd uintptr) {
			for option, value := range want {
				if got, err := unix.GetsockoptInt(int(fd), unix.IPPROTO_TCP, option); err != nil || got != value {
					t.Errorf("%s: option %d of TCP: got %d, %v, want %d", name, option, got, err, value)
				}
			}
		})
		if err != nil {
			t.Error(err)
		}
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
	}
}
