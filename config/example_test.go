package config_test

import (
	"fmt"

	"github.com/spf13/pflag"

	"github.com/forewarm/forewarm/config"
)

// A command adds the flags, loads when it runs, and watches for changes.
func Example() {
	s := &config.Set{Environ: []string{"RESOURCE_MANAGER_ENDPOINT=10.0.0.7:10400"}, Require: []string{"manager"}}
	flags := pflag.NewFlagSet("serve", pflag.ContinueOnError)
	s.AddFlags(flags)
	if err := flags.Parse([]string{"--kappa", "90s"}); err != nil {
		fmt.Println(err)
		return
	}
	c, err := s.Load()
	if err != nil {
		fmt.Println(err) // up to ten complaints, one a line
		return
	}
	fmt.Println(c.Manager, c.Origin("manager"))
	fmt.Println(c.Planner.Kappa, c.Origin("planner.kappa"))
	// Output:
	// 10.0.0.7:10400 env RESOURCE_MANAGER_ENDPOINT
	// 1m30s flag --kappa
}
