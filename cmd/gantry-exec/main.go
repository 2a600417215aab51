// Command gantry-exec is the small program through which a runner starts terraform. See package shim.
package main

import (
	"os"

	"gantry.example/workers/terraform/shim"
)

func main() { os.Exit(shim.Main(os.Args, os.Environ())) }
