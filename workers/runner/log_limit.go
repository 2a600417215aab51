package runner

import (
	"bytes"
	"fmt"
	"io"
)

// logTail is how much of the end of a log is stored whatever its length: there terraform says why it failed.
const logTail = 64 << 10

// logCut leaves out the middle of a log that is longer than its limit. It cuts what is masked already, so that no secret is
// cut in two and shown.
type logCut struct {
	limit  int64 // 0 leaves out nothing
	passed int64
	beyond int64  // bytes behind the limit so far
	tail   []byte // the last of them
}

// add returns what of p is stored now.
func (c *logCut) add(p []byte) []byte {
	room := c.limit - c.passed
	if c.limit <= 0 || int64(len(p)) <= room {
		c.passed += int64(len(p))
		return p
	}
	head, over := bytes.Clone(p[:room]), p[room:] // a copy: the caller reads on into p
	c.passed += room
	c.beyond += int64(len(over))
	if c.tail = append(c.tail, over...); len(c.tail) > 4*logTail {
		c.tail = bytes.Clone(c.tail[len(c.tail)-logTail:])
	}
	return head
}

// rest returns, once, what is stored at the end of the log: how much is left out, and the last lines.
func (c *logCut) rest() []byte {
	tail := c.tail[max(0, len(c.tail)-logTail):]
	left := c.beyond - int64(len(tail))
	c.beyond, c.tail = 0, nil
	if left == 0 {
		return tail
	}
	if line := bytes.IndexByte(tail, '\n'); line >= 0 && line+1 < len(tail) {
		tail, left = tail[line+1:], left+int64(line+1)
	}
	note := fmt.Appendf(nil, "\n[Gantry: the log is longer than the %d bytes that are stored of one: %d bytes are left out here]\n", c.limit, left)
	return append(note, tail...)
}

// logCutter writes what is stored of a log and counts it.
type logCutter struct {
	logCut
	to   io.Writer
	size int64
}

// Write implements io.Writer.
func (c *logCutter) Write(p []byte) (int, error) {
	n, err := c.to.Write(c.add(p))
	c.size += int64(n)
	return len(p), err
}

// end writes the rest and returns the size of all; to does not fail.
func (c *logCutter) end() int64 {
	n, _ := c.to.Write(c.rest())
	c.size += int64(n)
	return c.size
}
