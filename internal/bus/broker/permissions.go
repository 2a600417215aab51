package broker

import (
	"fmt"
	"time"

	"github.com/nats-io/jwt/v2"

	"gantry.example/messages"
)

// Kind is what sort of client an identity is.
type Kind string

// The kinds of clients. The server itself needs no identity: it connects in process.
const (
	KindWorker Kind = "worker" // pulls the tasks of one pool
	KindRunner Kind = "runner" // carries out one attempt
	// KindProducer asks for runs of one organization.
	KindProducer Kind = "producer"
	// KindReader listens to what happens to the runs of one organization, and says nothing.
	KindReader Kind = "reader"
)

// Identity is who a client is; its permissions follow from it alone.
type Identity struct {
	Kind Kind
	Pool string // workers and runners
	Name string // worker id, attempt id, or organization id of a producer or reader

	// TokenID is the id of a token that can be revoked: its connections are ended by it. Until is when it expires; zero is never.
	TokenID string
	Until   time.Time

	// Runners only: what the attempt works on. Key is the exclusivity key of its lease; "" for one
	// that is over and holds none any more.
	WorkspaceID string
	RunID       string
	Key         string
}

// A user expires, the server disconnects it, and it is authenticated anew: that is how a token ends that was revoked while nobody
// could end its connections (Callout.Disconnect).
const (
	workerLifetime = time.Hour
	runnerLifetime = 24 * time.Hour
)

// maxSubscriptions bounds what one client can make the server remember.
const maxSubscriptions = 200

// expires is when the user ends that is made now.
func (id Identity) expires() time.Time {
	at := time.Now().Add(workerLifetime)
	if id.Kind == KindRunner {
		at = time.Now().Add(runnerLifetime)
	}
	if !id.Until.IsZero() && id.Until.Before(at) {
		return id.Until
	}
	return at
}

// validate makes sure that no part of the identity can widen a subject.
func (id Identity) validate() error {
	fields := map[string]string{"name": id.Name}
	switch id.Kind {
	case KindProducer, KindReader:
	case KindWorker:
		fields["pool"] = id.Pool
	case KindRunner:
		fields["pool"], fields["workspace id"], fields["run id"] = id.Pool, id.WorkspaceID, id.RunID
		if id.Key != "" {
			fields["key"] = id.Key
		}
	default:
		return fmt.Errorf("identity %q: unknown kind %q", id.Name, id.Kind)
	}
	for name, value := range fields {
		if !messages.ValidName(value) {
			return fmt.Errorf("identity %q: %s %q is not usable in a subject", id.Name, name, value)
		}
	}
	return nil
}

// permissions allow what the identity needs and nothing else: with an allow list everything not on it is refused.
func (id Identity) permissions() jwt.Permissions {
	switch id.Kind {
	case KindRunner:
		return id.runnerPermissions()
	case KindProducer:
		return id.producerPermissions()
	case KindReader:
		return id.readerPermissions()
	default:
		return id.workerPermissions()
	}
}

// producerPermissions: publish requests, hear the answers. The producers of one organization share an inbox, so they can
// hear each other's answers: the organization is the trust boundary.
func (id Identity) producerPermissions() jwt.Permissions {
	return jwt.Permissions{
		Pub: jwt.Permission{Allow: jwt.StringList{messages.IntakeSubject(id.Name)}},
		Sub: jwt.Permission{Allow: jwt.StringList{messages.ProducerInboxPrefix(id.Name) + ".>"}},
	}
}

// readerPermissions: listen. An empty list of what may be published would allow everything, so everything is denied.
func (id Identity) readerPermissions() jwt.Permissions {
	return jwt.Permissions{
		Pub: jwt.Permission{Deny: jwt.StringList{">"}},
		Sub: jwt.Permission{Allow: jwt.StringList{messages.OrganizationEventSubjects(id.Name)}},
	}
}

// workerPermissions: pull and acknowledge the pool's tasks, report events and how busy it is. Subjects of acknowledgements carry no worker
// name, so workers of one pool could acknowledge each other's messages: the pool is the trust boundary.
func (id Identity) workerPermissions() jwt.Permissions {
	stream := messages.TaskStream(id.Pool)
	return jwt.Permissions{
		Pub: jwt.Permission{Allow: jwt.StringList{
			"$JS.API.STREAM.INFO." + stream,
			"$JS.API.CONSUMER.INFO." + stream + ".*",
			"$JS.API.CONSUMER.MSG.NEXT." + stream + ".*",
			"$JS.ACK." + stream + ".>",
			messages.PoolStatusSubjects(id.Pool),
			messages.LoadSubject(id.Pool, id.Name),
			messages.DeadLetterSubject(messages.TaskStreamSubjects("*", id.Pool)),
		}},
		Sub: jwt.Permission{Allow: jwt.StringList{
			messages.InboxPrefix(id.Name) + ".>",
			messages.CommandSubject(id.Pool, "*"),
			messages.HintSubject(id.Pool, id.Name),
		}},
	}
}

// runnerPermissions: report on its own attempt, hold its own lease, hear its own commands. MSG.GET names the key in its
// body, where permissions do not reach, so a runner can read (not write) the other leases of its pool: ids and epochs,
// nothing secret.
func (id Identity) runnerPermissions() jwt.Permissions {
	publish := jwt.StringList{
		messages.StatusSubject(id.Pool, id.WorkspaceID, id.RunID, id.Name),
		messages.LogSubject(id.Pool, id.RunID, id.Name),
	}
	if id.Key != "" {
		leases := messages.LeaseStream(id.Pool)
		publish.Add(messages.LeaseSubject(id.Pool, id.Key), "$JS.API.STREAM.INFO."+leases, "$JS.API.STREAM.MSG.GET."+leases)
	}
	return jwt.Permissions{
		Pub: jwt.Permission{Allow: publish},
		Sub: jwt.Permission{Allow: jwt.StringList{
			messages.InboxPrefix(id.Name) + ".>",
			messages.CommandSubject(id.Pool, id.Name),
		}},
	}
}
