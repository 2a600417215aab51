package api

import (
	"strconv"

	"gantry.example/services/postgres"
)

// paginationMeta is TFE's block: a client reads on until current-page reaches total-pages.
type paginationMeta struct {
	Current int  `json:"current-page"`
	Size    int  `json:"page-size"`
	Prev    *int `json:"prev-page"`
	Next    *int `json:"next-page"`
	Pages   int  `json:"total-pages"`
	Count   int  `json:"total-count"`
}

func pagination(p postgres.Page, total int) paginationMeta {
	p = p.Normal()
	m := paginationMeta{Current: p.Number, Size: p.Size, Pages: (total + p.Size - 1) / p.Size, Count: total}
	if p.Number > 1 {
		prev := p.Number - 1
		m.Prev = &prev
	}
	if p.Number < m.Pages {
		next := p.Number + 1
		m.Next = &next
	}
	return m
}

// page reads page[number] and page[size].
func (r *request) page() (postgres.Page, error) {
	var p postgres.Page
	for _, f := range []struct {
		name string
		to   *int
	}{{"page[number]", &p.Number}, {"page[size]", &p.Size}} {
		text := r.URL.Query().Get(f.name)
		if text == "" {
			continue
		}
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 {
			return p, invalid("query parameter %s: %q is not a positive number", f.name, text)
		}
		*f.to = n
	}
	return p, nil
}
