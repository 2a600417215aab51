// Package loopback finds addresses for the programs under test.
package loopback

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
)

// Ports that are given out: below those that systems choose for outgoing connections, one of which would otherwise take the port
// now and then before the program does, or while it starts again.
const (
	lowest  = 12_000
	highest = 32_000
)

// Free returns an address of this machine, host:port, that nothing listens on now.
func Free(ctx context.Context) (string, error) {
	var err error
	for range 100 {
		var ln net.Listener
		ln, err = (&net.ListenConfig{}).Listen(ctx, "tcp", fmt.Sprintf("127.0.0.1:%d", lowest+rand.IntN(highest-lowest)))
		if err == nil {
			return ln.Addr().String(), ln.Close()
		}
	}
	return "", fmt.Errorf("no free port: %w", err)
}
