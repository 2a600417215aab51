package queue

import (
	"errors"
	"math/rand/v2"
	"sync"
	"time"

	"gantry.example/client"
	"gantry.example/messages"
)

// The errors of a claim say what becomes of its message.

// terminateError: nobody can ever use the message.
type terminateError struct{ err error }

func (e *terminateError) Error() string { return e.err.Error() }
func (e *terminateError) Unwrap() error { return e.err }

// snoozeError: the message is to come again after a while.
type snoozeError struct {
	after time.Duration
	err   error
}

func (e *snoozeError) Error() string { return e.err.Error() }
func (e *snoozeError) Unwrap() error { return e.err }

// refusedError: the server's last word; the message has done its work.
type refusedError struct{ err error }

func (e *refusedError) Error() string { return e.err.Error() }
func (e *refusedError) Unwrap() error { return e.err }

// Answers to a claim that are not the code of a refusal, as the metric names them.
const (
	answerClaimed     = "claimed"
	answerUnreadable  = "unreadable"  // the message was no task
	answerUnavailable = "unavailable" // no answer, or one that says nothing about the task
)

// judge turns the answer to a claim into the error that settles its message, and into a name for it. Only words about the
// task itself are final: everything else, a refused token included, may be different in a moment.
func (w *Worker) judge(err error) (answer string, verdict error) {
	if err == nil {
		w.retry.reset()
		return answerClaimed, nil
	}
	for _, code := range []messages.Code{
		messages.CodeTaskTaken, messages.CodeTaskGone, messages.CodeAttemptCanceled, messages.CodeNotFound,
	} {
		if client.HasCode(err, code) {
			w.retry.reset()
			return string(code), &refusedError{err}
		}
	}
	answer = answerUnavailable
	var refusal *client.Error
	if errors.As(err, &refusal) && refusal.Code != "" {
		answer = string(refusal.Code)
	}
	return answer, &snoozeError{after: w.retry.next(), err: err}
}

// A message that could not be claimed comes again after this time; the more claims in a row are without a verdict, the later.
const (
	minRetry = time.Second
	maxRetry = 10 * time.Second
)

// backoff grows with every claim in a row that had no verdict. It belongs to the worker and not to the task, because what
// keeps claims from being answered is nearly always the server.
type backoff struct {
	mu    sync.Mutex
	pause time.Duration
}

func (b *backoff) reset() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.pause = 0
}

// next is at random between half and the whole of a pause that doubles: 1 to 2 s at first, 5 to 10 s in the end.
func (b *backoff) next() time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.pause = min(max(2*minRetry, 2*b.pause), maxRetry)
	return b.pause/2 + rand.N(b.pause/2)
}
