package postgres

import (
	"database/sql/driver"
	"errors"
	"io"
	"net"

	"github.com/lib/pq"
)

// Unavailable reports whether err says that the database cannot be reached or takes nobody right now, so that the same thing
// may work in a moment. A wrong password, a missing database or a bad statement are none of that.
func Unavailable(err error) bool {
	var network net.Error
	if errors.As(err, &network) || errors.Is(err, driver.ErrBadConn) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return true
	}
	var pe *pq.Error
	if !errors.As(err, &pe) {
		return false
	}
	switch pe.Code.Class() {
	case "08", "57": // connection exceptions; shutting down, starting up, canceled by an operator
		return true
	}
	switch pe.Code {
	case "53300", "25006": // too many connections; a standby that is not promoted yet
		return true
	}
	return false
}
