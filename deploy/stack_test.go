package deploy_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"

	"github.com/forewarm/forewarm/metrics"
)

func contains(list []string, s string) bool { return slices.Contains(list, s) }

// metricNames are those of metrics.List.
func metricNames() (names []string) {
	for _, g := range metrics.List() {
		for _, m := range g.Metrics {
			names = append(names, m.Name)
		}
	}
	return names
}

// stack is compose.yaml, with no key that is not listed here.
type stack struct {
	Name     string
	Services map[string]service
	Volumes  map[string]any
}

type service struct {
	Build       struct{ Context, Dockerfile string }
	Image       string
	Command     []string
	Environment map[string]string
	Ports       []string
	Volumes     []string
	Tmpfs       []string
	ReadOnly    bool     `yaml:"read_only"`
	CapDrop     []string `yaml:"cap_drop"`
	SecurityOpt []string `yaml:"security_opt"`
	Init        bool
	StopGrace   string `yaml:"stop_grace_period"`
	Healthcheck struct {
		Test              []string
		Interval, Timeout string
		StartPeriod       string `yaml:"start_period"`
	}
	DependsOn []string `yaml:"depends_on"`
	Restart   string
}

func compose(t *testing.T) (s stack) {
	t.Helper()
	read(t, "compose.yaml", &s)
	return s
}

func TestCompose(t *testing.T) {
	s := compose(t)
	for name, v := range s.Services {
		for _, p := range v.Ports {
			if !strings.HasPrefix(p, "127.0.0.1:") {
				t.Errorf("%s: the port %s is open to the network", name, p)
			}
		}
		if _, tag, ok := strings.Cut(v.Image, ":"); !ok || tag == "latest" {
			t.Errorf("%s: the image %q names no version", name, v.Image)
		}
		for _, m := range v.Volumes {
			from, _, _ := strings.Cut(m, ":")
			if _, named := s.Volumes[from]; named {
				continue
			}
			if _, err := os.Stat(from); err != nil {
				t.Errorf("%s mounts %s: %v", name, from, err)
			}
		}
	}
	f := s.Services["forewarm"]
	if !f.ReadOnly || !contains(f.CapDrop, "ALL") || !contains(f.SecurityOpt, "no-new-privileges:true") {
		t.Errorf("forewarm may do more than it needs: %+v", f)
	}
	if _, err := os.Stat("../" + f.Build.Dockerfile); err != nil || f.Build.Context != ".." {
		t.Errorf("forewarm is built from %+v: %v", f.Build, err)
	}
	// The scrape job is by the name of the service, and by the port that the command says.
	if !contains(f.Command, "0.0.0.0:10700") || !strings.Contains(text(t, "prometheus/prometheus.yml"), `targets: ["forewarm:10700"]`) {
		t.Errorf("Prometheus does not scrape where forewarm listens: %v", f.Command)
	}
}

func text(t *testing.T, file string) string {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestImage(t *testing.T) {
	s := text(t, "Dockerfile")
	_, final, _ := strings.Cut(s, "FROM scratch")
	for _, want := range []string{"USER 65532:65532", `ENTRYPOINT ["/forewarm"]`, `"--listen", "0.0.0.0"`} {
		if !strings.Contains(final, want) {
			t.Errorf("the last stage has no %s", want)
		}
	}
	if !strings.Contains(s, "CGO_ENABLED=0 go build") {
		t.Error("the binary would not be static")
	}
}

// object is any object of Kubernetes, read loosely.
type object struct {
	APIVersion string `yaml:"apiVersion"`
	Kind       string
	Metadata   struct{ Name, Namespace string }
	Spec       map[string]any
	Data       map[string]string
}

func objects(t *testing.T) map[string]object {
	t.Helper()
	d := yaml.NewDecoder(bytes.NewReader([]byte(text(t, "kubernetes/forewarm.yaml"))))
	out := map[string]object{}
	for {
		var o object
		err := d.Decode(&o)
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		out[o.Kind] = o
	}
}

// at walks down maps by keys and lists by their first element.
func at(v any, path ...string) any {
	for _, key := range path {
		if list, ok := v.([]any); ok && len(list) > 0 {
			v = list[0]
		}
		m, ok := v.(map[string]any)
		if !ok {
			return nil
		}
		v = m[key]
	}
	return v
}

func TestKubernetes(t *testing.T) {
	all := objects(t)
	for _, kind := range []string{"Namespace", "ConfigMap", "PersistentVolumeClaim", "Deployment", "Service", "NetworkPolicy"} {
		o, ok := all[kind]
		if !ok || o.APIVersion == "" || kind != "Namespace" && o.Metadata.Namespace != "forewarm" {
			t.Errorf("%s: is it there, and in its namespace? %+v", kind, o)
		}
	}
	pod := at(all["Deployment"].Spec, "template", "spec")
	container := at(pod, "containers")
	for _, tt := range []struct {
		claim string
		got   any
		want  any
	}{
		{"no root", at(pod, "securityContext", "runAsNonRoot"), true},
		{"the image's user", at(pod, "securityContext", "runAsUser"), uint64(65532)},
		{"no token", at(pod, "automountServiceAccountToken"), false},
		{"nothing is written but to volumes", at(container, "securityContext", "readOnlyRootFilesystem"), true},
		{"no more privileges", at(container, "securityContext", "allowPrivilegeEscalation"), false},
		{"lives", at(container, "livenessProbe", "httpGet", "path"), "/healthz"},
		{"ready", at(container, "readinessProbe", "httpGet", "path"), "/readyz"},
		{"scraped", at(all["Deployment"].Spec, "template", "metadata", "annotations", "prometheus.io/port"), "10700"},
		{"selected", at(all["Service"].Spec, "selector", "app.kubernetes.io/name"), at(all["Deployment"].Spec, "template", "metadata", "labels", "app.kubernetes.io/name")},
	} {
		if tt.got != tt.want {
			t.Errorf("%s: %v (%[2]T), want %v (%[3]T)", tt.claim, tt.got, tt.want)
		}
	}
}
