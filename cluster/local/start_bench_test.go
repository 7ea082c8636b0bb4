package local

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/forewarm/forewarm/catalog"
	pb "github.com/forewarm/forewarm/proto/minifaas/resourcemanagerproto"
)

// trivial is about the smallest function there is.
const trivial = `package main

import (
	"net"
	"os"
)

func main() {
	l, err := net.Listen("tcp", "127.0.0.1:"+os.Getenv("PORT"))
	if err != nil {
		panic(err)
	}
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		c.Close()
	}
}
`

// BenchmarkCreate says how long CreateContainer takes for a trivial program, how
// long that program takes to listen when nobody is in between, and the
// difference, which is what a node adds to a start.
func BenchmarkCreate(b *testing.B) {
	dir := openFolder(b)
	source, program := filepath.Join(dir, "main.go"), filepath.Join(dir, "trivial")
	if err := os.WriteFile(source, []byte(trivial), 0o600); err != nil {
		b.Fatal(err)
	}
	if out, err := exec.Command("go", "build", "-o", program, source).CombinedOutput(); err != nil {
		b.Fatalf("%v\n%s", err, out)
	}
	n := newCluster(b, ManagerOptions{Node: NodeOptions{Functions: []catalog.Function{{Name: "trivial", Command: []string{program}}}}}).reserve()
	var own, through time.Duration
	for b.Loop() {
		own += startAlone(b, program)
		time.Sleep(20 * time.Millisecond) // starts that follow at once would find no cell made ahead
		begin := time.Now()
		c := n.create("trivial", 512)
		through += time.Since(begin)
		removed(n, c)
	}
	per := func(d time.Duration) float64 { return d.Seconds() * 1000 / float64(b.N) }
	b.ReportMetric(per(own), "alone-ms")
	b.ReportMetric(per(through), "create-ms")
	b.ReportMetric(per(through-own), "added-ms")
}

func startAlone(b *testing.B, program string) time.Duration {
	port, err := newPorts().take()
	if err != nil {
		b.Fatal(err)
	}
	address := "127.0.0.1:" + strconv.Itoa(port)
	begin := time.Now()
	cmd := exec.Command(program)
	cmd.Env = []string{"PORT=" + strconv.Itoa(port)}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	for {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			conn.Close()
			break
		}
		time.Sleep(100 * time.Microsecond)
	}
	d := time.Since(begin)
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	return d
}

// BenchmarkInvoke is a call through a node, of a function that does nothing.
func BenchmarkInvoke(b *testing.B) {
	n := newCluster(b, ManagerOptions{}).reserve()
	c := n.create("sleep", 2048)
	b.RunParallel(func(p *testing.PB) {
		for p.Next() {
			n.mustInvoke(c, `{"ms":0}`)
		}
	})
}

// BenchmarkReserve is the time to reserve and to release a node.
func BenchmarkReserve(b *testing.B) {
	cluster := newCluster(b, ManagerOptions{Refill: time.Nanosecond})
	for b.Loop() {
		n := cluster.reserve()
		if _, err := cluster.rm.ReleaseNode(b.Context(), &pb.ReleaseNodeRequest{Id: n.desc.Id}); err != nil {
			b.Fatal(err)
		}
	}
}
