// Chaos runs the built programs, lets users of many workspaces plan and apply with a real terraform, and breaks things
// meanwhile: processes are killed and frozen, streams deleted, disks filled, messages repeated. Afterwards it reads what is
// left and judges it (package history). The faults come from a seed, which it prints.
//
// Terraform is reached through a small wrapper of ours, which writes to a journal that Gantry knows nothing of; so do the
// provisioners of every resource.
package main
