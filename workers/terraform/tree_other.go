//go:build unix && !linux

package terraform

import "errors"

// BecomeSubreaper does nothing: only Linux has subreapers. Other systems are for development.
func BecomeSubreaper() error { return nil }

// KillTree does nothing: without /proc the processes of an attempt cannot be told apart.
func KillTree(string, bool) error { return nil }

// Alive is not known without /proc.
func Alive(string) (bool, error) { return false, errors.ErrUnsupported }

// EngineAlive is not known without /proc.
func EngineAlive(string) (bool, error) { return false, errors.ErrUnsupported }

// Interrupt is not possible without /proc.
func Interrupt(string) error { return errors.ErrUnsupported }
