package postgres

import (
	"net"
	"time"
)

// How long Postgres may take to accept a connection, and its host to acknowledge what was sent. By itself TCP waits for a host
// that is gone for a quarter of an hour, and every connection with it, while another one may have taken over.
const (
	dialWithin = 10 * time.Second
	ackWithin  = 20 * time.Second
)

// dialer is how all connections to Postgres are made. It implements pq.Dialer and pq.DialerContext.
type dialer struct{ *net.Dialer }

func newDialer() dialer {
	return dialer{&net.Dialer{
		Timeout:         dialWithin,
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: ackWithin / 2, Interval: 2 * time.Second, Count: 4}, // while an answer is waited for
		Control:         boundAcks,
	}}
}

// DialTimeout implements pq.Dialer.
func (d dialer) DialTimeout(network, address string, timeout time.Duration) (net.Conn, error) {
	bounded := *d.Dialer
	bounded.Timeout = timeout
	return bounded.Dial(network, address)
}
