package postgres

import "github.com/lib/pq"

// Page selects a page of a list. The zero value is the first page of the default size.
type Page struct {
	Number int // from 1
	Size   int // 1 to 100, default 20
}

const (
	defaultPageSize = 20
	maxPageSize     = 100
)

func (p Page) limit() int {
	switch {
	case p.Size <= 0:
		return defaultPageSize
	case p.Size > maxPageSize:
		return maxPageSize
	default:
		return p.Size
	}
}

func (p Page) offset() int {
	if p.Number <= 1 {
		return 0
	}
	return (min(p.Number, 1<<30) - 1) * p.limit() // bounded, so that no page number overflows
}

// Normal returns the page with its defaults filled in.
func (p Page) Normal() Page { return Page{Number: max(p.Number, 1), Size: p.limit()} }

func textArray(s []string) any { return pq.Array(s) }

func int64Array(n []int64) any { return pq.Array(n) }
