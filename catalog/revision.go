package catalog

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
)

// Revision is what a scheduler is told as the function's handler, so that a change of the program or its environment,
// which the contract has no field for, begins a new generation of containers as one of memory does. It is the
// handler itself where the catalog gives one, since a foreign cluster may need it to the letter; else a short hash of
// command, sample and env. It depends on the catalog alone: all gateways agree on it, and a restarted one finds its
// containers still warm.
func (f *Function) Revision() string {
	if f.Handler != "" {
		return f.Handler
	}
	text, err := json.Marshal([]any{f.Command, f.Sample, f.Env}) // maps are written in the order of their keys
	if err != nil {
		panic(err) // strings only
	}
	sum := sha256.Sum256(text)
	return "rev-" + hex.EncodeToString(sum[:6]) // 48 bits: by chance two of a function's revisions are never the same
}
