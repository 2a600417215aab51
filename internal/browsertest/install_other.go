//go:build !linux

package browsertest

import "errors"

func install() error { return errors.New("installing one by itself works on Debian only") }
