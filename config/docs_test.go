package config

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// The page is written from the tables of settings, so that it cannot say less, or other, than the program does.
func TestDocumentationIsCurrent(t *testing.T) {
	golden(t, filepath.Join("..", "docs", "configuration.md"), page(t))
}

func page(t *testing.T) string {
	var b strings.Builder
	b.WriteString(pageHead)
	for _, section := range sectionsOf(settings()) {
		title := "At the root"
		if section != "" {
			title = code(section)
		}
		fmt.Fprintf(&b, "\n### %s\n\n| setting | form | default | flag | environment | live | meaning |\n|---|---|---|---|---|---|---|\n", title)
		for _, r := range settings() {
			if sectionOf(r.name) != section {
				continue
			}
			env := code(r.envName())
			if r.env != "" {
				env += ", " + code(r.env)
			}
			fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s | %s |\n", code(r.name), form(&r.setting), code(r.def), code("--"+r.flag), env, yes(r.live), r.doc)
		}
	}
	b.WriteString(pageFunctions)
	table(&b, functionSettings())
	b.WriteString("| `calendar` | list | windows in which other bounds hold, see below |\n" + pageCalendar)
	table(&b, windowSettings())
	b.WriteString(pageAccounts)
	table(&b, accountSettings())
	example, err := os.ReadFile(filepath.Join("testdata", "forewarm.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	return b.String() + pageExample + "\n```yaml\n" + string(example) + "```\n"
}

// sectionOf is the first part of a name, or "" for a setting at the root.
func sectionOf(name string) string {
	section, _, deep := strings.Cut(name, ".")
	if !deep {
		return ""
	}
	return section
}

// sectionsOf lists the root and then the sections, as they come.
func sectionsOf(rows []row[Config]) []string {
	sections := []string{""}
	for _, r := range rows {
		if s := sectionOf(r.name); !slices.Contains(sections, s) {
			sections = append(sections, s)
		}
	}
	return sections
}

func table[T any](b *strings.Builder, rows []row[T]) {
	b.WriteString("\n| key | form | meaning |\n|---|---|---|\n")
	for _, r := range rows {
		doc := r.doc
		if r.def != "" {
			doc += "; default " + code(r.def)
		}
		fmt.Fprintf(b, "| %s | %s | %s |\n", code(r.name), form(&r.setting), doc)
	}
}

// form is how a value is written, with its bounds.
func form(s *setting) string {
	number := func(v int64) string {
		if s.kind == kindDuration {
			return formatDuration(time.Duration(v))
		}
		return fmt.Sprint(v)
	}
	text := string(s.kind)
	switch {
	case s.kind == kindChoice:
		return code(strings.Join(s.words, "`, `"))
	case s.most > 0:
		text += ", " + number(s.least) + " to " + number(s.most)
	}
	for _, w := range s.words {
		text += ", or " + code(w)
	}
	return text
}

func code(s string) string {
	if s == "" {
		return ""
	}
	return "`" + s + "`"
}

func yes(b bool) string {
	if b {
		return "yes"
	}
	return ""
}

const pageHead = `# Configuration

<!-- Written by "go test ./config -rewrite" from config/settings.go and config/docs_test.go. -->

` + "`forewarm serve`" + ` is configured by flags, by the environment, and by one YAML file, which ` + "`--config`" + ` or
` + "`FOREWARM_CONFIG`" + ` names. All of it is optional but the resource manager. Where several of them set the same thing, a flag
goes before the environment, the environment before the file, and the file before the default.

    forewarm config check --config forewarm.yaml   # every mistake with its line and column, and what to write instead
    forewarm config show --config forewarm.yaml    # every setting, where its value came from, and the value

- **Names** come from one another: ` + "`dispatcher.max_wait`" + ` stands in the file as ` + "`dispatcher: {max_wait: 30s}`" + ` and in the
  environment as ` + "`FOREWARM_DISPATCHER_MAX_WAIT`" + `. The contract's own names in the environment are read, too, and give way to
  ours. An empty value in the environment counts as not given. An empty flag counts: ` + "`--config=`" + ` reads no file.
- **Unknown names are errors**, in the file and in the environment, where they begin with ` + "`FOREWARM_`" + `: a mistyped setting would
  otherwise be missed when it is needed. What Kubernetes sets for a Service called forewarm (` + "`FOREWARM_SERVICE_HOST`" + `,
  ` + "`FOREWARM_PORT`" + ` and so on) is passed over.
- **Values**: durations have a unit (` + "`500ms`, `30s`, `1m30s`, `2h`" + `). A share is a percentage (` + "`5%`" + `) or a fraction (` + "`0.05`" + `).
  Prices are plain numbers in whichever money, the same for all. Paths in the file are found from its folder, others from the
  working folder. The file may hold 1 MiB, and no anchors, aliases or tags.
- **Secrets** stand in files of their own, which others must not be able to read. ` + "`config show`" + `, logs and the audit log
  name the files only, and mask the user and the query of URLs.

## Changes while the scheduler runs

The file is looked at each second, through links too, as Kubernetes changes its ConfigMaps, and is read once it has looked the
same twice. On SIGHUP it is read at once. Flags and the environment stay as they were, and still go before it.

What was read is checked as a whole and applied as a whole, or not at all. A mistake, a change of a setting that is not marked
*live* below, or a part of the scheduler that refuses its new settings leaves everything as it was; the log says which and why.
If the file vanishes, what it said last stays in force. Certificates and tokens are settings by the names of their files only:
another name needs a restart.

## Reaching the ports from other machines

By default both ports listen on 127.0.0.1. To listen wider, give the port a certificate and a key under ` + "`tls`" + `; with
` + "`client_ca`" + `, callers must show a certificate as well. To listen wider in the clear, say ` + "`allow_plaintext: true`" + `: then whoever
reaches the port can use it, and read what others send.

## What a cold start is worth

Say it in one of three ways: ` + "`planner.kappa`" + `, the same idle time for every function; ` + "`planner.prices.cold`" + ` and ` + "`gib_second`" + `, from
which each function's kappa follows by its memory (a cold start's price over that of its container's idle second); or
` + "`planner.target_cold`" + `, to meet which kappa is learnt. Two of them at once are an error, wherever they are given.

## Settings
`

const pageFunctions = `
## Per function

Below ` + "`functions`" + `, by name, in the file only; all of it is live. A name holds for the function of every account.
` + "`min` must not be over `max`, and neither over `max_containers`" + `.
`

const pageCalendar = `
### Calendar

Each entry of a function's ` + "`calendar`" + ` is a window that comes again. While it is open, the larger holds of its ` + "`min`" + ` and the
function's, and its ` + "`max`" + ` in place of the function's; of several open ones, the largest ` + "`min` and the largest `max`" + `. One of the
two must be given.
`

const pageAccounts = `
## Per account

Below ` + "`accounts`" + `, by name, in the file only; all of it is live.
`

const pageExample = `
## An example
`
