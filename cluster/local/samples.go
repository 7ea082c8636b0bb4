package local

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/forewarm/forewarm/cluster"
)

// maxEventRead is how much of an event a sample looks at.
const maxEventRead = 1 << 20

// RunSample is a built-in function: a small server on $PORT that answers until
// ctx ends. What it does per call may be said in the event (JSON), in the query,
// or by default in the environment:
//
//	hello   greets; prints a line per call
//	sleep   {"ms": 100}   SLEEP_MS   waits
//	cpu     {"ms": 100}   CPU_MS     computes until it used that much of a processor
//	memory  {"mib": 16}   MEMORY_MIB takes memory, uses all of it and gives it back
//
// Before it listens it takes START_TIME, such as 600ms, or 600ms~0.1 for a time
// that differs by up to a tenth from start to start, so that a cold start takes
// what an interpreter with its libraries takes. START_SEED (a number) makes the
// differences the same in every run.
func RunSample(ctx context.Context, name string, env func(string) string) error {
	answer, ok := samples[name]
	if !ok {
		return fmt.Errorf("no sample is called %q: take hello, sleep, cpu or memory", name)
	}
	begin := time.Now()
	wait, err := startTime(env)
	if err != nil {
		return err
	}
	select {
	case <-time.After(wait):
	case <-ctx.Done():
		return nil
	}
	listener, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", env("PORT")))
	if err != nil {
		return fmt.Errorf("listen on $PORT: %w", err)
	}
	fmt.Printf("%s: ready after %v\n", env("FUNCTION_NAME"), time.Since(begin).Round(time.Millisecond))
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		text, err := answer(r, env)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		io.WriteString(w, text+"\n")
	})}
	go func() {
		<-ctx.Done()
		server.Close()
	}()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

var samples = map[string]func(*http.Request, func(string) string) (string, error){
	"hello": func(r *http.Request, env func(string) string) (string, error) {
		event, err := io.ReadAll(io.LimitReader(r.Body, maxEventRead))
		if err != nil {
			return "", err
		}
		fmt.Printf("called with %d bytes: %.60q\n", len(event), event)
		return "hello from " + env("FUNCTION_NAME"), nil
	},
	"sleep": func(r *http.Request, env func(string) string) (string, error) {
		ms, err := number64(r, "ms", env("SLEEP_MS"), 100)
		select {
		case <-time.After(milliseconds(ms)):
		case <-r.Context().Done(): // the caller has gone
		}
		return fmt.Sprintf("slept %v ms", ms), err
	},
	"cpu": func(r *http.Request, env func(string) string) (string, error) {
		ms, err := number64(r, "ms", env("CPU_MS"), 100)
		return fmt.Sprintf("computed for %v ms", ms), errors.Join(err, compute(r.Context(), milliseconds(ms)))
	},
	"memory": func(r *http.Request, env func(string) string) (string, error) {
		mib, err := number64(r, "mib", env("MEMORY_MIB"), 16)
		use(int64(mib * float64(cluster.MiB)))
		return fmt.Sprintf("used %v MiB", mib), err
	},
}

// number64 finds a number: in the query, the event, the default of the function, or ours.
func number64(r *http.Request, key, preset string, otherwise float64) (float64, error) {
	text := r.URL.Query().Get(key)
	if text == "" {
		var event map[string]any
		if json.NewDecoder(io.LimitReader(r.Body, maxEventRead)).Decode(&event) == nil && event[key] != nil {
			text = fmt.Sprint(event[key])
		}
	}
	if text == "" {
		text = preset
	}
	if text == "" {
		return otherwise, nil
	}
	n, err := strconv.ParseFloat(text, 64)
	if err != nil || !(n >= 0 && n <= 1e7) {
		return 0, fmt.Errorf("%s is %q: want a number from 0 to 10000000", key, text)
	}
	return n, nil
}

func milliseconds(ms float64) time.Duration { return time.Duration(ms * float64(time.Millisecond)) }

// compute uses a processor for so long, however long that takes.
func compute(ctx context.Context, d time.Duration) error {
	runtime.LockOSThread() // its thread's time is measured
	defer runtime.UnlockOSThread()
	begin := threadCPU()
	for sum := 1.0; threadCPU()-begin < d; {
		for i := range 10_000 {
			sum = sum*1.0000001 + float64(i)
		}
		if ctx.Err() != nil || sum == 0 {
			return ctx.Err()
		}
	}
	return nil
}

func threadCPU() time.Duration {
	var t unix.Timespec
	if unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &t) != nil {
		return 0
	}
	return time.Duration(t.Nano())
}

// use takes memory, touches all its pages, and gives it back.
func use(bytes int64) {
	block := make([]byte, bytes)
	for i := 0; i < len(block); i += os.Getpagesize() {
		block[i] = 1
	}
	runtime.KeepAlive(block)
	block = nil
	debug.FreeOSMemory()
}

// startTime reads START_TIME. The difference follows the seed and the name of the
// working folder, which the node numbers.
func startTime(env func(string) string) (time.Duration, error) {
	text, share, jitter := strings.Cut(env("START_TIME"), "~")
	if text == "" {
		return 0, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 {
		return 0, fmt.Errorf("START_TIME is %q: want a duration such as 600ms, or 600ms~0.1", env("START_TIME"))
	}
	if !jitter {
		return d, nil
	}
	part, err := strconv.ParseFloat(share, 64)
	if err != nil || !(part >= 0 && part <= 1) {
		return 0, fmt.Errorf("START_TIME is %q: after ~ want a share from 0 to 1", env("START_TIME"))
	}
	seed, stream := rand.Uint64(), rand.Uint64()
	if s := env("START_SEED"); s != "" {
		if seed, err = strconv.ParseUint(s, 10, 64); err != nil {
			return 0, fmt.Errorf("START_SEED is %q: want a number", s)
		}
		name := fnv.New64a()
		io.WriteString(name, filepath.Base(env("HOME")))
		stream = name.Sum64()
	}
	random := rand.New(rand.NewPCG(seed, stream))
	return time.Duration(float64(d) * (1 + part*(2*random.Float64()-1))), nil
}
