package messages

import "strings"

// LocalPool is the id of the pool whose tasks run on the platform server.
const LocalPool = "local"

// Names of streams, consumers and buckets. Pools, workspaces, runs and attempts appear by id only.

// TaskStream is the work-queue stream of one pool.
func TaskStream(pool string) string { return "TASKS_" + pool }

// TaskConsumer is the durable consumer of one label set on its pool's task stream.
func TaskConsumer(labelSet string) string { return "q_" + labelSet }

// TaskSubject is where a task of the given exclusivity key is published. One key has at most one message.
func TaskSubject(mode Mode, pool, labelSet, key string) string {
	return strings.Join([]string{"task", string(mode), pool, labelSet, key}, ".")
}

// TaskFilter selects the tasks of one label set.
func TaskFilter(mode Mode, pool, labelSet string) string {
	return TaskSubject(mode, pool, labelSet, "*")
}

// TaskStreamSubjects is what the stream of a pool stores.
func TaskStreamSubjects(mode Mode, pool string) string {
	return strings.Join([]string{"task", string(mode), pool, ">"}, ".")
}

// StatusStream holds the events of all runners and workers; the projector reads it with the durable ProjectorConsumer.
const (
	StatusStream      = "STATUS"
	StatusSubjects    = "status.>"
	ProjectorConsumer = "projector"
)

// StatusSubject is where the events of one attempt are published. The attempt is part of the subject so that a runner's
// permissions can be limited to its own.
func StatusSubject(pool, workspaceID, runID, attemptID string) string {
	return strings.Join([]string{"status", pool, workspaceID, runID, attemptID}, ".")
}

// PoolStatusSubjects is what the workers of a pool may publish events to.
func PoolStatusSubjects(pool string) string { return "status." + pool + ".>" }

// LogStream holds log chunks until they are stored; the log service reads it with the durable LogConsumer.
const (
	LogStream   = "LOGS"
	LogSubjects = "logs.>"
	LogConsumer = "logs"
)

// LogSubject is where the log chunks of one attempt are published, in order.
func LogSubject(pool, runID, attemptID string) string {
	return strings.Join([]string{"logs", pool, runID, attemptID}, ".")
}

// IntakeStream holds the run requests of producers until they are carried out; the intake reads it with the durable
// IntakeConsumer.
const (
	IntakeStream   = "INTAKE"
	IntakeSubjects = "intake.>"
	IntakeConsumer = "intake"
)

// IntakeSubject is where the producers of an organization publish a RunRequest.
func IntakeSubject(organizationID string) string { return "intake.run." + organizationID }

// ProducerInboxPrefix is the inbox prefix of all producers of an organization.
func ProducerInboxPrefix(organizationID string) string { return InboxPrefix(organizationID) }

// EventSubject is where every change of a run is told to those who only listen. Nothing stores what is said there.
func EventSubject(organizationID, workspaceID, runID string) string {
	return strings.Join([]string{"events", organizationID, workspaceID, runID}, ".")
}

// OrganizationEventSubjects is what a reader of an organization may listen to.
func OrganizationEventSubjects(organizationID string) string {
	return "events." + organizationID + ".>"
}

// DeadLetterStream holds every message that its reader could not use, as a DeadLetter.
const (
	DeadLetterStream   = "DEADLETTERS"
	DeadLetterSubjects = "dead.>"
)

// DeadLetterSubject is where a message of the subject is published when it is given up. The subject it had is part of it, so
// that whoever may write dead letters decides no more by them than by messages.
func DeadLetterSubject(subject string) string { return "dead." + subject }

// LeaseBucket is the KV bucket with the leases of one pool; keys are exclusivity keys.
func LeaseBucket(pool string) string { return "LOCKS_" + pool }

// LeaseStream is the stream behind LeaseBucket.
func LeaseStream(pool string) string { return "KV_" + LeaseBucket(pool) }

// LeaseSubject is the subject of one key of a lease bucket.
func LeaseSubject(pool, key string) string { return "$KV." + LeaseBucket(pool) + "." + key }

// CommandSubject is where an attempt listens for its Command.
func CommandSubject(pool, attemptID string) string {
	return strings.Join([]string{"cmd", pool, attemptID}, ".")
}

// HintSubject is where a worker of a pool is told, with a Hint, that a task is worth pulling for. Hints may be lost.
func HintSubject(pool, worker string) string {
	return strings.Join([]string{"hint", pool, worker}, ".")
}

// LoadSubject is where a worker of a pool says with a Load how busy it is. Such words may be lost.
func LoadSubject(pool, worker string) string {
	return strings.Join([]string{"load", pool, worker}, ".")
}

// InboxPrefix is the reply-subject prefix a client with restricted permissions must use. name is an attempt or worker id.
func InboxPrefix(name string) string { return "_INBOX_" + name }
