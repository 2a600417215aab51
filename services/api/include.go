package api

import "strings"

// sideLoad collects what the query parameter include asks for beside the objects themselves, each resource once.
type sideLoad struct {
	wanted []string
	seen   map[string]bool
	docs   []any
}

// include reads what is asked for. TFE takes words with dashes and with underscores; those that nobody knows are ignored, because
// clients ask for things that a platform need not have.
func (r *request) include() *sideLoad {
	words := strings.Split(strings.ReplaceAll(r.URL.Query().Get("include"), "-", "_"), ",")
	return &sideLoad{wanted: words, seen: map[string]bool{}}
}

// asks reports whether the words ask for the relation, or for something behind it.
func (s *sideLoad) asks(relation string) bool {
	for _, word := range s.wanted {
		if word == relation || strings.HasPrefix(word, relation+".") {
			return true
		}
	}
	return false
}

// add loads the resource with the id if the relation is asked for and it is not there yet.
func (s *sideLoad) add(relation, id string, load func() (any, error)) error {
	if !s.asks(relation) || id == "" || s.seen[relation+" "+id] {
		return nil
	}
	doc, err := load()
	if err != nil {
		return err
	}
	s.seen[relation+" "+id] = true
	s.docs = append(s.docs, doc)
	return nil
}
