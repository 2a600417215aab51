package bus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"gantry.example/messages"
)

const (
	// taskAckWait is how long a worker has between pull and acknowledgement: one claim. A message is never held while
	// terraform runs.
	taskAckWait = 10 * time.Second
	// taskMaxAckPending leaves room for delayed redeliveries beside the tasks being claimed.
	taskMaxAckPending = 10_000
	// taskMaxWaiting is the number of pulls that may wait, one per free slot of the pool.
	taskMaxWaiting = 4096
	// labelsMetadata is the consumer's metadata key with the label set in clear; its name is only a hash of it.
	labelsMetadata = "gantry-labels"
)

// EnsureTaskConsumer creates the durable consumer of a label set, which must exist before the first task of the set is
// published or nobody is told of it. Its filter never changes: altering filters of a work queue strands messages.
func (b *Bus) EnsureTaskConsumer(ctx context.Context, mode messages.Mode, pool string, labels []string) error {
	labels, err := messages.CanonicalLabels(labels)
	if err != nil {
		return fmt.Errorf("task consumer of pool %s: %w", pool, err)
	}
	ctx, cancel := bounded(ctx)
	defer cancel()
	set := messages.LabelSetToken(labels)
	_, err = b.js.CreateOrUpdateConsumer(ctx, messages.TaskStream(pool), jetstream.ConsumerConfig{
		Durable:       messages.TaskConsumer(set),
		FilterSubject: messages.TaskFilter(mode, pool, set),
		AckPolicy:     jetstream.AckExplicitPolicy,
		AckWait:       taskAckWait,
		MaxDeliver:    -1,
		MaxAckPending: taskMaxAckPending,
		MaxWaiting:    taskMaxWaiting,
		Metadata:      map[string]string{labelsMetadata: strings.Join(labels, ",")},
	})
	if err != nil {
		return fmt.Errorf("task consumer %s of pool %s: %w", messages.TaskConsumer(set), pool, noStream(err))
	}
	return nil
}

// PublishTask queues the task and returns when the stream has stored it. An older message of the same key goes. msgID
// makes a retry of this call harmless; publishing a task again on purpose needs a new one, because the stream remembers
// the ids of messages that are gone. headers carry the trace context and may be nil.
func (b *Bus) PublishTask(ctx context.Context, task messages.Task, msgID string, headers map[string]string) error {
	if err := task.Validate(); err != nil {
		return err
	}
	body, err := json.Marshal(task)
	if err != nil {
		return fmt.Errorf("task %s: encode: %w", task.ID, err)
	}
	m := &nats.Msg{Subject: task.Subject(), Data: body, Header: nats.Header{}}
	for k, v := range headers {
		m.Header.Set(k, v)
	}
	if err := b.publish(ctx, m, msgID); err != nil {
		return fmt.Errorf("task %s: publish to pool %s: %w", task.ID, task.Pool, err)
	}
	return nil
}

// DeleteTask removes the task's message from its pool's queue. A message or stream that is gone is no error, and one of another task,
// which took its place, stays. A worker that holds the message already will be told by the claim.
func (b *Bus) DeleteTask(ctx context.Context, task messages.Task) error {
	if err := task.Validate(); err != nil {
		return err
	}
	ctx, cancel := bounded(ctx)
	defer cancel()
	stream, err := b.js.Stream(ctx, messages.TaskStream(task.Pool))
	var last *jetstream.RawStreamMsg
	if err == nil {
		last, err = stream.GetLastMsgForSubject(ctx, task.Subject())
	}
	if err == nil {
		var there messages.Task
		if json.Unmarshal(last.Data, &there) == nil && there.ID != task.ID {
			return nil
		}
		err = stream.Purge(ctx, jetstream.WithPurgeSubject(task.Subject()), jetstream.WithPurgeSequence(last.Sequence+1))
	}
	if err != nil && !errors.Is(err, jetstream.ErrStreamNotFound) && !errors.Is(err, jetstream.ErrMsgNotFound) {
		return fmt.Errorf("delete message of task %s: %w", task.ID, err)
	}
	return nil
}

// TaskSubjects are the subjects of which the pool's queue holds a message, delivered or not; none when the stream is gone. It
// costs one request for a hundred thousand of them.
func (b *Bus) TaskSubjects(ctx context.Context, pool string) (map[string]uint64, error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	stream, err := b.js.Stream(ctx, messages.TaskStream(pool))
	var info *jetstream.StreamInfo
	if err == nil {
		info, err = stream.Info(ctx, jetstream.WithSubjectFilter(">"))
	}
	switch {
	case err == nil:
		return info.State.Subjects, nil
	case errors.Is(err, jetstream.ErrStreamNotFound):
		return nil, nil
	default:
		return nil, fmt.Errorf("task messages of pool %s: %w", pool, err)
	}
}

// KeepTaskConsumers deletes the consumers of all label sets of the pool but those that wanted, asked after they were listed,
// says are of use. A message that comes for a deleted one waits in the stream for its consumer to be made again.
func (b *Bus) KeepTaskConsumers(ctx context.Context, pool string, wanted func(ctx context.Context) ([][]string, error)) (deleted int, err error) {
	stream, err := b.js.Stream(ctx, messages.TaskStream(pool))
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return 0, nil // no task yet
	}
	if err != nil {
		return 0, fmt.Errorf("queue of pool %s: %w", pool, err)
	}
	names := stream.ConsumerNames(ctx)
	unused := map[string]bool{}
	for name := range names.Name() {
		unused[name] = strings.HasPrefix(name, messages.TaskConsumer(""))
	}
	if names.Err() != nil {
		return 0, fmt.Errorf("consumers of pool %s: %w", pool, names.Err())
	}
	sets, err := wanted(ctx)
	if err != nil {
		return 0, err
	}
	for _, labels := range append(sets, nil) {
		unused[messages.TaskConsumer(messages.LabelSetToken(labels))] = false
	}
	for name, yes := range unused {
		if !yes {
			continue
		}
		if err := stream.DeleteConsumer(ctx, name); err != nil && !errors.Is(err, jetstream.ErrConsumerNotFound) {
			return deleted, fmt.Errorf("delete consumer %s of pool %s: %w", name, pool, err)
		}
		deleted++
	}
	return deleted, nil
}

// HasTask reports whether the pool's queue still holds a message of the subject, delivered or not. It is false when the
// stream itself is gone.
func (b *Bus) HasTask(ctx context.Context, pool, subject string) (bool, error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	stream, err := b.js.Stream(ctx, messages.TaskStream(pool))
	if err == nil {
		_, err = stream.GetLastMsgForSubject(ctx, subject)
	}
	switch {
	case err == nil:
		return true, nil
	case errors.Is(err, jetstream.ErrMsgNotFound), errors.Is(err, jetstream.ErrStreamNotFound):
		return false, nil
	default:
		return false, fmt.Errorf("look for task message %s: %w", subject, err)
	}
}
