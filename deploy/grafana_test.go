package deploy_test

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
)

// board is as much of a dashboard as is checked.
type board struct {
	Panels []struct {
		ID                               int
		Type, Title, Description, Repeat string
		Datasource                       source
		GridPos                          struct{ X, Y, W, H int }
		Targets                          []target
	}
	Templating struct {
		List []struct {
			Name, Type, Definition string
			Datasource             source
		}
	}
}

type source struct{ Type, UID string }

type target struct {
	RefID, Expr, LegendFormat string
	Datasource                source
}

func dashboard(t *testing.T) (b board) {
	t.Helper()
	data, err := os.ReadFile("grafana/dashboards/forewarm.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &b); err != nil {
		t.Fatal(err)
	}
	return b
}

func TestDashboardNamesWhatExists(t *testing.T) {
	for _, p := range dashboard(t).Panels {
		for _, q := range p.Targets {
			for _, name := range unknown(q.Expr, nil) { // not what is recorded: the dashboard is to work without the rules
				t.Errorf("panel %q names %s, which does not exist", p.Title, name)
			}
		}
	}
}

// TestEveryMetricIsOnTheDashboard, or somebody decided that it need not be.
func TestEveryMetricIsOnTheDashboard(t *testing.T) {
	words := map[string]bool{}
	for _, p := range dashboard(t).Panels {
		for _, q := range p.Targets {
			for _, w := range word.FindAllString(q.Expr, -1) {
				words[strings.TrimSuffix(w, "_bucket")] = true
			}
		}
	}
	needNot := map[string]bool{"forewarm_returns_total": true} // calls, a moment later
	for _, name := range metricNames() {
		if words[name] == needNot[name] {
			t.Errorf("%s: on the dashboard %v, wanted %v", name, words[name], !needNot[name])
		}
	}
}

// TestDashboardIsSound: what Grafana would show as an error, or in a mess.
func TestDashboardIsSound(t *testing.T) {
	b := dashboard(t)
	ids := map[int]bool{}
	taken := map[[2]int]string{}
	repeats := 0
	for _, p := range b.Panels {
		if ids[p.ID] {
			t.Errorf("panel %q: the id %d is taken", p.Title, p.ID)
		}
		ids[p.ID] = true
		for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
			for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
				if other, ok := taken[[2]int{x, y}]; ok || x > 23 {
					t.Fatalf("panel %q lies over %q, or over the edge", p.Title, other)
				}
				taken[[2]int{x, y}] = p.Title
			}
		}
		if p.Type == "row" {
			if p.Repeat == "function" {
				repeats++
			}
			continue
		}
		if p.Description == "" || p.Title == "" || len(p.Targets) == 0 {
			t.Errorf("panel %q needs a title, a description and a query", p.Title)
		}
		if p.Datasource.UID != "${datasource}" {
			t.Errorf("panel %q is tied to the data source %q", p.Title, p.Datasource.UID)
		}
		for _, q := range p.Targets {
			if q.Datasource.UID != "${datasource}" || !strings.Contains(q.Expr, `job=~"$job"`) {
				t.Errorf("panel %q, query %s: want the chosen data source and scheduler: %s", p.Title, q.RefID, q.Expr)
			}
		}
	}
	if repeats != 1 {
		t.Errorf("%d rows repeat by function, want 1", repeats)
	}
	var names []string
	for _, v := range b.Templating.List {
		names = append(names, v.Name)
	}
	if got := strings.Join(names, " "); got != "datasource job account function" {
		t.Errorf("the variables are %s", got)
	}
}

// TestProvisioning: the folders in the files are those of compose.yaml.
func TestProvisioning(t *testing.T) {
	var sources struct {
		APIVersion  int `yaml:"apiVersion"`
		Datasources []struct {
			Name, Type, Access, URL string
			IsDefault               bool           `yaml:"isDefault"`
			JSONData                map[string]any `yaml:"jsonData"`
		}
	}
	read(t, "grafana/provisioning/datasources/prometheus.yml", &sources)
	if s := sources.Datasources; len(s) != 1 || s[0].URL != "http://prometheus:9090" || !s[0].IsDefault {
		t.Errorf("the data source is %+v, want Prometheus of compose.yaml", s)
	}
	var boards struct {
		APIVersion int `yaml:"apiVersion"`
		Providers  []struct {
			Name, Type            string
			AllowUIUpdates        bool `yaml:"allowUiUpdates"`
			UpdateIntervalSeconds int  `yaml:"updateIntervalSeconds"`
			Options               struct{ Path string }
		}
	}
	read(t, "grafana/provisioning/dashboards/forewarm.yml", &boards)
	compose := compose(t)
	folder := "./grafana/dashboards:" + boards.Providers[0].Options.Path + ":ro"
	if volumes := compose.Services["grafana"].Volumes; !contains(volumes, folder) || !contains(volumes, "./grafana/provisioning:/etc/grafana/provisioning:ro") {
		t.Errorf("Grafana has the volumes %v, want %s and its provisioning", volumes, folder)
	}
}
