package broker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

// atOnce is how many connections of one token are ended by one call; the next call ends more.
const atOnce = 10_000

// Disconnect ends the connections that came with the tokens (ids), and returns how many there were. They are not let in again if
// the Authenticator knows that the tokens are no good; who was just being let in may need another call.
func (c *Callout) Disconnect(ctx context.Context, tokenIDs []string) (ended int, err error) {
	for _, id := range tokenIDs {
		n, failed := c.disconnect(ctx, id)
		ended, err = ended+n, errors.Join(err, failed)
	}
	return ended, err
}

// byToken lists the connections of a token.
func byToken(tokenID string) server.ConnzOptions {
	return server.ConnzOptions{Username: true, User: tokenID, Account: appAccount, Limit: atOnce}
}

func (s *Server) disconnect(_ context.Context, tokenID string) (ended int, err error) {
	opts := byToken(tokenID)
	found, err := s.ns.Connz(&opts)
	if err != nil {
		return 0, fmt.Errorf("nats: connections of token %s: %w", tokenID, err)
	}
	for _, conn := range found.Conns {
		if s.ns.DisconnectClientByID(conn.Cid) == nil { // otherwise it is gone already
			ended++
		}
	}
	return ended, nil
}

// answersWithin is how long servers of a cluster may take to tell of their connections, once one has.
const answersWithin = 500 * time.Millisecond

// disconnect asks all servers of the cluster, as the user of their system account.
func (c *Cluster) disconnect(ctx context.Context, tokenID string) (ended int, err error) {
	if c.creds.System == "" {
		return 0, errors.New("nats: these credentials cannot end connections: write the configuration of the NATS servers anew with gantry admin nats-config, and give it to them and to the API")
	}
	nc, err := c.connect("gantry-system", c.creds.System)
	if err != nil {
		return 0, err
	}
	defer nc.Close()
	ctx, cancel := context.WithTimeout(ctx, calloutTimeout)
	defer cancel()
	if err := nc.FlushWithContext(ctx); err != nil {
		return 0, fmt.Errorf("nats: connect as the system user: %w", err)
	}
	ask, err := json.Marshal(server.ConnzEventOptions{ConnzOptions: byToken(tokenID)})
	if err != nil {
		return 0, err
	}
	inbox := nc.NewRespInbox()
	sub, err := nc.SubscribeSync(inbox)
	if err != nil {
		return 0, err
	}
	if err := nc.PublishRequest("$SYS.REQ.SERVER.PING.CONNZ", inbox, ask); err != nil {
		return 0, err
	}
	for wait := calloutTimeout; ; wait = answersWithin {
		m, err := sub.NextMsg(wait)
		if errors.Is(err, nats.ErrTimeout) && wait == answersWithin {
			return ended, nil
		}
		if err != nil {
			return ended, fmt.Errorf("nats: connections of token %s: %w", tokenID, err)
		}
		n, err := kick(ctx, nc, m.Data)
		ended += n
		if err != nil {
			return ended, err
		}
	}
}

// kick ends the connections that one server told of.
func kick(ctx context.Context, nc *nats.Conn, answer []byte) (ended int, err error) {
	var of struct {
		Server struct{ ID string }
		Data   server.Connz
	}
	if err := json.Unmarshal(answer, &of); err != nil {
		return 0, fmt.Errorf("nats: connections of a token: %w", err)
	}
	for _, conn := range of.Data.Conns {
		body, err := json.Marshal(server.KickClientReq{CID: conn.Cid})
		if err != nil {
			return ended, err
		}
		if _, err := nc.RequestWithContext(ctx, "$SYS.REQ.SERVER."+of.Server.ID+".KICK", body); err != nil {
			return ended, fmt.Errorf("nats: end a connection: %w", err)
		}
		ended++
	}
	return ended, nil
}
