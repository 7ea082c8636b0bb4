package forecast

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

var trim = flag.Bool("trim", false, "rewrite testdata/*.json.gz from the full reference values")

// TestTrim writes the copy of the reference values that ships: what the tests here
// read, without the longest series. It runs with -trim only.
func TestTrim(t *testing.T) {
	if !*trim {
		t.Skip("runs with -trim only")
	}
	const longest = "co2"
	for name, keep := range map[string]func(full map[string]any) map[string]any{
		"ets_fixed": func(full map[string]any) map[string]any {
			return trimFits(full, longest, "ETS(A,N,N)", "ETS(A,A,N)", "ETS(A,Ad,N)")
		},
		"holt_simple": func(full map[string]any) map[string]any { return trimFits(full, longest, "ses", "holt") },
		"series":      func(full map[string]any) map[string]any { delete(full, longest); return full },
		"dist_staffing_scores": func(full map[string]any) map[string]any {
			return only(full, "meta", "qpois", "qnbinom", "poisson_gamma_filter")
		},
		"intermittent": func(full map[string]any) map[string]any {
			series := full["series"].(map[string]any)
			for k, v := range series {
				series[k] = only(v.(map[string]any), "values")
			}
			return only(full, "meta", "series")
		},
	} {
		var full map[string]any
		readExact(t, filepath.Join(fullGolden, name+".json.gz"), &full)
		writeGzip(t, filepath.Join(trimmedGolden, name+".json.gz"), keep(full))
	}
}

// trimFits keeps the runs of some methods, and of each what goldenFit reads.
func trimFits(full map[string]any, without string, methods ...string) map[string]any {
	var kept []any
	for _, c := range full["cases"].([]any) {
		fit := c.(map[string]any)
		if fit["series"] != without && slices.Contains(methods, fit["method"].(string)) {
			kept = append(kept, only(fit, "series", "method", "fixed", "par", "init",
				"fitted", "level", "trend", "final_state", "forecast_mean"))
		}
	}
	return map[string]any{"meta": full["meta"], "cases": kept}
}

func only(m map[string]any, keys ...string) map[string]any {
	kept := make(map[string]any)
	for _, k := range keys {
		if v, ok := m[k]; ok {
			kept[k] = v
		}
	}
	return kept
}

// readExact keeps numbers as they are printed.
func readExact(t *testing.T, path string, v any) {
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	z, err := gzip.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	d := json.NewDecoder(z)
	d.UseNumber()
	if err := d.Decode(v); err != nil {
		t.Fatal(err)
	}
}

func writeGzip(t *testing.T, path string, v any) {
	var b bytes.Buffer
	z, err := gzip.NewWriterLevel(&b, gzip.BestCompression)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.NewEncoder(z).Encode(v); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Logf("%s: %d bytes", path, b.Len())
}
