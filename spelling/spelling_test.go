package spelling

import "testing"

func TestNearest(t *testing.T) {
	words := []string{"hello", "sleep", "memory", "timeout", "concurrency", "env"}
	for _, tt := range []struct{ written, want string }{
		{"helo", "hello"},
		{"hlelo", "hello"}, // neighbours swapped: one edit
		{"HELLO", "hello"},
		{"mem", "memory"},
		{"memory_mb", "memory"},
		{"concurency", "concurrency"},
		{"concurrncey", "concurrency"},
		{"goodbye", ""},
		{"m", ""},
		{"", ""},
	} {
		if got, _ := Nearest(tt.written, words); got != tt.want {
			t.Errorf("Nearest(%q) = %q, want %q", tt.written, got, tt.want)
		}
	}
}
