package local

import (
	"net"
	"os"
	"testing"
)

func TestOutside(t *testing.T) {
	for _, tt := range []struct {
		claim, ephemeral string
		first, last      int
	}{
		{"below the kernel's default", "32768\t60999\n", 10_000, 32_767},
		{"above, where that is more", "10240\t40000\n", 40_001, 65_535},
		{"amid outgoing connections, where they have all", "1024\t65535\n", 10_000, 65_535},
		{"below the default, where nothing is known", "", 10_000, 32_767},
	} {
		if first, last := outside(tt.ephemeral); first != tt.first || last != tt.last {
			t.Errorf("%s: outside(%q) = %d, %d, want %d, %d", tt.claim, tt.ephemeral, first, last, tt.first, tt.last)
		}
	}
}

// Both ways of finding a listener, for both families, and telling ours from others'.
func TestListens(t *testing.T) {
	for _, address := range []string{"127.0.0.1:0", "[::1]:0", ":0"} {
		l, err := net.Listen("tcp", address)
		if err != nil {
			t.Logf("no listening on %s here: %v", address, err)
			continue
		}
		defer l.Close()
		port := l.Addr().(*net.TCPAddr).Port
		asked, read := listeners(uint16(port)), readTables(uint16(port))
		if len(asked) != 1 || len(read) != 1 || asked[0] != read[0] || asked[0].user != os.Getuid() {
			t.Errorf("listeners on %s: %v by netlink, %v by /proc, want the same one", l.Addr(), asked, read)
		}
		if !listensAs(os.Getuid(), port) || listensAs(os.Getuid()+1, port) {
			t.Errorf("listensAs does not tell whose socket listens on %s", l.Addr())
		}
		if !listens([]int{os.Getpid()}, port) || listens([]int{os.Getppid()}, port) || listens([]int{os.Getpid()}, port+1) {
			t.Errorf("listens does not tell who listens on %s", l.Addr())
		}
	}
}

func TestPortsDiffer(t *testing.T) {
	p := newPorts()
	seen := map[int]bool{}
	for range 100 {
		port, err := p.take()
		if err != nil || seen[port] {
			t.Fatalf("take = %d, %v; taken before: %v", port, err, seen[port])
		}
		seen[port] = true
	}
}
