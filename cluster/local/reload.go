package local

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/forewarm/forewarm/catalog"
)

// functionsName is the file in a node's folder in which its manager tells it of functions that came or changed since
// the node was started. The node looks at it whenever it starts a container: so a start that was ordered after the
// file was written goes by it, without a port that others might write to as well, and without an answer to wait for.
const functionsName = "functions.json"

// SetFunctions adds functions to what containers may be made of, and replaces those of the same name. Containers that
// run stay what they are. When it returns, new ones on every node are made of what was set. None is ever taken out:
// nodes start what the scheduler orders, and calls that were let in before a function was removed may still need it.
func (m *Manager) SetFunctions(functions []catalog.Function) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.opts.Node.Functions = merged(m.opts.Node.Functions, functions)
	m.functionsSeq++
	var errs []error
	for _, r := range m.byID {
		if r.node != nil && r.released.IsZero() {
			errs = append(errs, m.informLocked(r.node))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	m.opts.Logger.Info("functions set", "functions", len(m.opts.Node.Functions))
	return nil
}

// informLocked writes the file for one node. That of a node that has just ended is missed by nobody.
func (m *Manager) informLocked(p *nodeProcess) error {
	text, err := json.Marshal(m.opts.Node.Functions)
	if err != nil {
		return err
	}
	path := filepath.Join(p.spec.Workdir, functionsName)
	err = errors.Join(os.WriteFile(path+".new", text, 0o600), os.Rename(path+".new", path)) // commands and env may hold secrets
	if err != nil && !p.hasEnded() {
		return fmt.Errorf("manager: tell node %s of the functions: %w", p.spec.ID, err)
	}
	return nil
}

func (p *nodeProcess) hasEnded() bool {
	select {
	case <-p.ended:
		return true
	default:
		return false
	}
}

// merged is a new list of both; of two with the same name the second.
func merged(old, more []catalog.Function) []catalog.Function {
	all := slices.Clone(old)
	for _, f := range more {
		i := slices.IndexFunc(all, func(o catalog.Function) bool { return o.Name == f.Name })
		if i < 0 {
			all = append(all, f)
		} else {
			all[i] = f
		}
	}
	return all
}

// functionLocked looks a function up, after what the manager wrote last.
func (n *node) functionLocked(name string) (catalog.Function, bool) {
	info, err := os.Stat(filepath.Join(n.spec.Workdir, functionsName))
	if err == nil && (n.told == nil || !os.SameFile(n.told, info) || !n.told.ModTime().Equal(info.ModTime())) {
		if err := n.readFunctionsLocked(); err != nil {
			n.log.Error("the manager's list of functions cannot be read; the old one stays in force", "err", err)
		} else {
			n.told = info // a newer file that was read already is read once more
		}
	}
	f, ok := n.functions[name]
	return f, ok
}

func (n *node) readFunctionsLocked() error {
	text, err := os.ReadFile(filepath.Join(n.spec.Workdir, functionsName))
	if err != nil {
		return err
	}
	var functions []catalog.Function
	if err := json.Unmarshal(text, &functions); err != nil {
		return err
	}
	for _, f := range functions {
		n.functions[f.Name] = f
	}
	return nil
}
