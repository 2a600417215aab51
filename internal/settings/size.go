package settings

import (
	"fmt"

	"github.com/dustin/go-humanize"
)

// Size is a number of bytes, as a flag: "64MiB", "1GB", "0".
type Size uint64

// String implements pflag.Value.
func (s *Size) String() string { return humanize.IBytes(uint64(*s)) }

// Set implements pflag.Value.
func (s *Size) Set(text string) error {
	n, err := humanize.ParseBytes(text)
	if err != nil {
		return fmt.Errorf("%q is not a size such as 512MiB or 1GiB", text)
	}
	*s = Size(n)
	return nil
}

// Type implements pflag.Value.
func (*Size) Type() string { return "size" }
