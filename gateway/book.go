package gateway

import (
	"errors"
	"fmt"

	"github.com/forewarm/forewarm/catalog"
)

// book is a catalog as calls look it up. It is replaced, never changed: a call keeps the function that it found.
type book struct {
	catalog *catalog.Catalog
	byName  map[string]*catalog.Function
}

func newBook(c *catalog.Catalog) (*book, error) {
	if c == nil || len(c.Functions) == 0 {
		return nil, errors.New("gateway: there is no function to call: give a catalog")
	}
	b := &book{catalog: c, byName: make(map[string]*catalog.Function, len(c.Functions))}
	for i := range c.Functions {
		f := &c.Functions[i]
		if b.byName[f.Name] != nil || f.Name == "" || f.Memory <= 0 || f.Timeout <= 0 {
			return nil, fmt.Errorf("gateway: function %d of the catalog, %q: it needs a name of its own, memory and a timeout", i, f.Name)
		}
		b.byName[f.Name] = f
	}
	return b, nil
}

// SetCatalog replaces the functions that may be called; one that makes no sense changes nothing. Calls under way end
// as they began, also those of a function that is gone now; later ones of it are told that it is unknown. The
// scheduler and the nodes must know what is new before.
func (s *Server) SetCatalog(c *catalog.Catalog) error {
	b, err := newBook(c)
	if err == nil {
		s.book.Store(b)
	}
	return err
}
