package gateway

import (
	crand "crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"math/rand/v2"
	"sync"
)

// ids makes request ids: 128 random bits in hex, so that those of several gateways do not meet at the scheduler.
type ids struct {
	mu  sync.Mutex
	src *rand.ChaCha8 // guarded by mu
}

// newIDs makes a source that repeats itself for the same seed; 0 seeds it from the machine.
func newIDs(seed uint64) *ids {
	var key [32]byte
	if seed == 0 {
		crand.Read(key[:]) // cannot fail
	} else {
		binary.LittleEndian.PutUint64(key[:], seed)
	}
	return &ids{src: rand.NewChaCha8(key)}
}

func (s *ids) next() string {
	var b [16]byte
	s.mu.Lock()
	binary.BigEndian.PutUint64(b[:8], s.src.Uint64())
	binary.BigEndian.PutUint64(b[8:], s.src.Uint64())
	s.mu.Unlock()
	return hex.EncodeToString(b[:])
}
