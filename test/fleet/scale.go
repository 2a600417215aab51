package main

import "context"

func (f *fleet) scale(context.Context) error { return nil }
